"""What goes wrong in training is told, each with its own alarm, and health is not disturbed."""

import json
import logging
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import write_toy

from seq2seq import train as wiring
from seq2seq.prepare import prepare
from seq2seq.recipe import Recipe, load_recipe
from seq2seq.run import Run
from seq2seq.train import train
from seq2seq.training import alarms
from seq2seq.training.trainer import Trainer

SETTINGS = [
    "tokenizer.type=word",
    "model.dropout=0.1",
    "training.batch_size=32",
    "training.schedule=null",
    "training.max_epochs=99",
    "training.validate_every=130",
    "training.log_every=20",
]


def write_task(folder: Path, change: Callable[[str, list[str]], list[str]] | None = None) -> Path:
    """A task that can be learnt, unless the lines of its target sides are changed, by their set."""
    path = write_toy(folder, num_train=1500, num_test=60, longest=5)
    for name in ("train", "dev"):
        file = folder / f"{name}.out"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines if change is None else change(name, lines)))
    return path


@pytest.fixture(autouse=True)
def settled_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks as small as these are learnt in few updates."""
    monkeypatch.setattr(alarms, "SETTLED_UPDATES", 200)


def load(path: Path, updates: int, *settings: str, rate: float = 5e-3) -> Recipe:
    limits = [f"training.max_updates={updates}", f"training.learning_rate={rate}"]
    return load_recipe(path, [*SETTINGS, *limits, *settings])


def told(recipe: Recipe, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Train, and give the alarms by name with their text, each of which is a warning too."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "seq2seq"):
        train(recipe)
    lines = Run(Path(recipe.output_dir)).metrics_file.read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["kind"] == "alarm"]
    about = [record.get("failed_update", record["update"]) for record in records]
    raised = [f"update {n:,}: {record['text']}" for n, record in zip(about, records, strict=True)]
    assert [line for line in caplog.messages if line.startswith("update ")] == raised
    return {record["alarm"]: record["text"] for record in records}


def test_a_healthy_run_raises_no_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = load(write_task(tmp_path), 260)
    assert told(recipe, caplog) == {}
    records = map(json.loads, Run(tmp_path / "run").metrics_file.read_text().splitlines())
    measured = [set(record) for record in records if record["kind"] == "validation"]
    wanted = {measure for sign in alarms.SIGNS.values() for measure in sign.measures}
    assert len(measured) == 2
    assert all(names >= wanted for names in measured)


def shuffled(name: str, lines: list[str]) -> list[str]:
    return random.Random(1).sample(lines, len(lines)) if name == "train" else lines


def test_targets_of_other_sources_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load(write_task(tmp_path, shuffled), 260)
    assert "line n of the target translates line n" in told(recipe, caplog)["source_ignored"]


def constant(name: str, lines: list[str]) -> list[str]:
    return ["1 2 3\n"] * len(lines) if name == "train" else lines


def test_a_constant_target_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = load(write_task(tmp_path, constant), 260)
    raised = told(recipe, caplog)
    assert {"source_ignored", "same_outputs"} <= set(raised)
    assert "98% of the translations are those of other lines too" in raised["same_outputs"]
    assert any("100% of the targets are one and the same line" in text for text in caplog.messages)


def test_a_rate_that_is_far_too_high_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raised = told(load(write_task(tmp_path), 60, rate=0.5), caplog)
    assert "training has diverged" in raised["diverged"]
    assert any("0.5 is so high for adam that" in message for message in caplog.messages)


def test_a_rate_that_becomes_too_high_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    update = Trainer._update

    def raised_rate(trainer: Trainer, *groups: Any) -> bool:
        trainer.progress.rate_factor = 200.0 if trainer.progress.update > 100 else 1.0
        return update(trainer, *groups)

    monkeypatch.setattr(Trainer, "_update", raised_rate)
    raised = told(load(write_task(tmp_path), 130), caplog)
    assert "the loss has jumped from about" in raised["loss_spike"]


def test_a_very_long_pair_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_task(tmp_path)
    long = " ".join(random.Random(1).choices("0123456789", k=3000)) + "\n"
    for suffix in ("in", "out"):
        with (tmp_path / f"train.{suffix}").open("a") as file:
            file.write(long)
    caplog.set_level(logging.INFO, "seq2seq")
    prepare(load(path, 1))
    assert any("1 too long" in message for message in caplog.messages)
    prepare(load(path, 1, "data.max_length=4000"))
    for side in ("source", "target"):
        start = f"warning: data.train: a {side} has 3,001 pieces, half of the lines at most "
        assert any(message.startswith(start) for message in caplog.messages)


def test_a_gradient_that_is_no_number_is_told_and_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build = wiring.build_trainer
    left = iter([math.nan])

    def spoilt(*args: Any) -> Trainer:
        trainer = build(*args)

        def spoil(gradient: torch.Tensor) -> torch.Tensor:
            return gradient * next(left, 1.0) if trainer.progress.update == 25 else gradient

        trainer.model.encoder.embedding.weight.register_hook(spoil)
        return trainer

    monkeypatch.setattr(wiring, "build_trainer", spoilt)
    text = told(load(write_task(tmp_path), 40, "training.save_every=20"), caplog)["not_finite"]
    assert "it began in the gradient of the embeddings, at learning rate 0.005, on training" in text
    assert "goes on from update 20 with 0.5 times" in text
