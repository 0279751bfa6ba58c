"""Token embeddings and the output layer, whose weights may be the same."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.special import PAD

OUTPUT_GAIN = 1.5
"""Standard deviation of first logits for features of unit variance.

Learning starts in the output layer. With Xavier weights (a gain of 0.35 for 512 features and 8,000
tokens) the first hundred updates went to waste; anything from 1.3 to 2.5 is about as good.
"""


class Embedding(nn.Embedding):
    """Token embeddings of unit variance.

    Args:
        vocab_size: number of tokens, V.
        size: of each embedding, E.
        tied: whether the weights serve as output weights too. Then they have the scale of these,
            and what is looked up is scaled up.
    """

    def __init__(self, vocab_size: int, size: int, *, tied: bool) -> None:
        self.scale = math.sqrt(size) / OUTPUT_GAIN if tied else 1.0
        super().__init__(vocab_size, size, padding_idx=PAD)

    def reset_parameters(self) -> None:
        """Normal weights; the padding row is zero."""
        nn.init.normal_(self.weight, std=1 / self.scale)
        nn.init.zeros_(self.weight.data[PAD])

    def forward(self, input: Tensor) -> Tensor:
        """Token ids (…) -> embeddings (…, E)."""
        embedded = super().forward(input)
        return embedded if self.scale == 1.0 else embedded * self.scale


def build_output(size: int, vocab_size: int, *, bias: bool = True) -> nn.Linear:
    """The output layer, features (…, size) -> logits (…, V)."""
    layer = nn.Linear(size, vocab_size, bias=bias)
    nn.init.normal_(layer.weight, std=OUTPUT_GAIN / math.sqrt(size))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class TiedOutput(nn.Module):
    """The output layer (…, E) -> (…, V) whose weights are the first V of the embeddings."""

    def __init__(self, embedding: Embedding, vocab_size: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.in_features, self.out_features = embedding.embedding_dim, vocab_size
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    @property
    def weight(self) -> Tensor:
        """(V, E)."""
        return self.embedding.weight[: self.out_features]

    def forward(self, features: Tensor) -> Tensor:
        """Features (…, E) -> logits (…, V)."""
        return F.linear(features, self.weight, self.bias)
