"""Search as a recipe wants it."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor

from seq2seq import recipe
from seq2seq.search.banned import BanText
from seq2seq.search.beam import Best, Choice, beam_search
from seq2seq.search.constraints import (
    Allow,
    Constraint,
    Follow,
    MinLength,
    Prefix,
    build_constraints,
)
from seq2seq.search.diverse import Diverse
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.lexical import Required
from seq2seq.search.loop import Bonus, StateT, Step
from seq2seq.search.penalties import build_score
from seq2seq.search.requests import Phrases, Request, Words, build_phrases
from seq2seq.search.sample import build_draws, sample

MAX_PIECES = 1000
"""Pieces of a translation, at most, where the recipe doesn't say: a line of thousands of words is
far beyond what a model was trained on, and a model that can't find its end takes its time."""


class Search:
    """Searches, or samples, for the outputs of a step function.

    Args:
        decoding: settings.
        words: says where tokens stand in words, and is asked if need be; if not given, each is
            taken for one.
    """

    def __init__(self, decoding: recipe.Decoding, words: Callable[[], Words] | None = None) -> None:
        self.decoding = decoding
        self.words = words
        self.score = build_score(decoding.length_penalty_type, decoding.length_penalty)
        self.constraints = build_constraints(
            decoding.ban_unk, decoding.no_repeat_ngram, decoding.max_repeats
        )
        self.width = decoding.n_best if decoding.sampling else decoding.beam_size
        """Rows per sentence."""

    def __call__(
        self,
        step: Step[StateT],
        state: StateT,
        lengths: Tensor,
        requests: Sequence[Request],
        device: torch.device,
        bonus: Bonus[StateT] | None = None,
    ) -> list[list[Hypothesis]]:
        """Search B sentences at once.

        Args:
            step: gives the log-probabilities of the next tokens.
            state: where it starts, one row per sentence.
            lengths: (B,) tokens of each source, end mark counted, on the CPU.
            requests: what is asked of each sentence.
            device: where the state is.
            bonus: of the scores; see `beam_search`.

        Returns:
            The hypotheses of each sentence: the best ones in their order, or its samples.
        """
        decoding = self.decoding
        room = torch.tensor([request.room for request in requests], dtype=torch.long)
        limits = torch.maximum(limit_lengths(decoding, lengths), room)
        constraints = self._constraints(lengths, limits, requests, device)
        if decoding.sampling:
            keys, longest = [request.key for request in requests], int(limits.max())
            draws = build_draws(decoding.sampling_seed, keys, decoding.n_best, longest)
            return sample(
                step,
                state,
                limits.to(device),
                draws.to(device),
                score=self.score,
                temperature=decoding.temperature,
                top_k=decoding.top_k,
                top_p=decoding.top_p,
                constraints=constraints,
            )
        return beam_search(
            step,
            state,
            limits.to(device),
            beam_size=decoding.beam_size,
            n_best=decoding.n_best,
            score=self.score,
            early_stopping=decoding.early_stopping,
            choose=self._choice(requests, device),
            constraints=constraints,
            bonus=bonus,
        )

    def _constraints(
        self, lengths: Tensor, limits: Tensor, requests: Sequence[Request], device: torch.device
    ) -> list[Constraint]:
        constraints = [*self.constraints]
        if any(request.required for request in requests):
            # Bans of a sentence stay: they are asked for as much as its phrases are.
            constraints = [Allow(self._required(requests, device), constraints)]
        fewest = torch.minimum(fewest_pieces(self.decoding, lengths), limits - 1)
        if fewest.any():
            constraints.append(MinLength(fewest.to(device)))
        sizes = torch.tensor([len(request.prefix) for request in requests], device=device)
        for banned in zip_longest(*(request.banned for request in requests)):
            constraints.append(BanText(banned, sizes, limits.to(device)))
        if any(request.whole for request in requests) and self.words:
            ends = [len(request.prefix) if request.whole else -1 for request in requests]
            if starts := self.words().starts:
                constraints.append(Follow(torch.tensor(ends, device=device), starts))
        if any(request.prefix for request in requests):
            prefixes = [request.prefix for request in requests]
            return [Prefix(prefixes, constraints, device)]
        return constraints

    def _choice(self, requests: Sequence[Request], device: torch.device) -> Choice:
        if any(request.required for request in requests):
            return Required(self._required(requests, device))
        if self.decoding.diversity_groups > 1:
            return Diverse(self.decoding.diversity_groups, self.decoding.diversity_strength)
        return Best()

    def _required(self, requests: Sequence[Request], device: torch.device) -> Phrases:
        words = None if self.words is None else self.words()
        return build_phrases([request.required for request in requests], device, words)


def limit_lengths(decoding: recipe.Decoding, lengths: Tensor) -> Tensor:
    """Most tokens (B,) of outputs, end mark counted, by the lengths (B,) of the sources."""
    limits = (3 * lengths + 30).clamp(max=MAX_PIECES)
    if decoding.max_length is not None:
        limits = torch.full_like(limits, decoding.max_length)
    if decoding.max_length_ratio is not None:
        by_ratio = torch.ceil(_times(lengths, decoding.max_length_ratio)).long().clamp(min=1)
        limits = torch.minimum(limits, by_ratio) if decoding.max_length else by_ratio
        limits = limits.clamp(max=decoding.max_length or MAX_PIECES)
    return limits


def fewest_pieces(decoding: recipe.Decoding, lengths: Tensor) -> Tensor:
    """Fewest tokens (B,) of outputs, no end mark counted, by the lengths (B,) of the sources."""
    by_ratio = torch.floor(_times(lengths - 1, decoding.min_length_ratio)).long()
    return by_ratio.clamp(min=decoding.min_length)


def _times(lengths: Tensor, ratio: float) -> Tensor:
    """The product as it is in decimals, so that 1.1 times 10 is 11; no more than tokens can be."""
    return (lengths.double() * ratio).round(decimals=6).clamp(max=2.0**31)
