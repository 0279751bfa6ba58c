"""Continuations that search must not take."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from seq2seq.special import BOS, EOS, PAD, UNK


class Constraint(Protocol):
    """Sets the log-probabilities of forbidden continuations to minus infinity, in place."""

    def __call__(self, log_probs: Tensor, tokens: Tensor) -> None:
        """Constrain log_probs (N, V) after tokens (N, t), the beginning mark not among them."""


class Ban:
    """Never produces the given tokens."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def __call__(self, log_probs: Tensor, tokens: Tensor) -> None:
        """See `Constraint`."""
        log_probs[:, self.tokens] = float("-inf")


class MinLength:
    """Forbids to end before a number of tokens, the end mark not counted."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, log_probs: Tensor, tokens: Tensor) -> None:
        """See `Constraint`."""
        if tokens.shape[1] < self.length:
            log_probs[:, EOS] = float("-inf")


class NoRepeat:
    """Forbids n tokens in a row that stand in the hypothesis already (Paulus et al. 2018)."""

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram

    def __call__(self, log_probs: Tensor, tokens: Tensor) -> None:
        """See `Constraint`."""
        context = self.ngram - 1
        if tokens.shape[1] < self.ngram:
            return
        windows = tokens.unfold(1, self.ngram, 1)
        last = tokens[:, tokens.shape[1] - context :].unsqueeze(1)
        seen = (windows[..., :context] == last).all(dim=-1)
        rows, places = seen.nonzero(as_tuple=True)
        log_probs[rows, windows[rows, places, context]] = float("-inf")


def build_constraints(ban_unk: bool, min_length: int, no_repeat_ngram: int) -> list[Constraint]:
    """The constraints of a search; padding and the beginning mark are never produced."""
    constraints: list[Constraint] = [Ban([PAD, BOS] + ([UNK] if ban_unk else []))]
    if min_length:
        constraints.append(MinLength(min_length))
    if no_repeat_ngram:
        constraints.append(NoRepeat(no_repeat_ngram))
    return constraints
