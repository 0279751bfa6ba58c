"""Work that several processes share, its results in order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from seq2seq.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_PAIRS = 200_000
"""Fewer are encoded before other processes have started."""
MAX_WORKERS = 8
"""More than these take more memory than they save time: reading isn't shared."""

_work: Callable[[Any], Any]


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
    # Not forked: this process may have threads.
    context = multiprocessing.get_context("spawn")
    pending: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(num_workers, context, _start, (work,)) as pool:
        try:
            for item in items:
                pending.append(pool.submit(_carry_out, item))
                if len(pending) > 2 * num_workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise DataError(
                "data.num_workers: one of the processes has died, as when memory runs out; "
                "set fewer, or 1"
            ) from None
        finally:
            for future in pending:
                future.cancel()


def _start(work: Callable[[Any], Any]) -> None:
    """Begin a process: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = work


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _carry_out(item: Any) -> Any:
    return _work(item)
