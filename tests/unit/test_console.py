import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.console import Log, fit, history_file


@pytest.mark.parametrize("given", ["", "relative"])
def test_history_lies_where_state_does(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_STATE_HOME", given)
    assert history_file() == Path("/home/someone/.local/state/seq2seq/history")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert history_file() == Path("/home/someone/.local/state/seq2seq/history")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_file() == tmp_path / "seq2seq" / "history"


LINE = "epoch 12  34.5%  ETA 2 h 05 min  loss 3.457  ppl 31.2  3,812 tok/s  lr 9.9e-04"


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (200, LINE),
        (len(LINE), LINE),
        (len(LINE) - 1, LINE.rpartition("  ")[0]),
        (40, "epoch 12  34.5%  ETA 2 h 05 min"),
        (12, "epoch 12"),
        (5, "epoch"),
    ],
)
def test_fields_that_do_not_fit_are_left_out(width: int, expected: str) -> None:
    assert fit(LINE, width) == expected


class Terminal(io.StringIO):
    """What stderr is at a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Callable[[], str]]:
    """Makes stderr a terminal of so many columns; what has been written to it."""
    stream = Terminal()

    def resize(columns: int) -> Callable[[], str]:
        monkeypatch.setattr(sys, "stderr", stream)
        size = os.terminal_size((columns, 24))
        monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: size)
        return stream.getvalue

    return resize


def emit(log: Log, text: str, progress: bool = True) -> None:
    record = logging.makeLogRecord({"msg": text, "progress": progress})
    log.emit(record)


@pytest.mark.parametrize("columns", [30, 80, 0, 200])
def test_progress_takes_one_row_of_the_terminal(
    columns: int, terminal: Callable[[int], Callable[[], str]]
) -> None:
    written, log = terminal(columns), Log()
    emit(log, LINE)
    emit(log, LINE[:15])
    emit(log, "done", progress=False)
    empty, first, second = written().split("\r")
    second, rest = second[: second.index("\n")], second[second.index("\n") :]
    assert empty == ""
    width = (columns or 80) - 1
    assert first == fit(LINE, width)
    assert second.rstrip() == LINE[:15].rstrip()
    assert len(first) == len(second) <= width  # all of the first is overwritten
    assert rest == "\ndone\n"


def test_a_terminal_that_has_become_narrow_is_not_overrun(
    terminal: Callable[[int], Callable[[], str]],
) -> None:
    written, log = terminal(100), Log()
    emit(log, LINE)
    terminal(40)
    emit(log, LINE)
    assert written().split("\r")[-1] == fit(LINE, 39).ljust(39)
