import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from seq2seq import checkpoint
from seq2seq.checkpoint import Checkpoint, DamagedError, load, load_last, load_values, save
from seq2seq.errors import FileError, RunError
from seq2seq.files import previous_path


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
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert number_of(load_last(path)) == 1
    assert str(path) in caplog.text
    previous_path(path).write_bytes(damage)
    both = (
        rf"^{path}: is damaged \(.*\), {previous_path(path)}: is damaged \(.*\); take a copy of one"
    )
    begin = rf" from best\.safetensors, with training\.init_from={path.parent.parent}"
    best = path.with_name("best.safetensors")
    for content, remedy in ((None, ""), (damage, ""), (whole, begin)):
        if content is not None:
            best.write_bytes(content)
        with pytest.raises(RunError, match=rf"{both} .* another output_dir{remedy}$"):
            load_last(path)
    previous_path(path).unlink()
    with pytest.raises(RunError, match=r"/last\.safetensors: is damaged \("):
        load_last(path)


def test_a_truncated_one_is_noticed(path: Path) -> None:
    save(path, made(1))
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(RunError, match=r"last\.safetensors: is damaged"):
        load(path)


def test_a_flipped_byte_is_noticed_wherever_it_is(path: Path) -> None:
    tensors = {"a.x": torch.arange(3.0), "b": torch.tensor(True), "c": torch.ones(2).bfloat16()}
    save(path, Checkpoint(tensors, {"update": 7}))
    content = path.read_bytes()
    for place in range(len(content)):
        for bits in (0xFF, 1):
            flipped = bytearray(content)
            flipped[place] ^= bits
            path.write_bytes(flipped)
            with pytest.raises(DamagedError, match=r"last\.safetensors: is damaged \("):
                load(path)


def test_values_alone_are_checked_too(path: Path) -> None:
    save(path, made(1))
    path.write_bytes(path.read_bytes().replace(b'update\\": 1', b'update\\": 2'))
    with pytest.raises(DamagedError, match="its values are not those"):
        load_values(path)


def test_a_missing_one_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        save(path, made(number), keep_previous=True)
    path.unlink()
    assert number_of(load_last(path)) == 1
    assert f"{path}: is missing; going on with the one before it" in caplog.messages


def test_a_damaged_one_never_becomes_the_one_before(path: Path) -> None:
    for number in (1, 2):
        save(path, made(number), keep_previous=True)
    path.write_bytes(b"")
    assert number_of(load_last(path)) == 1
    assert path.exists()
    assert number_of(load_last(path, set_aside=True)) == 1
    save(path, made(3), keep_previous=True)
    assert number_of(load(previous_path(path))) == 1
    assert path.with_name("damaged-last.safetensors").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("operation", ["fsync", "save_file", "replace"])
def test_what_cannot_be_written_leaves_the_older_ones(
    number: int, operation: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for update in (1, 2):
        save(path, made(update), keep_previous=True)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def full(_: object, partial: object, **__: object) -> None:
        Path(str(partial)).write_bytes(b"a part")
        raise SafetensorError(f"I/O error: whatever (os error {number})")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    owner = {"fsync": os, "save_file": checkpoint, "replace": Path}[operation]
    monkeypatch.setattr(owner, operation, full if operation == "save_file" else refuse)
    with pytest.raises(FileError) as caught:
        save(path, made(3), keep_previous=True)
    assert str(caught.value).startswith(f"{path}: cannot be written ({os.strerror(number).lower()}")
    assert ("make room" in str(caught.value)) == (number != errno.EROFS)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_files_without_digests_are_read(path: Path) -> None:
    path.parent.mkdir()
    save_file({"model.x": torch.ones(1)}, path, metadata={"values": '{"update": 1, "format": 1}'})
    assert number_of(load(path)) == 1


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(RunError, match="don't fit model and tokenizer"):
        checkpoint.load_weights(nn.Linear(2, 3), checkpoint.weights_of(nn.Linear(2, 2), "x"))


def test_another_version_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 99)
        save(path, made(1))
    with pytest.raises(RunError, match="format 99, not 2"):
        load(path)


class CutOffError(Exception):
    pass


@pytest.mark.parametrize(
    ("operation", "count", "expected"),
    [("fsync", 0, 1), ("replace", 0, 1), ("replace", 1, 1), ("fsync", 1, 2)],
)
def test_breaking_off_leaves_a_whole_one(
    operation: str, count: int, expected: int, path: Path, monkeypatch: pytest.MonkeyPatch
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
        with pytest.raises(CutOffError):
            save(path, made(2), keep_previous=True)
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
