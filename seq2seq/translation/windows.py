"""How much is read before the first line is answered, and how much is translated at a time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from queue import Queue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_SOURCE_PIECES = 2**14
"""Source pieces read at a time, padding included, so that long lines travel in small company."""


class _Item(Generic[T]):
    """Something that has come, told from errors and the end."""

    def __init__(self, content: T) -> None:
        self.content = content


def full_windows(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many each time; fewer at the end."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def arrivals(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Each time all that have come since, at least one and at most `size`.

    They are read ahead in another thread.
    """
    come: Queue[_Item[T] | Exception | None] = Queue(size)

    def read() -> None:
        try:
            for item in items:
                come.put(_Item(item))
            come.put(None)
        except Exception as error:  # raised again where the items are wanted
            come.put(error)

    Thread(target=read, daemon=True).start()
    while True:
        found = [come.get()]
        while len(found) < size and not come.empty():
            found.append(come.get())
        if chunk := [each.content for each in found if isinstance(each, _Item)]:
            yield chunk
        if found[-1] is None:
            return
        if isinstance(found[-1], Exception):
            raise found[-1]


def batches_of_alike(
    places: Iterable[int], lengths: Sequence[int], most: int
) -> Iterator[list[int]]:
    """Cut places of lines into batches of similar length, long ones first.

    Args:
        places: of the lines.
        lengths: of all lines, in pieces.
        most: lines in a batch.
    """
    order = sorted(places, key=lambda i: -lengths[i])
    while order:
        size = max(1, min(most, MAX_SOURCE_PIECES // lengths[order[0]]))
        alike = sum(1 for i in order[:size] if lengths[i] == lengths[order[0]])
        size = alike if alike >= size // 2 else size
        yield order[:size]
        order = order[size:]
