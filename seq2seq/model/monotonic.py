"""Attention that only moves forward."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.model.additive import BahdanauAttention
from seq2seq.model.memory import Attention, Memory, average, widen

OFFSET = -1.0
"""First bias of the scores: rather go on than stop."""

NOISE = 1.0
"""Standard deviation of what is added to scores in training, which drives them to extremes."""


class MonotonicAttention(Attention):
    """Attention that only moves forward (Raffel et al. 2017).

    From where it looked last it goes through the source and stops at the first token that it
    chooses. In training each token is chosen with a probability and the weights are those of
    stopping there; otherwise it is chosen if that is more likely than not, and its weight is 1.
    What has gone past the last token sees nothing from then on.
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.additive = BahdanauAttention(query_size, value_size)
        self.scale = nn.Parameter(torch.tensor(1 / math.sqrt(query_size)))
        self.offset = nn.Parameter(torch.tensor(OFFSET))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> U k, (B, S, H)."""
        return self.additive.project_keys(values)

    def start(self, memory: Memory) -> Tensor:
        """It looks at the first token."""
        past = widen(memory.values.new_zeros(memory.mask.shape))
        past[:, 0] = 1
        return past

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        assert past is not None
        # Its direction alone counts, so nothing holds its size up against an L1 penalty.
        scale = self.scale / self.additive.energy.weight.norm().clamp(min=1e-6)
        scores = scale * widen(self.additive.score(query, memory.keys)) + self.offset
        if self.training:
            scores = scores + NOISE * torch.randn_like(scores)
        scores = scores.masked_fill(~memory.mask.unsqueeze(1), float("-inf"))
        weights = stopping(scores, past) if self.training else _first(scores > 0, past)
        return average(weights, memory.values), weights


def stopping(scores: Tensor, past: Tensor) -> Tensor:
    """Probabilities to stop at each position, having started where `past` says; all (…, S).

    Where scores are log-odds of stopping, the probability to pass all positions from k to before j
    is the exponential of a difference of sums of logarithms, so nothing is divided by a product
    that has come down to zero.
    """
    passing = -F.softplus(scores)
    before = passing.cumsum(dim=-1) - passing
    passed = before.unsqueeze(-2) - before.unsqueeze(-1)
    backwards = torch.ones_like(passed, dtype=torch.bool).tril(-1)
    reach = torch.exp(passed.masked_fill(backwards, float("-inf")))
    arrived = (past.unsqueeze(-1) * reach).sum(dim=-2)
    return torch.sigmoid(scores) * arrived


def _first(chosen: Tensor, past: Tensor) -> Tensor:
    """1 at the first chosen position from the one on where `past` is 1; all (…, S)."""
    ahead = chosen & (past.cumsum(dim=-1) > 0)
    return (ahead & (ahead.cumsum(dim=-1) == 1)).to(past.dtype)
