"""What the machine offers: devices, fast number formats, the memory allocator."""

import ctypes
import os
import platform

import torch

from seq2seq.errors import SettingsError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 2**20
_NUM_KERNELS = 16
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")


def resolve_device(name: str) -> torch.device:
    """The device of a recipe's `device` key.

    Raises:
        SettingsError: the machine has no such device.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": _has_mps()}
    if name == "auto":
        name = next(n for n in ("cuda", "mps", "cpu") if available[n])
    if not available[name]:
        raise SettingsError([f"device: this machine has no '{name}'; use 'auto' or 'cpu'"])
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which products are made in the recipe's `training.precision`."""
    enabled = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def tune_memory() -> None:
    """Spend a CPU training step's memory well; to be called before the first product.

    glibc returns each block above 128 KiB to the kernel when it is freed and page-faults it in
    again for the next one, which costs a step 10 to 30 percent: have it keep what it has. Blocks
    above 32 MiB, the most it accepts here, still go back. oneDNN and torch's layer above it keep
    1,024 kernels each with their work space, gigabytes for sentences of all lengths: a few are as
    fast.
    """
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, str(_NUM_KERNELS))
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
