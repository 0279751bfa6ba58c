"""Segmentation of words at random: subword regularisation for training.

SentencePiece can sample too, but from one random generator per thread that nobody can seed again,
so a resumed run would differ from an unbroken one. Here the caller brings the random numbers.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from operator import add
from typing import Protocol

Random = Callable[[], float]
"""Uniform numbers in [0, 1)."""

SPACE = "\u2581"
_WORD = re.compile(f"{SPACE}[^{SPACE}]*|^[^{SPACE}]+")
_MAX_CACHED_WORDS = 1 << 16
_LONGEST_CACHED_WORD = 24
_UNKNOWN_PENALTY = 10.0

_Lattice = list[tuple[list[int], list[float]]]
"""For each end of a piece its possible starts and their cumulated probabilities."""


class Segmenter(Protocol):
    """Cuts a word of normalised text (spaces are U+2581) into pieces."""

    def segment(self, word: str, amount: float, random: Random) -> list[str]:
        """The pieces of a word; characters without a piece stand for themselves."""


def split_words(text: str) -> list[str]:
    """The words of normalised text, each with the space before it."""
    return _WORD.findall(text)


class BpeDropout:
    """Byte pair encoding that skips each possible merge with some probability at each step.

    Provilkov et al. (2020), algorithm 1.

    Args:
        scores: Score of each piece; the neighbours whose merger scores highest go first, of equal
            ones the leftmost.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores

    def segment(self, word: str, amount: float, random: Random) -> list[str]:
        """The pieces of a word, `amount` being the probability to skip a merge."""
        scores, end = self._scores, len(word)
        symbols = list(word)
        before, after = list(range(-1, end - 1)), list(range(1, end + 1))
        merges = [
            (-scores[piece], i, piece)
            for i, piece in enumerate(map(add, word, word[1:]))
            if piece in scores
        ]
        heapify(merges)
        skipped = []
        while merges:
            merge = heappop(merges)
            _, i, piece = merge
            right = after[i]
            if right == end or symbols[i] + symbols[right] != piece:
                continue
            if random() < amount:
                skipped.append(merge)
                continue
            symbols[i], symbols[right] = piece, ""
            beyond = after[i] = after[right]
            if beyond != end:
                before[beyond] = i
                self._propose(merges, i, piece + symbols[beyond])
            if i:
                self._propose(merges, before[i], symbols[before[i]] + piece)
            for merge in skipped:
                heappush(merges, merge)
            skipped.clear()
        return [symbol for symbol in symbols if symbol]

    def _propose(self, merges: list[tuple[float, int, str]], i: int, piece: str) -> None:
        score = self._scores.get(piece)
        if score is not None:
            heappush(merges, (-score, i, piece))


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
        self._words: dict[tuple[str, float], _Lattice] = {}

    def segment(self, word: str, amount: float, random: Random) -> list[str]:
        """The pieces of a word, `amount` being the inverse temperature."""
        lattice = self._words.get((word, amount)) or self._build_lattice(word, amount)
        if len(word) <= _LONGEST_CACHED_WORD:
            if len(self._words) >= _MAX_CACHED_WORDS:
                self._words.clear()
            self._words[word, amount] = lattice
        pieces, end = [], len(word)
        while end:
            starts, shares = lattice[end]
            last = len(starts) - 1
            start = starts[min(bisect_right(shares, random()), last)] if last else starts[0]
            pieces.append(word[start:end])
            end = start
        pieces.reverse()
        return pieces

    def _build_lattice(self, word: str, amount: float) -> _Lattice:
        totals = [0.0]
        lattice: _Lattice = [([], [])]
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
