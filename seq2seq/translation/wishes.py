"""Files that say what is asked of each line, read in step with the lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, tee, zip_longest
from operator import itemgetter
from typing import TypeVar

from seq2seq.errors import DataError

T = TypeVar("T")

Named = tuple[str, Iterator[str]]
"""What errors call a text, and its lines."""


class WishError(DataError):
    """What is asked of a line and cannot be granted.

    Args:
        side: what the argument of `Translator.translate` is called that asks for it.
        line: number of the line, from 1.
        reason: what is wrong, and the remedy.
    """

    def __init__(self, side: str, line: int, reason: str) -> None:
        super().__init__(f"{side}:{line}: {reason}")
        self.side = side
        self.line = line
        self.reason = reason


def in_files(results: Iterable[T], names: Mapping[str, str]) -> Iterator[T]:
    """Results as they are; what cannot be granted is found in the file of its side.

    Args:
        results: what gives them may raise `WishError`.
        names: of the files, by side.

    Raises:
        DataError: it did.
    """
    try:
        yield from results
    except WishError as error:
        raise DataError(f"{names[error.side]}:{error.line}: {error.reason}") from None


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
