import ctypes
import platform
import subprocess
import sys

import pytest
import torch

from seq2seq.device import (
    autocast,
    be_deterministic,
    check_precision,
    decoding_precision,
    has_fast_bfloat16,
    is_out_of_memory,
    peak_memory,
    resolve_device,
    tune_memory,
)
from seq2seq.errors import SettingsError

CPU = torch.device("cpu")


def offer(monkeypatch, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_is_the_best_there_is(monkeypatch, cuda, mps, best):
    offer(monkeypatch, cuda, mps)
    assert resolve_device("auto").type == best
    assert resolve_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps", "gpu7"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    offer(monkeypatch, False, False)
    with pytest.raises(SettingsError, match=f"device: this machine has no '{name}'; use"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_each_process_has_its_gpu(monkeypatch, name):
    offer(monkeypatch, True, False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert resolve_device(name).type == "cuda"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(
        SettingsError, match="device: 3 processes for 2 of 'cuda'; lower torchrun's"
    ):
        resolve_device(name)
    assert resolve_device("cpu").type == "cpu"


def test_half_precision_is_for_gpus():
    check_precision(torch.device("cuda"), "float16")
    with pytest.raises(SettingsError, match="precision: float16 needs a GPU, not 'cpu'; use 'auto"):
        check_precision(CPU, "float16")


def test_a_cpu_without_bfloat16_refuses_it_and_all_others_train_in_it():
    cell = torch.nn.LSTM(3, 5)
    try:
        check_precision(CPU, "bfloat16")
    except SettingsError as error:
        assert str(error) == "training.precision: this CPU has no bfloat16; use 'auto'"
        with pytest.raises(RuntimeError), autocast(CPU, "bfloat16"):
            cell(torch.ones(4, 2, 3))
    else:
        with autocast(CPU, "bfloat16"):
            cell(torch.ones(4, 2, 3))[0].sum().backward()
    check_precision(torch.device("cuda"), "bfloat16")


@pytest.fixture
def determinism():
    be_deterministic()
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    torch.utils.deterministic.fill_uninitialized_memory = True


def test_what_has_no_reproducible_kernel_is_refused(determinism):
    torch.ones(3, 4).cumsum(dim=1)
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        torch.ones(3).put_(torch.tensor([0]), torch.tensor([1.0]), accumulate=False)


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_bf16": False}, False)],
)
def test_auto_precision_is_what_the_processor_is_fast_at(monkeypatch, capabilities, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_fast_bfloat16(CPU) is fast
    assert not has_fast_bfloat16(torch.device("mps"))
    products = {}
    for precision in ("auto", "bfloat16", "float32", "float16"):
        with autocast(CPU, precision):
            products[precision] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert products["auto"] == (torch.bfloat16 if fast else torch.float32)
    assert products["bfloat16"] == torch.bfloat16
    assert products["float32"] == torch.float32
    assert products["float16"] == torch.float16


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_glibc_accepts_all_settings_of_its_allocator(monkeypatch):
    libc, answers = ctypes.CDLL(None), []

    class Watched:
        def __init__(self, name):
            assert name is None

        def mallopt(self, *setting):
            answers.append(libc.mallopt(*setting))

    monkeypatch.setattr(ctypes, "CDLL", Watched)
    tune_memory()
    assert answers == [1] * 3


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("no glibc here"))
    tune_memory()


GROWTH = """
import ctypes, torch
from seq2seq.device import tune_memory
tune_memory()
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
layers = torch.nn.Linear(64, 64), torch.nn.LSTM(64, 128, batch_first=True)
used = []
for length in range(1, 81):
    with torch.autocast("cpu", torch.bfloat16):
        layers[1](layers[0](torch.ones(16, length, 64)))[0].float().sum().backward()
    used.append(libc.mallinfo2().h)
print(max(used[40:]) - used[39])
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="a matter of glibc")
def test_memory_does_not_grow_with_every_new_length():
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 4 * 2**20


def test_memory_that_runs_out_is_known_by_what_torch_really_says():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as other:
        torch.zeros(2) @ torch.zeros(3)
    assert not is_out_of_memory(other.value)


def test_the_peak_of_memory_counts_what_was_used_and_freed():
    before = peak_memory(CPU)
    torch.ones(3 * before, dtype=torch.uint8)
    assert 3 * before < peak_memory(CPU) < 6 * before


@pytest.mark.parametrize(
    ("fast", "wanted", "found"),
    [
        ({"avx2", "avx512_bf16"}, "auto", "int8"),
        ({"avx2", "avx512_bf16"}, "bfloat16", "bfloat16"),
        ({"avx2"}, "auto", "int8"),
        (set(), "auto", "float32"),
        ({"avx2", "avx512_bf16"}, "int8", "int8"),
        (set(), "int8", "float32"),
        ({"avx2"}, "bfloat16", "float32"),
        ({"avx2", "avx512_bf16"}, "float32", "float32"),
    ],
)
def test_search_computes_in_what_is_fast_and_says_if_that_is_not_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fast: set[str],
    wanted: str,
    found: str,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(fast, True))
    assert decoding_precision(torch.device("cpu"), wanted) == found
    assert bool(caplog.records) == (wanted not in ("auto", found))
    assert decoding_precision(torch.device("cuda"), "auto") == "float32"
