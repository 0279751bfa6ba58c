"""Scores of short and long lines, and of rare and frequent words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seq2seq.scoring.metrics import Statistics

NUM_BUCKETS = 5
"""Of lengths; each has about as many lines."""

FREQUENCIES = (0, 1, 2, 5, 10, 100, 1000)
"""Where the buckets of frequencies begin."""


@dataclass(frozen=True)
class Bucket:
    """What lies in a range.

    Attributes:
        low: Where the range begins.
        high: Where it ends, itself in it; `None`: nowhere.
        size: How many lines or words of the references are in it.
        values: A score for each system, in per cent.
    """

    low: int
    high: int | None
    size: int
    values: tuple[float, ...]

    @property
    def label(self) -> str:
        """The range for people."""
        if self.high is None:
            return f"{self.low}+"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def by_length(systems: Sequence[Statistics], lengths: Sequence[int]) -> list[Bucket]:
    """Scores of the lines whose references are about as long.

    Args:
        systems: What one metric counts for each system.
        lengths: Of the references, in words.
    """
    ordered = sorted(lengths)
    starts = sorted({ordered[len(ordered) * i // NUM_BUCKETS] for i in range(NUM_BUCKETS)})
    ends = [start - 1 for start in starts[1:]] + [ordered[-1]]
    buckets = []
    for low, high in zip(starts, ends, strict=True):
        lines = [line for line, length in enumerate(lengths) if low <= length <= high]
        values = tuple(one.value(lines) for one in systems)
        buckets.append(Bucket(low, high, len(lines), values))
    return buckets


def by_rarity(
    systems: Sequence[Sequence[str]],
    references: Sequence[str],
    frequencies: Mapping[str, int],
    tokenize: Callable[[str], list[str]],
) -> list[Bucket]:
    """F1 of the words that are about as frequent: 2 · right / (produced + in the references).

    A word is right as often as it stands in the translation and in the reference of a line.

    Args:
        systems: Translations of each system.
        references: One line for each of theirs.
        frequencies: How often a word occurs; those that are not there never do.
        tokenize: Cuts a line into words.
    """
    expected = [Counter(tokenize(line)) for line in references]
    in_references = _by_frequency(expected, frequencies)
    columns = []
    for lines in systems:
        produced = [Counter(tokenize(line)) for line in lines]
        right = (ours & theirs for ours, theirs in zip(produced, expected, strict=True))
        in_system, is_right = (_by_frequency(counts, frequencies) for counts in (produced, right))
        columns.append(
            {
                start: 200 * is_right[start] / (in_system[start] + size)
                for start, size in in_references.items()
            }
        )
    ends = dict(zip(FREQUENCIES, [start - 1 for start in FREQUENCIES[1:]], strict=False))
    return [
        Bucket(start, ends.get(start), in_references[start], tuple(one[start] for one in columns))
        for start in FREQUENCIES
        if start in in_references
    ]


def word_frequencies(lines: Iterable[str], tokenize: Callable[[str], list[str]]) -> Counter[str]:
    """How often each word occurs."""
    found: Counter[str] = Counter()
    for line in lines:
        found.update(tokenize(line))
    return found


def _by_frequency(lines: Iterable[Counter[str]], frequencies: Mapping[str, int]) -> Counter[int]:
    """How many words there are of each range of frequencies, by its start."""
    found: Counter[int] = Counter()
    for words in lines:
        for word, count in words.items():
            frequency = frequencies.get(word, 0)
            found[max(start for start in FREQUENCIES if start <= frequency)] += count
    return found
