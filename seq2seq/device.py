"""What the machine offers: devices, fast number formats, the memory allocator."""

import ctypes
import logging
import os
import platform

import torch

from seq2seq.errors import SettingsError

logger = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 2**20
_NUM_KERNELS = 16


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


def has_fast_int8(device: torch.device) -> bool:
    """Whether matrix products of 8-bit integers are faster than those in float32."""
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def decoding_precision(device: torch.device, wanted: str) -> str:
    """The number format for the recipe's `decoding.precision` on this machine."""
    fast = {"float32": True, "bfloat16": False, "int8": False}
    if device.type == "cpu":
        fast |= {"bfloat16": has_fast_bfloat16(device), "int8": has_fast_int8(device)}
    if wanted == "auto":
        return next(name for name in ("bfloat16", "int8", "float32") if fast[name])
    if not fast[wanted]:
        logger.warning("decoding.precision: %s is not fast here; using float32", wanted)
        return "float32"
    return wanted


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


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())
