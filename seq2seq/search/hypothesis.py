"""What search finds."""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A found output.

    Attributes:
        score: what hypotheses are ranked by, see `penalties`.
        log_prob: natural log-probability of the tokens and, if complete, the end mark.
        tokens: ids, without the end mark.
        complete: whether it ended by itself, not at the length limit or for want of a next token.
    """

    score: float
    log_prob: float
    tokens: list[int]
    complete: bool


class Finished:
    """Collects hypotheses by place, a few tensors a step; a place is a sentence or a part of it."""

    def __init__(self, num_places: int) -> None:
        self.hypotheses: list[list[Hypothesis]] = [[] for _ in range(num_places)]

    def add(
        self, places: Tensor, scores: Tensor, log_probs: Tensor, tokens: Tensor, complete: bool
    ) -> None:
        """Add hypotheses of places (F,) with scores (F,), log_probs (F,) and tokens (F, t)."""
        numbers = torch.stack((scores, log_probs)).tolist()
        rows = zip(places.tolist(), *numbers, tokens.tolist(), strict=True)
        for place, score, log_prob, ids in rows:
            self.hypotheses[place].append(Hypothesis(score, log_prob, ids, complete))

    def best(self, n_best: int, num_parts: int = 1) -> list[list[Hypothesis]]:
        """The n best of each sentence, complete ones first; equal ones by their tokens.

        Args:
            n_best: most hypotheses.
            num_parts: neighbouring places that are one sentence; what several have found is one.
        """
        best = []
        for found in self.joined(num_parts):
            ranked = sorted(found, key=lambda h: (not h.complete, -h.score, h.tokens))
            once: dict[tuple[int, ...], Hypothesis] = {}
            for one in ranked:
                once.setdefault((one.complete, *one.tokens), one)
            best.append(list(once.values())[:n_best])
        return best

    def joined(self, num_parts: int) -> list[list[Hypothesis]]:
        """Those of each sentence, place by place, in the order in which they were found."""
        parts = (
            self.hypotheses[start : start + num_parts]
            for start in range(0, len(self.hypotheses), num_parts)
        )
        return [list(chain.from_iterable(part)) for part in parts]
