"""Processes that train or translate together, as `torchrun` starts them.

What they do together goes through a `World`. That of one process does nothing of its own, so no
other code asks whether there are more. Numbers, objects and waiting go through gloo, which knows at
once when a process has ended; gradients go through NCCL where they are on a GPU.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from seq2seq.errors import RunError, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
R = TypeVar("R")

BUCKET_ENTRIES = 2**22
"""Gradients summed at a time: 16 MiB in float32."""

_PATIENCE = timedelta(days=365)
"""How long to wait for the others: preparing a big corpus takes hours, and a process that has ended
is noticed without it."""


@dataclass(frozen=True)
class World:
    """The processes that work together, as one of them sees it.

    All of them must call the same methods in the same order.

    Attributes:
        rank: number of this process, from 0.
        size: of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    @property
    def launcher(self) -> list[str]:
        """Words before the name of a program that start as many processes on this machine."""
        return [] if self.size == 1 else ["torchrun", f"--nproc-per-node={num_local()}", "-m"]

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers over the processes, the same bits in each of them.

        Raises:
            RunError: another process has ended; so all methods that wait for others do.
        """
        if self.size == 1:
            return list(values)
        import torch
        import torch.distributed as dist

        sums = torch.tensor(values, dtype=torch.float64)
        with _noticing_ends():
            dist.all_reduce(sums)
        return list(sums.tolist())

    def agree(self, value: float) -> float:
        """The number that the first process gives."""
        return self.total([value if self.is_first else 0.0])[0]

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.total([0.0])

    def once(self, action: Callable[..., object], *arguments: Any) -> None:
        """Have the first process do what is to be done once, and all wait until it is done."""
        if self.is_first:
            action(*arguments)
        self.wait()

    def in_turn(self, action: Callable[[], R]) -> R:
        """Act in the first process before all others, which find done what it has done."""
        if not self.is_first:
            self.wait()
        result = action()
        if self.is_first:
            self.wait()
        return result

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What a function makes of items, in their order; each process takes its share of them."""
        own = [function(item) for item in items[self.rank :: self.size]]
        if self.size == 1:
            return own
        import torch.distributed as dist

        parts: list[list[R]] = [[] for _ in range(self.size)]
        with _noticing_ends():
            dist.all_gather_object(parts, own)
        return [parts[i % self.size][i // self.size] for i in range(len(items))]

    def each(self, value: T) -> list[T]:
        """The values that all processes give, by rank."""
        return self.map(lambda _: value, range(self.size))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each parameter the sum of its gradients; it has one in all processes or in none."""
        if self.size == 1:
            return
        import torch
        import torch.distributed as dist

        sent = []
        with _noticing_ends():
            for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
                flat = torch.cat([grad.flatten() for grad in bucket])
                sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
            for bucket, flat, work in sent:
                work.wait()
                parts = torch.split(flat, [grad.numel() for grad in bucket])
                for grad, part in zip(bucket, parts, strict=True):
                    grad.copy_(part.view_as(grad))

    def copy_weights(self, parameters: Iterable[nn.Parameter]) -> None:
        """Take the weights of the first process."""
        if self.size == 1:
            return
        import torch.distributed as dist

        with _noticing_ends():
            for parameter in parameters:
                dist.broadcast(parameter.detach(), src=0)


ALONE = World()
"""One process, which has nobody to wait for."""


@contextmanager
def connected() -> Iterator[World]:
    """Join the processes that this one was started with.

    Of all that fail, one tells its error; the others end with a `SystemExit`.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or "MASTER_ADDR" not in os.environ:
        yield ALONE
        return
    # What goes wrong is told once, by us; torch's own warning of a lost connection takes a page.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    _take_share_of_machine()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _noticing_ends():
        store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
        # After a restart the store still holds the addresses of those who are gone.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"{attempt}/{size}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    try:
        yield World(rank, size)
    except BaseException as error:
        if _is_told(store):
            raise SystemExit(2 if isinstance(error, UserError) else 1) from None
        raise
    finally:
        # Where the others have ended, NCCL would wait for them.
        if sys.exc_info()[0] is None or backend == "gloo":
            dist.destroy_process_group()


def num_local() -> int:
    """Processes on this machine that work together."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _take_share_of_machine() -> None:
    """Compute on one's own GPU, or on one's share of the cores."""
    import torch

    rank = int(os.environ.get("LOCAL_RANK", 0))
    if rank < torch.cuda.device_count():
        torch.cuda.set_device(rank)
    # torchrun says 1 to all that don't say otherwise.
    if os.environ.get("OMP_NUM_THREADS", "1") == "1":
        counts_own = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if counts_own else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // num_local()))


def _is_told(store: Any) -> bool:
    """Whether another process tells what is wrong; from now on, this one does."""
    try:
        return bool(store.add("told", 1) > 1)
    except RuntimeError:  # the process that kept the store has ended
        return False


@contextmanager
def _noticing_ends() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # Gloo begins with a place in its source and ends with advice.
        why = re.sub(r"^\[\S+\] ", "", re.split(r"\n|\. ", str(error))[0])
        raise RunError(
            f"another process of this run has ended ({why}); see what it said, and give the same "
            "command again: training goes on from the last checkpoint"
        ) from error


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(each.numel() for each in bucket) >= BUCKET_ENTRIES:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
