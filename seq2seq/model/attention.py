"""Attention by inner products, and the kinds of attention by name."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from seq2seq.model.additive import (
    BahdanauAttention,
    CoverageAttention,
    LocationAttention,
)
from seq2seq.model.initialise import init_linear
from seq2seq.model.memory import Attention, Memory, read
from seq2seq.model.monotonic import MonotonicAttention


class LuongAttention(Attention):
    """Bilinear attention, q·W k, called "general" (Luong et al. 2015, equation 8)."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.key = init_linear(nn.Linear(value_size, query_size, bias=False))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> W k, (B, S, H)."""
        keys: Tensor = self.key(values)
        return keys

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        return read(torch.bmm(query, memory.keys.transpose(1, 2)), memory)


class DotAttention(Attention):
    """Plain inner product, q·k (Luong et al. 2015, equation 8); the sizes must be equal.

    Args:
        query_size: H.
        value_size: M.
        scaled: divide by the root of the size (Vaswani et al. 2017, section 3.2.1).
    """

    def __init__(self, query_size: int, value_size: int, *, scaled: bool = False) -> None:
        super().__init__()
        assert query_size == value_size, (query_size, value_size)
        self.scale = 1 / math.sqrt(query_size) if scaled else 1.0

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        return read(self.scale * torch.bmm(query, memory.keys.transpose(1, 2)), memory)


class MultiHeadAttention(Attention):
    """Inner products in several subspaces at once (Vaswani et al. 2017, section 3.2.2).

    Queries, keys and values are projected to H units, of which each head takes its share; what the
    heads read is mapped back to M units.
    """

    def __init__(self, query_size: int, value_size: int, heads: int, *, scaled: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = init_linear(nn.Linear(query_size, query_size, bias=False))
        self.key = init_linear(nn.Linear(value_size, query_size, bias=False))
        self.value = init_linear(nn.Linear(value_size, query_size, bias=False))
        self.context = init_linear(nn.Linear(query_size, value_size, bias=False))
        self.head = DotAttention(query_size // heads, query_size // heads, scaled=scaled)

    def build_memory(self, values: Tensor, mask: Tensor) -> Memory:
        """Project the encoder states for all heads."""
        return Memory(self._split(self.key(values)), self._split(self.value(values)), mask)

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class; to a head each pair of sentence and head is a sentence."""
        parts = Memory(
            memory.keys.flatten(0, 1),
            memory.values.flatten(0, 1),
            memory.mask.repeat_interleave(self.heads, dim=0),
        )
        queries = self._split(self.query(query)).flatten(0, 1)
        contexts, weights = self.head.attend(queries, parts, None)
        joined = contexts.view(len(query), self.heads, *contexts.shape[1:]).transpose(1, 2)
        weights = weights.view(len(query), self.heads, *weights.shape[1:])
        return self.context(joined.flatten(2)), weights.mean(dim=1)

    def _split(self, features: Tensor) -> Tensor:
        """(B, ·, H) -> (B, heads, ·, H/heads)."""
        parts = features.view(*features.shape[:2], self.heads, -1)
        return parts.transpose(1, 2).contiguous()


ATTENTIONS: dict[str, Callable[[int, int], Attention]] = {
    "bahdanau": BahdanauAttention,
    "concat": partial(BahdanauAttention, bias=False),
    "luong": LuongAttention,
    "dot": DotAttention,
    "scaled_dot": partial(DotAttention, scaled=True),
    "coverage": CoverageAttention,
    "location": LocationAttention,
    "monotonic": MonotonicAttention,
}
"""Kinds of attention, made from H and M."""


def build_attention(kind: str, query_size: int, value_size: int, heads: int = 1) -> Attention:
    """An attention of queries of H over values of M; kinds of inner products have several heads."""
    if heads > 1:
        return MultiHeadAttention(query_size, value_size, heads, scaled=kind == "scaled_dot")
    return ATTENTIONS[kind](query_size, value_size)
