"""Accuracy, word error rate and character error rate, as metrics of sacreBLEU's kind.

They count line by line as BLEU does, and so intervals, tests and breakdowns are the same for all.
Importing this imports sacreBLEU.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sacrebleu.metrics.base import Metric, Score, Signature


class _Signature(Signature):
    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.info["case"] = "lc" if settings["lowercase"] else "mixed"


class Rate(Metric):
    """How much of something is wrong, in per cent.

    Args:
        name: The metric as it is written in papers.
        count: For a translation and one of its references, how much is wrong, and of how much. Of
            several references the one counts with the least wrong, of equal ones the longest.
        lowercase: Compare lower-cased text.
    """

    _SIGNATURE_TYPE = _Signature  # type: ignore[assignment]

    def __init__(
        self, name: str, count: Callable[[str, str], tuple[int, int]], lowercase: bool
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name, self.count, self.lowercase = name, count, lowercase

    def _preprocess_segment(self, sent: str) -> str:
        return sent.lower() if self.lowercase else sent

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[int]:
        counts = [self.count(hypothesis, reference) for reference in ref_kwargs["references"]]
        wrong, total = min(counts, key=lambda found: (found[0], -found[1]))
        return [wrong, total]

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        wrong, total = map(float, stats)
        return Score(self.name, 100 * (wrong / total if total else float(wrong > 0)))

    def _aggregate_and_compute(self, stats: list[list[int]]) -> Score:
        return self._compute_score_from_stats([sum(counts) for counts in zip(*stats, strict=True)])


class Accuracy(Rate):
    """The share of lines that equal a reference; blanks at their ends don't count."""

    def __init__(self, lowercase: bool) -> None:
        super().__init__("accuracy", _is_wrong, lowercase)

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Score:
        wrong, total = map(float, stats)
        return Score(self.name, 100 * (total - wrong) / total)


class WordErrorRate(Rate):
    """Words to insert, delete or replace, per word of the reference; words end at blanks."""

    def __init__(self, lowercase: bool) -> None:
        super().__init__("WER", _word_errors, lowercase)


class CharacterErrorRate(Rate):
    """Characters to insert, delete or replace, per character of the reference.

    Characters are code points, and blanks are characters: those at the ends of a line don't count,
    several in a row are one.
    """

    def __init__(self, lowercase: bool) -> None:
        super().__init__("CER", _character_errors, lowercase)


RATES: dict[str, Callable[[bool], Rate]] = {
    "accuracy": Accuracy,
    "wer": WordErrorRate,
    "cer": CharacterErrorRate,
}


def _is_wrong(hypothesis: str, reference: str) -> tuple[int, int]:
    return int(hypothesis.strip() != reference.strip()), 1


def _word_errors(hypothesis: str, reference: str) -> tuple[int, int]:
    words = reference.split()
    return edit_distance(hypothesis.split(), words), len(words)


def _character_errors(hypothesis: str, reference: str) -> tuple[int, int]:
    text = " ".join(reference.split())
    return edit_distance(" ".join(hypothesis.split()), text), len(text)


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and replacements that make one sequence of the other.

    A column of the table of dynamic programming differs from cell to cell by -1, 0 or 1. Here it is
    two whole numbers, a bit for each cell that is one more (`up`) or one less (`down`) than the one
    above it, and the next column follows in a dozen operations (Myers 1999, as in Hyyrö 2003).
    """
    if not one:
        return len(other)
    places: dict[Hashable, int] = {}
    for i, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << i
    ones, bottom = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = ones, 0, len(one)
    for item in other:
        equal = places.get(item, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right, left = down | ~(diagonal | up), diagonal & up
        distance += bool(right & bottom) - bool(left & bottom)
        right, left = right << 1 | 1, left << 1
        up, down = (left | ~(diagonal | right)) & ones, diagonal & right & ones
    return distance
