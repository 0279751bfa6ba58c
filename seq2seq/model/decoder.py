"""The recurrent decoder with attention.

There is one path for training, scoring and search: `forward` over any number of steps. In training
these are the whole target, in search one, with several hypotheses (rows) per sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from seq2seq import recipe
from seq2seq.model.attention import ATTENTIONS, Memory
from seq2seq.model.cells import Noise, State
from seq2seq.model.dropout import Dropout, Dropouts
from seq2seq.model.embedding import Embedding
from seq2seq.model.initialise import init_linear
from seq2seq.model.recurrent import Recurrent


@dataclass(frozen=True)
class DecoderState:
    """Where the decoder is, for N rows, an equal number of neighbouring ones per sentence.

    Attributes:
        lower: state of the layers below the attention, each (L, N, H).
        upper: state of the layers above it, each (L, N, H); empty if there are none.
        feed: the last readout (N, R) for input feeding.
        memory: the source, one row per sentence; absent without attention.
    """

    lower: State
    upper: State
    feed: Tensor | None
    memory: Memory | None

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "DecoderState":
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""
        return DecoderState(
            tuple(part.index_select(1, rows) for part in self.lower),
            tuple(part.index_select(1, rows) for part in self.upper),
            None if self.feed is None else self.feed.index_select(0, rows),
            self.memory
            if self.memory is None or sentences is None
            else self.memory.select(sentences),
        )


class Decoder(nn.Module):
    """Predicts features of the next token from the tokens so far and the attended source.

    The layers below the attention (one for `first_layer` feeding, otherwise all) read the
    embeddings, the attention compares their output with the source, the layers above read both.
    With `input` feeding the readout joins the next step's input, which costs a loop over time.
    """

    def __init__(
        self,
        section: recipe.Decoder,
        embedding: Embedding,
        memory_size: int,
        readout_size: int,
        dropouts: Dropouts,
    ) -> None:
        super().__init__()
        hidden = section.hidden_size
        attends = section.attention is not None
        num_lower = 1 if attends and section.feeding == "first_layer" else section.num_layers
        num_upper = section.num_layers - num_lower
        context = memory_size if attends else 0
        self.input_feeding = attends and section.feeding == "input"
        self.readout_size = readout_size
        self.embedding = embedding
        self.embedding_dropout = Dropout(dropouts.embedding, locked=dropouts.locked)
        self.dropout = Dropout(dropouts.hidden, locked=dropouts.locked)
        self.output_dropout = Dropout(dropouts.output, locked=dropouts.locked)
        fed = section.embedding_dim + (readout_size if self.input_feeding else 0)
        build = partial(
            Recurrent,
            section.rnn_type,
            hidden_size=hidden,
            residual=section.residual,
            transition_depth=section.transition_depth,
            dropouts=dropouts,
        )
        self.lower = build(fed, num_layers=num_lower)
        self.upper = (
            build(hidden + context, num_layers=num_upper, on_top=True) if num_upper else None
        )
        self.attention = (
            ATTENTIONS[section.attention](hidden, memory_size) if section.attention else None
        )
        self.readout = init_linear(nn.Linear(hidden + context, readout_size))

    def forward(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read tokens (N, T) and return features of each next one, (N, T, R), and the new state."""
        embedded = self.embedding_dropout(self.embedding(tokens))
        if not self.input_feeding:
            return self._run(embedded, state)
        noise = self.lower.draw(embedded)
        features = []
        for step in embedded.split(1, dim=1):
            assert state.feed is not None
            fed = torch.cat((step, state.feed.unsqueeze(1).to(step.dtype)), dim=-1)
            feature, state = self._run(fed, state, noise)
            features.append(feature)
        return torch.cat(features, dim=1), state

    def _run(
        self, inputs: Tensor, state: DecoderState, noise: Sequence[Noise] | None = None
    ) -> tuple[Tensor, DecoderState]:
        """All layers over inputs (N, T, ·), through the attention at once."""
        hidden, lower = self.lower(inputs, state.lower, noise=noise)
        hidden = self.dropout(hidden)
        context = self._attend(hidden, state.memory)
        upper = state.upper
        if self.upper is not None:
            hidden, upper = self.upper(_join(hidden, context), state.upper)
            hidden = self.dropout(hidden)
        features = self.output_dropout(torch.tanh(self.readout(_join(hidden, context))))
        feed = features[:, -1] if self.input_feeding else None
        return features, DecoderState(lower, upper, feed, state.memory)

    def _attend(self, query: Tensor, memory: Memory | None) -> Tensor | None:
        """Contexts (N, T, M) of queries (N, T, H); the rows of a sentence share its memory."""
        if self.attention is None:
            return None
        assert memory is not None
        rows, steps, size = query.shape
        context, _ = self.attention(query.reshape(memory.keys.shape[0], -1, size), memory)
        grouped: Tensor = context
        return grouped.reshape(rows, steps, -1)


def _join(hidden: Tensor, context: Tensor | None) -> Tensor:
    return hidden if context is None else torch.cat((hidden, context.to(hidden.dtype)), dim=-1)
