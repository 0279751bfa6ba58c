"""What commands do at a terminal: their log, their interruption, the files they write."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from seq2seq.errors import UserError

SECONDS_BETWEEN_PASSING = 20


class Log(logging.Handler):
    """Writes records to stderr; on a terminal a progress line overwrites the one before.

    Elsewhere progress lines are lines, of those that are passing (bars) one in a while.
    """

    def __init__(self) -> None:
        super().__init__()
        self._width = 0
        self._passed = -math.inf

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        text = record.getMessage()
        if getattr(record, "progress", False) and sys.stderr.isatty():
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)
        elif not getattr(record, "passing", False) or self._is_time(record.created):
            self.finish_line()
            print(text, file=sys.stderr, flush=True)

    def _is_time(self, now: float) -> bool:
        """Whether the last passing line is so long ago that a log can take another one."""
        is_time = now - self._passed >= SECONDS_BETWEEN_PASSING
        self._passed = now if is_time else self._passed
        return is_time

    def finish_line(self) -> None:
        """Ends a progress line, so that what follows has a line of its own."""
        if self._width:
            print(file=sys.stderr, flush=True)
            self._width = 0


class Interruption:
    """Says, when it is called, whether to stop.

    From the first call on the first Ctrl-C or SIGTERM is only noted and the second has its usual
    effect; before it, while there is nothing to save, both have.
    """

    signal: int | None = None

    def __enter__(self) -> Interruption:
        self._before: dict[int, Any] = {}
        return self

    def __call__(self) -> bool:
        """Whether there was a signal."""
        if not self._before:
            with contextlib.suppress(ValueError):  # only the main thread may handle signals
                for number in (signal.SIGINT, signal.SIGTERM):
                    self._before[number] = signal.signal(number, self._note)
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.__exit__()
        print("\nstopping after this update; once more to abort", file=sys.stderr, flush=True)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def is_same_file(one: Path, other: Path | None) -> bool:
    """Whether two names mean one file that exists."""
    return other is not None and one.exists() and other.exists() and one.samefile(other)


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open a file to write, compressed if it is named so; standard output without a name.

    Raises:
        UserError: it cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        file = opened(path, "wt", encoding="utf-8", newline="\n")
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{path}: cannot be written ({reason}); name another file") from None
    with file:
        yield file
