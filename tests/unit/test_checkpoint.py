import os
from pathlib import Path

import pytest
import torch
from torch import nn

from seq2seq import checkpoint
from seq2seq.checkpoint import Checkpoint, load, load_last, previous_path, save
from seq2seq.errors import RunError


def made(number: int) -> Checkpoint:
    return Checkpoint({"model.x": torch.tensor([float(number)])}, {"update": number})


def number_of(found: Checkpoint | None) -> int | None:
    return found and found.values["update"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints/last.safetensors"


def test_tensors_and_values_come_back(path: Path) -> None:
    tensors = {"a.x": torch.arange(6).view(2, 3).T, "a.y": torch.rand(3), "ab.x": torch.zeros(0)}
    save(path, Checkpoint(tensors, {"list": [1, None, "ä"], "number": 0.1 + 0.2}))
    found = load(path)
    assert found.values.items() >= {"number": 0.1 + 0.2, "list": [1, None, "ä"]}.items()
    assert {name: t.tolist() for name, t in found.tensors.items()} == {
        name: t.tolist() for name, t in tensors.items()
    }
    assert sorted(found.part("a")) == ["x", "y"]


def test_the_one_before_is_kept(path: Path) -> None:
    assert load_last(path) is None
    for number in (1, 2, 3):
        save(path, made(number), keep_previous=True)
        assert number_of(load_last(path)) == number
    assert number_of(load(previous_path(path))) == 2
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"junk", b"\xff" * 99])
def test_a_damaged_one_gives_way_to_the_one_before(
    damage: bytes, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        save(path, made(number), keep_previous=True)
    path.write_bytes(damage)
    assert number_of(load_last(path)) == 1
    assert str(path) in caplog.text
    previous_path(path).write_bytes(damage)
    with pytest.raises(RunError, match=r"previous-last\.safetensors: cannot be used \("):
        load_last(path)
    previous_path(path).unlink()
    with pytest.raises(RunError, match=r"/last\.safetensors: cannot be used \("):
        load_last(path)


def test_a_truncated_one_is_noticed(path: Path) -> None:
    save(path, made(1))
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(RunError, match=r"last\.safetensors: cannot be used"):
        load(path)


def test_another_version_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 99)
        save(path, made(1))
    with pytest.raises(RunError, match="format 99, not 1"):
        load(path)


class CutOffError(Exception):
    pass


@pytest.mark.parametrize("operation", ["fsync", "replace"])
@pytest.mark.parametrize("count", [0, 1])
def test_breaking_off_leaves_a_whole_one(
    operation: str, count: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path, made(1), keep_previous=True)
    calls = iter(range(9))
    owner = os if operation == "fsync" else Path
    original = getattr(owner, operation)

    def cut_off(*args: object) -> object:
        if next(calls) == count:
            raise CutOffError
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, operation, cut_off)
        try:
            save(path, made(2), keep_previous=True)
            expected = 2
        except CutOffError:
            expected = 1
    assert number_of(load_last(path)) == expected
    save(path, made(3), keep_previous=True)
    assert number_of(load_last(path)) == 3


def test_shared_weights_and_optimizers_come_back(path: Path) -> None:
    def build(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model, torch.optim.Adam(model.parameters())

    def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    model, optimizer = build(1)
    update(model, optimizer)
    tensors = checkpoint.weights_of(model) | checkpoint.optimizer_tensors(optimizer)
    assert sum(name.startswith("model.") for name in tensors) == 3
    save(path, Checkpoint(tensors, {}))
    expected = update(model, optimizer)

    other, other_optimizer = build(2)
    found = load(path)
    checkpoint.load_weights(other, found.part("model"))
    checkpoint.load_optimizer(other_optimizer, found.part("optimizer"))
    assert all(map(torch.equal, update(other, other_optimizer), expected))
