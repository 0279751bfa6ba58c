"""Continuations that search must not take."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from seq2seq.search.requests import Ids, Phrases, build_phrases
from seq2seq.special import BOS, EOS, PAD, UNK

LONGEST_LOOP = 10
"""Tokens that are seen to repeat as one, at most."""


class Constraint(Protocol):
    """Sets the log-probabilities of forbidden continuations to minus infinity, in place."""

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """Constrain log_probs (N, V) after tokens (N, t) of sentences (N,), by their places.

        The beginning mark is not among the tokens.
        """


class Ban:
    """Never produces the given tokens."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        log_probs[:, self.tokens] = float("-inf")


class MinLength:
    """Forbids to end before a number of tokens, (B,) by sentence, the end mark not counted."""

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths
        self.longest = int(lengths.max()) if len(lengths) else 0

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        if tokens.shape[1] < self.longest:
            early = tokens.shape[1] < self.lengths[owners]
            log_probs[:, EOS] = log_probs[:, EOS].masked_fill(early, float("-inf"))


class NoRepeat:
    """Forbids n tokens in a row that stand in the hypothesis already (Paulus et al. 2018)."""

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        context = self.ngram - 1
        if tokens.shape[1] < self.ngram:
            return
        windows = tokens.unfold(1, self.ngram, 1)
        last = tokens[:, tokens.shape[1] - context :].unsqueeze(1)
        seen = (windows[..., :context] == last).all(dim=-1)
        rows, places = seen.nonzero(as_tuple=True)
        log_probs[rows, windows[rows, places, context]] = float("-inf")


class NoLoop:
    """Forbids to say the same more often in a row, be it a token or up to `LONGEST_LOOP` tokens.

    Args:
        times: how often it may be said.
    """

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        length = tokens.shape[1]
        for period in range(1, min(LONGEST_LOOP, (length + 1) // (self.times + 1)) + 1):
            start = length - (period * self.times - 1)
            same = tokens[:, start:] == tokens[:, start - period : length - period]
            next_ = tokens[:, length - period].unsqueeze(1)
            _forbid(log_probs, next_, same.all(dim=1).unsqueeze(1))


class Follow:
    """Lets nothing but given tokens and the end mark stand at one place of a sentence.

    Args:
        places: how many tokens (B,) stand before it, by sentence; negative where there is none.
        tokens: that may stand there.
    """

    def __init__(self, places: Tensor, tokens: Sequence[int]) -> None:
        self.places = places
        self.lengths = set(places.tolist())
        self.tokens = [EOS, *tokens]

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        if tokens.shape[1] in self.lengths:
            others = torch.ones(log_probs.shape[1], dtype=torch.bool, device=log_probs.device)
            others[self.tokens] = False
            here = self.places[owners] == tokens.shape[1]
            log_probs.masked_fill_(here.unsqueeze(1) & others, float("-inf"))


class Prefix:
    """Makes outputs begin with the given tokens, each sentence with its own.

    What other constraints forbid is not forbidden where it was asked for; the log-probabilities
    are kept.
    """

    def __init__(
        self, prefixes: Sequence[Ids], others: Sequence[Constraint], device: torch.device
    ) -> None:
        self.others = others
        self.prefixes = build_phrases([[ids] if ids else [] for ids in prefixes], device)

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        length, (_, _, longest) = tokens.shape[1], self.prefixes.ids.shape
        asked = log_probs.new_zeros(0)
        if length < longest:
            forced = self.prefixes.lengths[owners, 0] > length
            wanted = self.prefixes.ids[owners, 0, length].unsqueeze(1)
            asked = log_probs.gather(1, wanted)
        for constraint in self.others:
            constraint(log_probs, tokens, owners)
        if length < longest:
            log_probs.masked_fill_(forced.unsqueeze(1), float("-inf"))
            asked = torch.where(forced.unsqueeze(1), asked, log_probs.gather(1, wanted))
            log_probs.scatter_(1, wanted, asked)


class Allow:
    """Lets missing phrases begin and go on, whatever other constraints forbid there.

    Args:
        phrases: that are required, of each sentence.
        others: these constraints.
    """

    def __init__(self, phrases: Phrases, others: Sequence[Constraint]) -> None:
        self.phrases = phrases
        self.others = others

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        own = self.phrases.of(owners)
        stands, _ = own.within(tokens)
        asked = own.begun(tokens) & own.places & ~stands.unsqueeze(2)
        following = own.ids.flatten(1)
        before = log_probs.gather(1, following).masked_fill(~asked.flatten(1), float("-inf"))
        for constraint in self.others:
            constraint(log_probs, tokens, owners)
        # Constraints make nothing likelier, so the greater one is what was there before.
        log_probs.scatter_reduce_(1, following, before, "amax")


def _forbid(log_probs: Tensor, tokens: Tensor, which: Tensor) -> None:
    """Forbid those of the tokens (N, C) of each row that are set in `which`, (N, C)."""
    values = torch.zeros_like(tokens, dtype=log_probs.dtype).masked_fill(which, float("-inf"))
    log_probs.scatter_add_(1, tokens, values)


def build_constraints(
    ban_unk: bool, no_repeat_ngram: int = 0, max_repeats: int = 0
) -> list[Constraint]:
    """What holds for all sentences; padding and the beginning mark are never produced."""
    constraints: list[Constraint] = [Ban([PAD, BOS] + ([UNK] if ban_unk else []))]
    if no_repeat_ngram:
        constraints.append(NoRepeat(no_repeat_ngram))
    if max_repeats:
        constraints.append(NoLoop(max_repeats))
    return constraints
