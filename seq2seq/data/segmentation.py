"""Segmentation of words at random: subword regularisation for training.

SentencePiece can sample too, but from one random generator per thread that nobody can seed again,
so a resumed run would differ from an unbroken one. Here the caller brings the random numbers.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Protocol

Random = Callable[[], float]
"""Uniform numbers in [0, 1)."""

SPACE = "\u2581"
_WORD = re.compile(f"{SPACE}[^{SPACE}]*|^[^{SPACE}]+")
_MAX_CACHED_WORDS = 1 << 17
_UNKNOWN_PENALTY = 10.0


class Segmenter(Protocol):
    """Cuts a word of normalised text (spaces are U+2581) into pieces."""

    def segment(self, word: str, amount: float, random: Random) -> tuple[str, ...]:
        """The pieces of a word; characters without a piece stand for themselves."""


def split_words(text: str) -> list[str]:
    """The words of normalised text, each with the space before it."""
    return _WORD.findall(text)


class _State:
    """A partly merged word: its symbols and where each possible merge leads, best merge first."""

    __slots__ = ("merges", "next", "symbols")

    def __init__(self, symbols: tuple[str, ...], scores: Mapping[str, float]) -> None:
        self.symbols = symbols
        found = []
        for i, (left, right) in enumerate(zip(symbols, symbols[1:], strict=False)):
            score = scores.get(left + right)
            if score is not None:
                found.append((-score, i))
        self.merges = [i for _, i in sorted(found)]
        self.next: list[_State | None] = [None] * len(found)

    def merge(self, choice: int, scores: Mapping[str, float]) -> "_State":
        state = self.next[choice]
        if state is None:
            i, symbols = self.merges[choice], self.symbols
            merged = (*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :])
            state = self.next[choice] = _State(merged, scores)
        return state


class BpeDropout:
    """Byte pair encoding that skips each possible merge with some probability at each step.

    Provilkov et al. (2020), algorithm 1. The states that a word went through are kept, so that
    a step costs little more than a random number.

    Args:
        scores: Score of each piece; the pair of symbols whose merger scores highest goes first.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores
        self._words: dict[str, _State] = {}

    def segment(self, word: str, amount: float, random: Random) -> tuple[str, ...]:
        """The pieces of a word, `amount` being the probability to skip a merge."""
        state = self._words.get(word)
        if state is None:
            if len(self._words) >= _MAX_CACHED_WORDS:
                self._words.clear()
            state = self._words[word] = _State(tuple(word), self._scores)
        while True:
            for choice in range(len(state.merges)):
                if random() >= amount:
                    state = state.next[choice] or state.merge(choice, self._scores)
                    break
            else:
                return state.symbols


class UnigramSampler:
    """Draws segmentations x with probability proportional to P(x) to the power of `amount`.

    Kudo (2018), equation 8, with all segmentations as candidates: sums over the lattice forwards
    (kept for each word), draws backwards.

    Args:
        scores: Log-probability of each piece.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores
        self._longest = max(map(len, scores), default=1)
        self._unknown = min(scores.values(), default=0.0) - _UNKNOWN_PENALTY
        self._words: dict[tuple[str, float], list[tuple[list[int], list[float]]]] = {}

    def segment(self, word: str, amount: float, random: Random) -> tuple[str, ...]:
        """The pieces of a word, `amount` being the inverse temperature."""
        lattice = self._words.get((word, amount))
        if lattice is None:
            if len(self._words) >= _MAX_CACHED_WORDS:
                self._words.clear()
            lattice = self._words[word, amount] = self._build_lattice(word, amount)
        pieces, end = [], len(word)
        while end:
            starts, shares = lattice[end]
            last = len(starts) - 1
            start = starts[min(bisect_right(shares, random()), last)] if last else starts[0]
            pieces.append(word[start:end])
            end = start
        return tuple(reversed(pieces))

    def _build_lattice(self, word: str, amount: float) -> list[tuple[list[int], list[float]]]:
        """For each end of a piece its possible starts and their cumulated probabilities."""
        totals = [0.0]
        lattice: list[tuple[list[int], list[float]]] = [([], [])]
        for end in range(1, len(word) + 1):
            starts, weights = [], []
            for start in range(max(0, end - self._longest), end):
                score = self._scores.get(word[start:end])
                if score is None and end - start == 1:
                    score = self._unknown
                if score is not None:
                    starts.append(start)
                    weights.append(totals[start] + amount * score)
            top = max(weights)
            shares, sofar = [], 0.0
            for weight in weights:
                sofar += math.exp(weight - top)
                shares.append(sofar)
            totals.append(top + math.log(sofar))
            lattice.append((starts, [share / sofar for share in shares]))
        return lattice


SEGMENTERS: dict[str, Callable[[Mapping[str, float]], Segmenter]] = {
    "bpe": BpeDropout,
    "unigram": UnigramSampler,
}
"""By type of SentencePiece model; the other types have one segmentation only."""
