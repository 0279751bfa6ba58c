"""Scores of hypotheses, by which they are ranked.

The log-probability alone favours short outputs, since each token makes it less.
"""

from collections.abc import Callable

from torch import Tensor

Score = Callable[[Tensor, Tensor | float], Tensor]
"""(log-probabilities, lengths that count the end mark) -> scores."""


def gnmt(log_probs: Tensor, lengths: Tensor | float, strength: float) -> Tensor:
    """Over ((5 + length) / 6)^strength (Wu et al. 2016, equation 14)."""
    penalty: Tensor | float = ((5.0 + lengths) / 6.0) ** strength
    return log_probs / penalty


def average(log_probs: Tensor, lengths: Tensor | float, strength: float) -> Tensor:
    """Over length^strength; at 1 the mean log-probability of a token."""
    penalty: Tensor | float = (1.0 * lengths) ** strength
    return log_probs / penalty


def reward(log_probs: Tensor, lengths: Tensor | float, strength: float) -> Tensor:
    """With a reward for each token (He et al. 2016)."""
    return log_probs + strength * lengths


LENGTH_PENALTIES: dict[str, Callable[[Tensor, Tensor | float, float], Tensor]] = {
    "gnmt": gnmt,
    "average": average,
    "reward": reward,
}
"""All give the log-probability itself at strength 0."""


def build_score(kind: str, strength: float) -> Score:
    """The score of a recipe."""
    penalise = LENGTH_PENALTIES[kind]
    return lambda log_probs, lengths: penalise(log_probs, lengths, strength)


def plain(log_probs: Tensor, lengths: Tensor | float) -> Tensor:
    """The log-probability as the score."""
    return log_probs
