"""Where two systems differ: lines, words and n-grams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from seq2seq.scoring.metrics import References, Statistics

MAX_ORDER = 4
"""Longest n-grams that are counted."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"([{_UNSPACED}]|[^\s{_UNSPACED}]+)(\s*)")
"""A word with the blanks behind it; a character is one where words aren't spaced."""

Marks = tuple[str, str, str, str]
"""What stands before and after what has gone, and before and after what has come."""

PLAIN: Marks = ("[-", "-]", "{+", "+}")
COLOURED: Marks = ("\x1b[31m", "\x1b[0m", "\x1b[32m", "\x1b[0m")


@dataclass(frozen=True)
class LineChange:
    """The scores of a line.

    Attributes:
        line: Its index.
        before: The score of the first system.
        after: That of the second.
        gain: How much better the second is.
    """

    line: int
    before: float
    after: float
    gain: float


@dataclass(frozen=True)
class NgramChange:
    """How often an n-gram of the references is there.

    Attributes:
        words: The n-gram.
        gained: How often it is in a line of the second system and not in that of the first.
        lost: How often the other way round.
    """

    words: tuple[str, ...]
    gained: int
    lost: int

    @property
    def net(self) -> int:
        """How much more often the second system has it."""
        return self.gained - self.lost


def line_changes(
    before: Statistics, after: Statistics, *, fewer_is_better: bool
) -> list[LineChange]:
    """What each line gains, most first."""
    sign = -1 if fewer_is_better else 1
    pairs = zip(before.sentences(), after.sentences(), strict=True)
    changes = [LineChange(i, old, new, sign * (new - old)) for i, (old, new) in enumerate(pairs)]
    return sorted(changes, key=lambda change: -change.gain)


def ngram_changes(
    before: Sequence[str],
    after: Sequence[str],
    references: References,
    tokenize: Callable[[str], list[str]],
) -> list[NgramChange]:
    """N-grams of the references that one system has and the other hasn't, in no order.

    An n-gram counts in a line as often as in the translation, but no more often than in that
    reference which has it most, as in BLEU.
    """
    gained: Counter[tuple[str, ...]] = Counter()
    lost: Counter[tuple[str, ...]] = Counter()
    for old, new, *expected in zip(before, after, *references, strict=True):
        if old == new:
            continue
        allowed: Counter[tuple[str, ...]] = Counter()
        for reference in expected:
            allowed |= _ngrams(tokenize(reference))
        was, is_ = (_ngrams(tokenize(line)) & allowed for line in (old, new))
        gained.update(is_ - was)
        lost.update(was - is_)
    return [NgramChange(words, gained[words], lost[words]) for words in gained.keys() | lost]


def largest_changes(changes: Iterable[NgramChange], num: int, sign: int) -> list[NgramChange]:
    """The n-grams that gain most (sign 1) or lose most (sign -1), all in all.

    None is part of a longer one that changes as often: it says nothing new.
    """
    ranked = sorted(
        (change for change in changes if sign * change.net > 0),
        key=lambda one: (-sign * one.net, one.gained, -len(one.words), one.words),
    )
    chosen: list[NgramChange] = []
    for change in ranked:
        if len(chosen) == num:
            break
        counts = change.gained, change.lost
        if not any(
            (one.gained, one.lost) == counts and _is_part(change.words, one.words) for one in chosen
        ):
            chosen.append(change)
    return chosen


def word_diff(before: str, after: str, marks: Marks = PLAIN) -> str:
    """A text with the words that have gone from it and those that have come to it."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    matcher = SequenceMatcher(None, [word for word, _ in old], [word for word, _ in new])
    parts = []
    for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        gone, come = old[old_start:old_end], new[new_start:new_end]
        if kind == "equal":
            pairs = zip(gone, come, strict=True)
            parts += [word + max(one, other, key=len) for (word, one), (_, other) in pairs]
            continue
        for words, start, end in ((gone, *marks[:2]), (come, *marks[2:])):
            if words:
                parts.append(start + "".join(map("".join, words)).rstrip() + end)
        parts.append((come or gone)[-1][1])
    return "".join(parts)


def _ngrams(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(words[start : start + order])
        for order in range(1, MAX_ORDER + 1)
        for start in range(len(words) - order + 1)
    )


def _is_part(words: tuple[str, ...], others: tuple[str, ...]) -> bool:
    size = len(words)
    return any(words == others[start : start + size] for start in range(len(others) - size + 1))
