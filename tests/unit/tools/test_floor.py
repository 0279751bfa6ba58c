import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from seq2seq.model.precision import LINEARS

SCRIPT = Path(__file__).parents[3] / "tools/floor.py"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("floor", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_products_are_noted_and_nothing_else(tool: ModuleType) -> None:
    layer, lstm, rows = nn.Linear(8, 8), nn.LSTM(8, 8, batch_first=True), torch.randn(4, 8)
    with tool.Products() as none:
        rows.exp().sum(dim=1).softmax(dim=0)
    assert (len(none), none.seconds()) == (0, 0)
    with tool.Products() as forth:
        found = layer(rows) @ rows.T
    assert len(forth) == 2
    with tool.Products() as back:
        found.sum().backward()
    assert len(back) == 2  # towards the output of the layer and towards its weights
    with tool.Products() as fused, torch.inference_mode():
        lstm(rows.unsqueeze(0))
    assert len(fused) == 1
    assert min(forth.seconds(), back.seconds(), fused.seconds()) > 0


@pytest.mark.parametrize("precision", sorted(LINEARS))
def test_products_of_each_format_are_noted(tool: ModuleType, precision: str) -> None:
    if precision == "int8" and not torch.cpu.get_capabilities().get("avx2"):
        pytest.skip("needs AVX2")
    layer = LINEARS[precision](torch.randn(16, 32), None)
    with tool.Products() as products, torch.inference_mode():
        layer(torch.randn(16, 32))
    assert len(products) == 1


def test_what_is_alike_is_made_again_as_often_as_it_was(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def time(func, args, kwargs) -> float:
        made.append(args[0].shape)
        return 2.0

    monkeypatch.setattr(tool, "_time", time)
    with tool.Products() as products:
        for rows in (3, 5, 3, 3):
            torch.mm(torch.randn(rows, 7), torch.randn(7, 2))
    assert products.seconds() == 8.0
    assert made == [(3, 7), (5, 7)]


def test_watching_ends(tool: ModuleType) -> None:
    products, rows = tool.Products(), torch.randn(4, 4)
    products.start()
    rows @ rows
    products.stop()
    rows @ rows
    assert len(products) == 1
