"""What the machine offers: devices, fast number formats, the memory allocator."""

import ctypes
import logging
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from seq2seq.errors import RunError, SettingsError
from seq2seq.parallel import num_local

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Rows = TypeVar("Rows", list[int], npt.NDArray[np.int64])

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 2**20
_NUM_KERNELS = 16
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")


def resolve_device(name: str) -> torch.device:
    """The device of a recipe's `device` key.

    Raises:
        SettingsError: the machine has no such device, or too few for the processes on it.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": _has_mps()}
    if name == "auto":
        name = next(n for n in ("cuda", "mps", "cpu") if available[n])
    if not available.get(name):
        raise SettingsError([f"device: this machine has no '{name}'; use 'auto' or 'cpu'"])
    num_devices = {"cuda": torch.cuda.device_count(), "mps": 1}.get(name, num_local())
    if 1 < num_local() > num_devices:
        counts = f"{num_local()} processes for {num_devices} of '{name}'"
        raise SettingsError([f"device: {counts}; lower torchrun's --nproc-per-node, or use 'cpu'"])
    return torch.device(name)


def has_bfloat16(device: torch.device) -> bool:
    """Whether every layer can be computed in bfloat16, at whatever speed.

    On CPUs it is the LSTM that may not: oneDNN makes it from AVX-512 on.
    """
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def has_fast_int8(device: torch.device) -> bool:
    """Whether matrix products of 8-bit integers are faster than those in float32.

    AVX2 halves their time already; what comes after it does too, and more.
    """
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx2"))


def decoding_precision(device: torch.device, wanted: str) -> str:
    """The number format for the recipe's `decoding.precision` on this machine."""
    fast = {"float32": True, "bfloat16": False, "int8": False}
    if device.type == "cpu":
        fast |= {"bfloat16": has_fast_bfloat16(device), "int8": has_fast_int8(device)}
    if wanted == "auto":
        return next(name for name in ("int8", "float32") if fast[name])
    if not fast[wanted]:
        logger.warning("decoding.precision: %s is not fast here; using float32", wanted)
        return "float32"
    return wanted


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which products are made in the recipe's `training.precision`."""
    if precision == "auto":
        precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
    kind = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=precision != "float32")


def check_precision(device: torch.device, precision: str) -> None:
    """See that a device can train in the recipe's `training.precision`.

    Raises:
        SettingsError: it can't.
    """
    if precision == "float16" and device.type != "cuda":
        problem = f"float16 needs a GPU, not '{device.type}'"
    elif precision == "bfloat16" and not has_bfloat16(device):
        problem = "this CPU has no bfloat16"
    else:
        return
    raise SettingsError([f"training.precision: {problem}; use 'auto'"])


def be_deterministic() -> None:
    """Have torch choose kernels that give the same bits each time; before the first product."""
    # What cuBLAS asks for.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    # It would only fill memory that nobody reads, which takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def tune_memory() -> None:
    """Spend a CPU training step's memory well; to be called before the first product.

    glibc returns each block above 128 KiB to the kernel when it is freed and page-faults it in
    again for the next one, which costs a step 10 to 30 percent: have it keep what it has. Blocks
    above 32 MiB, the most it accepts here, still go back. oneDNN and torch's layer above it keep
    1,024 kernels each with their work space, gigabytes for sentences of all lengths: a few are as
    fast.
    """
    for capacity in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(capacity, str(_NUM_KERNELS))
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 32 * _MEBIBYTE)
    libc.mallopt(_M_TRIM_THRESHOLD, 512 * _MEBIBYTE)
    libc.mallopt(_M_TOP_PAD, 64 * _MEBIBYTE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, whoever wanted it: torch, cuDNN or Python."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def within_memory(
    work: Callable[[T], R],
    batches: Sequence[T],
    halve: Callable[[T], Iterable[T]],
    device: torch.device,
    *,
    anew: Callable[[], object] | None = None,
) -> list[R]:
    """Do work on batches in turn; one that memory runs out for gives way to its halves.

    Args:
        work: on a batch; what it makes of halves must be as good as what it makes of the whole.
        batches: what to do it on.
        halve: the halves of a batch; it raises what is to be said of one that has none.
        device: where memory is given back.
        anew: undoes all that was done, for work that leaves something half done where it fails: all
            is done again then. It is called before the first batch too.

    Returns:
        What it made of the batches, or of the parts that they had to be cut into.
    """
    left, done, found = list(batches), list[T](), list[R]()
    if anew is not None:
        anew()
    while left:
        if made := _attempt(work, left[0]):
            found += made
            done.append(left.pop(0))
            continue
        release_memory(device)
        left[:1] = halve(left[0])
        if anew is not None:
            left, done, found = [*done, *left], [], []
            anew()
    return found


def _attempt(work: Callable[[T], R], batch: T) -> list[R]:
    """What work makes of a batch, if memory suffices; what it took is free when this returns."""
    try:
        return [work(batch)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return []


def rows_within_memory(
    work: Callable[[Rows], R],
    rows: Rows,
    device: torch.device,
    *,
    warning: str,
    refusal: Callable[[Rows], str],
) -> list[R]:
    """Do work on rows, together or where memory runs out on halves of them.

    Args:
        work: on rows, each of which is on its own in it.
        rows: numbers of them.
        device: where memory is given back.
        warning: what to say when they are halved; once in a process, as it comes again and again.
        refusal: what to say of a single one.

    Returns:
        What it made of the rows, or of the parts that they had to be cut into.

    Raises:
        RunError: memory does not suffice for a single row.
    """

    def halve(rows: Rows) -> tuple[Rows, Rows]:
        if len(rows) == 1:
            raise RunError(refusal(rows))
        _warn_once(warning)
        middle = len(rows) // 2
        return rows[:middle], rows[middle:]

    return within_memory(work, [rows], halve, device)


@cache
def _warn_once(text: str) -> None:
    logger.warning(text)


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps of a GPU's memory for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def memory_share(device: torch.device) -> float:
    """Most that this process has had of a GPU's memory, of what others leave of it, 0 to 1."""
    free, _ = torch.cuda.mem_get_info(device)
    available = free + torch.cuda.memory_reserved(device)
    return torch.cuda.max_memory_reserved(device) / available


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was told, to measure the time."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: of a GPU by tensors, or by this process and all in it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())
