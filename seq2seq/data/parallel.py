"""Work that several processes share, its results in order."""

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from seq2seq.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_PAIRS = 200_000
"""Fewer are encoded before other processes have started."""
MAX_WORKERS = 8
"""More than these take more memory than they save time: reading isn't shared."""


def default_num_workers(num_pairs: int) -> int:
    """How many processes should encode so many pairs."""
    if num_pairs < MIN_PAIRS:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MAX_WORKERS)


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], num_workers: int
) -> Generator[Result, None, None]:
    """The results of work on items, which are drawn little ahead of their results.

    Args:
        work: Goes to other processes once, so it may be large; it must be possible to pickle it.
        items: Go there one by one.
        num_workers: How many other processes; 1 is this one.

    Raises:
        DataError: One of the processes has died.
    """
    if num_workers == 1:
        yield from map(work, items)
        return
    items, busy = iter(items), deque[_Worker]()
    with _started(work, num_workers) as workers:
        for worker, item in zip(workers, items, strict=False):
            worker.give(item)
            busy.append(worker)
        for item in items:
            result = busy[0].take()
            busy[0].give(item)
            busy.rotate(-1)
            yield result
        for worker in busy:
            yield worker.take()


class _Worker:
    """Another process. It has one thing at a time, so that no two processes wait for each other."""

    def __init__(self) -> None:
        # Not forked: this process may have threads.
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end,), daemon=True)
        with _alive(), _deaf():
            self._process.start()
        other_end.close()

    def give(self, item: object) -> None:
        """Have it work on an item; the first is the work itself."""
        with _alive():
            self._connection.send(item)

    def take(self) -> Any:
        """The result of the item that it was given."""
        with _alive():
            result, error, told = self._connection.recv()
        if error is not None:
            raise error from RuntimeError(f"in another process:\n{told}")
        return result

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join()
        self._connection.close()


@contextmanager
def _started(work: Callable[[Any], Any], num_workers: int) -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        # They start side by side: each reads its work when it is ready.
        for _ in range(num_workers):
            workers.append(_Worker())
        for worker in workers:
            worker.give(work)
        yield workers
    finally:
        for worker in workers:
            worker.end()


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError):
        raise DataError(
            "data.num_workers: one of the processes has died, as when memory runs out; "
            "set fewer, or 1"
        ) from None


@contextmanager
def _deaf() -> Iterator[None]:
    """Leave a terminal's Ctrl-C, of which all processes hear, to this one.

    Those that are started meanwhile never hear of it, not even before they run a line of Python.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows has none
        yield
        return
    # The first process to start would start this too, which ends what is set here.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: "Connection[Any, Any]") -> None:
    """Do the work that comes from the process at the other end, until that ends."""
    with suppress(EOFError, ConnectionError):
        work = connection.recv()
        while True:
            connection.send(_attempt(work, connection.recv()))


def _attempt(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None, str]:
    try:
        return work(item), None, ""
    except Exception as error:
        return None, error, traceback.format_exc()
