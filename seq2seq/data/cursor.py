"""How far a corpus has been read, so that reading can go on there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Spot:
    """A place in a file.

    Attributes:
        number: Lines before it, or records.
        offset: Bytes before it; of a compressed file those that it unpacks to.
    """

    number: int = 0
    offset: int = 0


def _no_state() -> None:
    return None


@dataclass
class Cursor:
    """How far a corpus has been read; whoever reads it keeps this up to date.

    Attributes:
        spots: In each of its two files; one file, or the records of `datasets`, has the first.
        state: What `datasets` goes on from.
        tell: Gives that of now.
    """

    spots: tuple[Spot, Spot] = field(default_factory=lambda: (Spot(), Spot()))
    state: dict[str, Any] | None = None
    tell: Callable[[], dict[str, Any] | None] = _no_state

    def save(self) -> dict[str, Any]:
        """What JSON can keep of it."""
        return {"spots": [[s.number, s.offset] for s in self.spots], "state": self.tell()}

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Cursor:
        """The inverse of `save`."""
        src, tgt = (Spot(*spot) for spot in saved["spots"])
        return cls((src, tgt), saved["state"], lambda: saved["state"])
