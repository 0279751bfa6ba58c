"""How much of the source hypotheses have attended to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.model.ensemble import Ensemble, EnsembleState

LEAST = 1e-6
"""Attention that each source token is taken to have got at least: monotonic attention gives most of
them none, whose logarithm would end all comparisons."""


@dataclass(frozen=True)
class CoverageState:
    """Where an ensemble is, and where it has looked.

    Attributes:
        inner: of the ensemble.
        attended: of each member with attention, the sum (N, S) of its weights so far.
        masks: of each, (B, S), True at real tokens.
    """

    inner: EnsembleState
    attended: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "CoverageState":
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""
        return CoverageState(
            self.inner.select(rows, sentences),
            tuple(part.index_select(0, rows) for part in self.attended),
            self.masks
            if sentences is None
            else tuple(part.index_select(0, sentences) for part in self.masks),
        )


class Coverage:
    """Sums the attention of an ensemble's steps, for the coverage penalty.

    Args:
        ensemble: some of its members have attention.
        strength: beta of Wu et al. (2016), equation 14.
    """

    def __init__(self, ensemble: Ensemble, strength: float) -> None:
        self.ensemble = ensemble
        self.strength = strength

    def start(self, state: EnsembleState) -> CoverageState:
        """Nothing is attended to yet."""
        masks = tuple(own.memory.mask for own in state.members if own.memory is not None)
        attended = tuple(torch.zeros(mask.shape, device=mask.device) for mask in masks)
        return CoverageState(state, attended, masks)

    def step(self, tokens: Tensor, state: CoverageState) -> tuple[Tensor, CoverageState]:
        """A search step: last tokens (N,) -> log-probabilities (N, V) of the next."""
        log_probs, inner = self.ensemble.step(tokens, state.inner)
        weights = [own.weights[:, -1] for own in inner.members if own.weights is not None]
        attended = tuple(
            sum_ + more.to(sum_.dtype) for sum_, more in zip(state.attended, weights, strict=True)
        )
        return log_probs, CoverageState(inner, attended, state.masks)

    def penalties(self, state: CoverageState) -> Tensor:
        """What each row's score gets (N,), at most 0: the mean over the members that attend.

        Each source token gives the logarithm of its attention so far, of which 1 is enough.
        """
        found = []
        for attended, mask in zip(state.attended, state.masks, strict=True):
            got = attended.clamp(min=LEAST, max=1.0).view(mask.shape[0], -1, mask.shape[1])
            logs = got.log().masked_fill(~mask.unsqueeze(1), 0.0)
            found.append(logs.sum(dim=2).flatten())
        return self.strength * torch.stack(found).mean(dim=0)
