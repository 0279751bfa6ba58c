import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from toy import toy_recipe

from seq2seq.errors import SettingsError
from seq2seq.run import Run
from seq2seq.train import train
from seq2seq.training import tensorboard

Point = tuple[str, float, int]


class Writer:
    """Keeps points in a file of its folder, as TensorBoard's does."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"events.{len(list(self.folder.iterdir()))}"
        self.file.touch()

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.file.write_text(self.file.read_text() + json.dumps([tag, value, step]) + "\n")

    def flush(self) -> None:
        pass


def points(folder: Path) -> list[Point]:
    lines = (line for file in folder.iterdir() for line in file.read_text().splitlines())
    return [tuple(json.loads(line)) for line in lines]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch.utils.tensorboard.writer")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: True)


def expected(run: Run) -> list[Point]:
    """All numbers of all records, one by one."""
    found = []
    for record in map(json.loads, run.metrics_file.read_text().splitlines()):
        kind, update = record.pop("kind"), record.pop("update")
        for key, value in record.items():
            values = (
                {f"/{k}": v for k, v in value.items()} if isinstance(value, dict) else {"": value}
            )
            numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
            found += [(f"{kind}/{key}{name}", number, update) for name, number in numbers.items()]
    return found


def test_a_resumed_run_has_each_point_once(tmp_path: Path, installed: None) -> None:
    settings = ["training.tensorboard=true", "training.max_updates=10", "training.log_every=2"]
    recipe, run = toy_recipe(tmp_path, *settings), Run(tmp_path / "run")
    train(recipe, stop=iter([False] * 5 + [True]).__next__)
    first = points(run.tensorboard)
    assert first == expected(run)
    with run.metrics_file.open("a") as file:
        file.write(json.dumps({"kind": "train", "update": 8, "loss": 1.0}) + '\n{"kind')
    train(recipe)
    found = points(run.tensorboard)
    assert found == expected(run)
    assert found[: len(first)] == first
    assert len({(tag, step) for tag, _, step in found}) == len(found)
    assert {"train/loss", "train/learning_rate", "validation/bleu"} <= {tag for tag, *_ in found}


def test_a_run_that_is_told_late_has_all_points(tmp_path: Path, installed: None) -> None:
    settings = ["training.max_updates=6", "training.log_every=2"]
    recipe, run = toy_recipe(tmp_path, *settings), Run(tmp_path / "run")
    train(recipe, stop=iter([False] * 3 + [True]).__next__)
    assert not run.tensorboard.exists()
    train(toy_recipe(tmp_path, *settings, "training.tensorboard=true"))
    assert points(run.tensorboard) == expected(run)


def test_a_missing_package_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"^training\.tensorboard: .*pip install 'seq2seq\["):
        train(toy_recipe(tmp_path, "training.tensorboard=true"))
    assert not (tmp_path / "run").exists()


def test_the_real_package_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records: list[dict[str, Any]] = [
        {"kind": "train", "update": 2, "loss": 3.5, "gradient_norms": {"encoder": 0.5}},
        {"kind": "average", "update": 4, "bleu": 1.5, "updates": [2, 4]},
    ]
    board = tensorboard.TensorBoard(tmp_path / "tensorboard", records[:1])
    board(records[1])
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    assert {tag: [(e.step, e.value) for e in events] for tag, events in scalars.items()} == {
        "train/loss": [(2, 3.5)],
        "train/gradient_norms/encoder": [(2, 0.5)],
        "average/bleu": [(4, 1.5)],
    }
