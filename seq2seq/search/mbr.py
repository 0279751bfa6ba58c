"""Minimum Bayes risk: of several outputs the one that the others agree with most."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Utilities = Callable[[Sequence[str]], npt.NDArray[np.float64]]
"""C texts -> (C, C) how good each is (row) if each is right (column), up is good."""


def expected_utilities(
    texts: Sequence[str], log_probs: Sequence[float] | None, utilities: Utilities
) -> list[float]:
    """How good each candidate is to be expected to be (Kumar & Byrne 2004, equation 3).

    Each candidate is held against all, itself included, by their shares of the probability.

    Args:
        texts: at least one.
        log_probs: natural log-probabilities of the candidates, renormalised over these; absent for
            samples, which are as frequent as they are probable.
        utilities: computed of each different text once.
    """
    different = list(dict.fromkeys(texts))
    places = {text: place for place, text in enumerate(different)}
    top = 0.0 if log_probs is None else max(log_probs)
    weights = np.zeros(len(different))
    for text, log_prob in zip(texts, log_probs or [0.0] * len(texts), strict=True):
        weights[places[text]] += math.exp(log_prob - top)
    expected = utilities(different) @ (weights / weights.sum())
    return [float(expected[places[text]]) for text in texts]
