"""Files that say what is asked of each line, read in step with the lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, tee, zip_longest
from operator import itemgetter

from seq2seq.errors import DataError

Named = tuple[str, Iterator[str]]
"""What errors call a text, and its lines."""


def read_in_step(text: Named, others: Sequence[Named], before: int) -> list[Iterator[str]]:
    """The lines of a text and those of others, which are to be read in turn.

    Args:
        text: without its first lines.
        others: with these.
        before: how many they are.

    Raises:
        DataError: one of them ends before another.
    """
    names = [text[0], *(name for name, _ in others)]
    rest = [text[1], *(islice(lines, before, None) for _, lines in others)]
    rows = _read_rows(names, rest, before)
    return [map(itemgetter(place), own) for place, own in enumerate(tee(rows, len(names)))]


def _read_rows(
    names: Sequence[str], texts: Sequence[Iterator[str]], count: int
) -> Iterator[tuple[str, ...]]:
    for row in zip_longest(*texts):
        if None in row:
            ended = names[row.index(None)]
            longer = next(name for name, line in zip(names, row, strict=True) if line is not None)
            raise DataError(
                f"{ended}: has no line {count + 1}, but {longer} goes on; the two must match line "
                "by line"
            )
        yield row
        count += 1


def split_phrases(line: str) -> list[str]:
    """The phrases between the tabs of a line."""
    return [phrase for cell in line.split("\t") if (phrase := cell.strip())]
