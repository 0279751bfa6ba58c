"""Attention of decoder states over encoder states.

The source is projected to keys once per sentence (`Memory`); a query may be a whole teacher-forced
target at once, or all hypotheses of a sentence: both are just more queries to the same keys.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.model.initialise import init_linear


@dataclass(frozen=True)
class Memory:
    """What is attended to: keys (B, S, A), values (B, S, M), mask (B, S), True at real tokens."""

    keys: Tensor
    values: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> "Memory":
        """Keep the given sentences, (B',)."""
        return Memory(
            self.keys.index_select(0, sentences),
            self.values.index_select(0, sentences),
            self.mask.index_select(0, sentences),
        )


class Attention(nn.Module, ABC):
    """A kind of attention: how keys are made and scored."""

    def build_memory(self, values: Tensor, mask: Tensor) -> Memory:
        """Prepare encoder states (B, S, M) with their mask (B, S)."""
        return Memory(self.project_keys(values), values, mask)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend from each query, (B, Q, H).

        Returns:
            Contexts (B, Q, M), averages of the values, and their weights (B, Q, S), which are zero
            at padding and sum to one.
        """
        scores = self.score(query, memory.keys).float()
        scores = scores.masked_fill(~memory.mask.unsqueeze(1), float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        return torch.bmm(weights.to(memory.values.dtype), memory.values), weights

    @abstractmethod
    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> keys (B, S, A)."""

    @abstractmethod
    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, Q, H) and keys (B, S, A) -> scores (B, Q, S)."""


class BahdanauAttention(Attention):
    """Additive attention, v·tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.query = init_linear(nn.Linear(query_size, query_size))
        self.key = init_linear(nn.Linear(value_size, query_size, bias=False))
        self.energy = init_linear(nn.Linear(query_size, 1, bias=False))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> U k, (B, S, H)."""
        keys: Tensor = self.key(values)
        return keys

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Score through a (B, Q, S, H) sum."""
        hidden = torch.tanh(self.query(query).unsqueeze(2) + keys.unsqueeze(1))
        scores: Tensor = self.energy(hidden).squeeze(-1)
        return scores


class LuongAttention(Attention):
    """Bilinear attention, q·W k, called "general" (Luong et al. 2015, equation 8)."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.key = init_linear(nn.Linear(value_size, query_size, bias=False))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> W k, (B, S, H)."""
        keys: Tensor = self.key(values)
        return keys

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Inner products."""
        return torch.bmm(query, keys.transpose(1, 2))


class DotAttention(Attention):
    """Plain inner product, q·k (Luong et al. 2015, equation 8); the sizes must be equal."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        assert query_size == value_size, (query_size, value_size)

    def project_keys(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Inner products."""
        return torch.bmm(query, keys.transpose(1, 2))


ATTENTIONS: dict[str, type[BahdanauAttention] | type[LuongAttention] | type[DotAttention]] = {
    "bahdanau": BahdanauAttention,
    "luong": LuongAttention,
    "dot": DotAttention,
}
