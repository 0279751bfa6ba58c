"""Words predicted from the words that are attended to (Nguyen & Chiang 2018)."""

import torch
from torch import Tensor, nn

from seq2seq.model.dropout import Dropout, Dropouts
from seq2seq.model.embedding import TiedOutput, build_output
from seq2seq.model.initialise import init_linear
from seq2seq.model.memory import average


class Lexical(nn.Module):
    """Features of the next token from the source embeddings under the attention alone.

    With f the tanh of the embeddings' average by the attention weights, they are f + tanh(W f).
    Units are dropped like those of the readouts beside them: they are learnt by heart as readily.
    """

    def __init__(self, size: int, dropouts: Dropouts) -> None:
        super().__init__()
        self.dropout = Dropout(dropouts.output, locked=dropouts.locked)
        self.layer = init_linear(nn.Linear(size, size, bias=False))

    def forward(self, weights: Tensor, embeddings: Tensor) -> Tensor:
        """Weights (N, T, S) and embeddings (B, S, E) -> features (N, T, E)."""
        seen = torch.tanh(average(weights, embeddings))
        features: Tensor = self.dropout(seen + torch.tanh(self.layer(seen)))
        return features


class LexicalOutput(nn.Module):
    """An output layer over readouts and lexical features side by side, (…, R + E).

    The logits are the sum of those of two layers, of which only that of the readouts may share its
    weights with embeddings. There is one bias.
    """

    def __init__(self, readout: nn.Linear | TiedOutput, size: int) -> None:
        super().__init__()
        self.readout = readout
        self.size = readout.in_features
        self.lexical = build_output(size, readout.out_features, bias=False)

    @property
    def weight(self) -> Tensor:
        """The weights of both layers, (V, R + E)."""
        return torch.cat((self.readout.weight, self.lexical.weight), dim=1)

    @property
    def bias(self) -> Tensor:
        """The bias, (V,)."""
        return self.readout.bias

    def forward(self, features: Tensor) -> Tensor:
        """Features (…, R + E) -> logits (…, V)."""
        readouts, others = features[..., : self.size], features[..., self.size :]
        logits: Tensor = self.readout(readouts) + self.lexical(others)
        return logits


Output = nn.Linear | TiedOutput | LexicalOutput
"""A layer from features to logits."""
