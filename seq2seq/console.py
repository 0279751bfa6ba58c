"""What commands do at a terminal: their log, their interruption, the files they write."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from seq2seq.errors import UserError

SECONDS_BETWEEN_PASSING = 20

MAX_HISTORY = 1000
"""Lines typed at the prompt that are remembered."""


class Log(logging.Handler):
    """Writes records to stderr; on a terminal a progress line overwrites the one before.

    There it takes one row: fields, which two spaces divide, that don't fit are left out. Elsewhere
    progress lines are lines, of those that are passing (bars) one in a while.
    """

    def __init__(self) -> None:
        super().__init__()
        self._width = 0
        self._passed = -math.inf

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        text = record.getMessage()
        if getattr(record, "progress", False) and sys.stderr.isatty():
            # The last column stays free: writing to it moves some terminals on to the next row.
            columns = _columns() - 1
            text = fit(text, columns)
            print(f"\r{text:<{min(self._width, columns)}}", end="", file=sys.stderr, flush=True)
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


@contextlib.contextmanager
def speaking(aloud: bool) -> Iterator[None]:
    """Let what is printed be seen, or nobody see it."""
    if aloud:
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def fit(text: str, width: int) -> str:
    """The fields at the beginning of a line, divided by two spaces, that have room in a width."""
    while len(text) > width and "  " in text:
        text = text.rpartition("  ")[0].rstrip()
    return text[:width]


def _columns() -> int:
    """Columns of the terminal of stderr; 80 where it doesn't say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


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


def prompt_lines() -> Iterator[str]:
    """What is typed at a terminal, line by line, with the history of the lines before."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    print("type a line to translate; Ctrl-D ends", file=sys.stderr, flush=True)
    with _remembering():
        while True:
            try:
                yield input("> ")
            except EOFError:
                print()
                return


def history_file() -> Path:
    """Where lines typed at the prompt are kept, as the XDG Base Directory Specification says.

    Raises:
        RuntimeError: the user has no home.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    # A path that isn't absolute is to be ignored.
    state = given if given.is_absolute() else Path("~/.local/state").expanduser()
    return state / "seq2seq" / "history"


@contextlib.contextmanager
def _remembering() -> Iterator[None]:
    """Edit lines with those of earlier prompts at hand; nothing is kept where that can't be."""
    try:
        import readline
    except ImportError:  # Windows has none
        yield
        return
    nowhere = contextlib.suppress(OSError, RuntimeError)
    with nowhere:
        readline.read_history_file(history_file())
    readline.set_history_length(MAX_HISTORY)
    try:
        yield
    finally:
        with nowhere:
            path = history_file()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            readline.write_history_file(path)


def is_same_file(one: Path, other: Path | None) -> bool:
    """Whether two names mean one file that exists."""
    return other is not None and one.exists() and other.exists() and one.samefile(other)


@contextlib.contextmanager
def open_output(path: Path | None, *, append: bool = False) -> Iterator[TextIO]:
    """Open a file to write, compressed if it is named so; standard output without a name.

    Args:
        path: its name.
        append: write after what is there.

    Raises:
        UserError: it cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        file = opened(path, "at" if append else "wt", encoding="utf-8", newline="\n")
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{path}: cannot be written ({reason}); name another file") from None
    with file:
        yield file
