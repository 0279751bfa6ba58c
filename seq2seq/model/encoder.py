"""The recurrent encoder."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq import recipe
from seq2seq.model.cells import State
from seq2seq.model.dropout import Dropout, Dropouts
from seq2seq.model.embedding import Embedding
from seq2seq.model.layers import real_steps
from seq2seq.model.recurrent import Recurrent


@dataclass(frozen=True)
class EncoderOutput:
    """The source as read.

    Attributes:
        states: (B, S, M); pyramidal layers make S a part of the source length.
        final: state of each layer, (L, B, M).
        mask: (B, S), True at real tokens.
        embedded: what the layers read, at the source's full length, (B, ·, E).
    """

    states: Tensor
    final: State
    mask: Tensor
    embedded: Tensor


class Encoder(nn.Module):
    """Embeds source tokens and reads them with a recurrent stack.

    Args:
        section: settings.
        embedding: of the source.
        dropouts: probabilities.
        hidden_only: whether the final state may lack the cells of LSTM layers.

    Attributes:
        output_size: M.
        reduction: source tokens that each state stands for.
    """

    def __init__(
        self,
        section: recipe.Encoder,
        embedding: Embedding,
        dropouts: Dropouts,
        *,
        hidden_only: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.embedding_dropout = Dropout(dropouts.embedding, locked=dropouts.locked)
        self.dropout = Dropout(dropouts.hidden, locked=dropouts.locked)
        self.rnn = Recurrent(
            section.rnn_type,
            section.embedding_dim,
            section.hidden_size,
            section.num_layers,
            bidirectional=section.bidirectional,
            alternating=section.alternating,
            residual=section.residual,
            transition_depth=section.transition_depth,
            pyramid_layers=section.pyramid_layers,
            dropouts=dropouts,
            hidden_only=hidden_only,
        )
        self.output_size = self.rnn.output_size
        self.reduction = self.rnn.reduction

    def forward(self, src: Tensor, lengths: Tensor) -> EncoderOutput:
        """Read src (B, S), whose real lengths (B,) are on the CPU."""
        embedded = self.embedding_dropout(self.embedding(src))
        states, final = self.rnn(embedded, lengths=lengths)
        mask = real_steps(states, self.rnn.shorten(lengths))
        final = self.rnn.merge_directions(final)
        return EncoderOutput(self.dropout(states), final, mask, embedded)


class NoEncoder(nn.Module):
    """Stands where a language model has no encoder: it reads nothing."""

    output_size = 0
    reduction = 1

    def forward(self, src: Tensor, lengths: Tensor) -> EncoderOutput:
        """States of no size, for src (B, S)."""
        states = torch.zeros(*src.shape, 0, device=src.device)
        mask = real_steps(states, lengths)
        return EncoderOutput(states, (states.transpose(0, 1)[:1],), mask, embedded=states)
