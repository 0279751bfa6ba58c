"""A run that is killed and resumed ends as an unbroken one, to the last bit."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import toy_recipe

from seq2seq import checkpoint
from seq2seq.errors import RunError
from seq2seq.recipe import Recipe
from seq2seq.run import Run
from seq2seq.train import train

PLAIN = ["training.save_every=3"]
RICH = [
    "training.ema_decay=0.9",
    "training.accumulate=2",
    "training.schedule=plateau",
    "training.decay_patience=0",
    "training.warmup_updates=3",
    "training.validate_every=5",
    "training.save_every=2",
    "training.optimizer=adamw",
    "training.keep_best=3",
    "training.average_best=true",
    "training.average_last=2",
    "tokenizer.sampling=0.2",
    "training.src_word_dropout=0.1",
    "training.tgt_word_dropout=0.1",
    "training.src_shuffle=2",
    "training.max_epochs=3",
]
OTHERWISE = [
    "data.train=[{folder}/train, {folder}/dev]",
    "data.weights=[1, 4]",
    "training.r_drop=1",
    "training.truncate=2",
    "training.teacher_forcing=0.3",
    "training.teacher_forcing_decay=linear",
    "training.teacher_forcing_updates=20",
    "training.optimizer=nadam",
    "training.weight_decay=0.01",
    "training.l1=0.01",
    "training.schedule=plateau",
    "training.decay_patience=0",
    "training.reload_best=true",
    "training.learning_rate=0.1",
    "training.ema_decay=0.5",
    "training.validate_every=3",
]
STREAMED = [
    "data.streaming=true",
    "data.shuffle_buffer=50",
    "data.train=[{folder}/train, {folder}/dev]",
    "data.max_length=5",
    "training.updates_per_epoch=7",
    "training.max_epochs=3",
    "training.accumulate=2",
    "training.save_every=2",
    "training.teacher_forcing=0.5",
    "tokenizer.sampling=0.2",
    "training.src_word_dropout=0.1",
]
RISK = [
    "training.objective=minimum_risk",
    "training.risk_samples=3",
    "training.max_epochs=1",
    "training.validate_every=6",
    "training.save_every=2",
    "training.batch_size=8",
]
TIMED = ("minutes", "seconds", "tokens_per_second", "eta_seconds", "loading", "loader_wait")
SLOW = """
import sys, time
from seq2seq.cli import main
from seq2seq.training.trainer import Trainer

update = Trainer._update
Trainer._update = lambda *args: (time.sleep(0.1), update(*args))
sys.exit(main(sys.argv[1:]))
"""


class Killed(BaseException):
    """Nobody is to catch this, as nobody catches SIGKILL."""


def result(recipe: Recipe) -> tuple[dict[str, bytes], list[dict[str, Any]], dict[str, Any]]:
    """All tensors of all checkpoints as bytes, and all records without what is timed."""
    run = Run(Path(recipe.output_dir))
    tensors, values = {}, {}
    for path in [*run.kept_checkpoints(), run.checkpoint("best"), run.checkpoint("last")]:
        found = checkpoint.load(path)
        values = found.values
        for key, tensor in found.tensors.items():
            tensors[f"{path.stem}.{key}"] = tensor.numpy().tobytes()
    records = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    for record in [*records, values["progress"], values["tally"]]:
        for timed in TIMED:
            record.pop(timed, None)
    return tensors, records, values


def same_in(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with a run directory of its own."""
    return recipe.model_copy(update={"output_dir": str(folder)})


SETTINGS = {
    "plain": PLAIN,
    "rich": RICH,
    "otherwise": OTHERWISE,
    "streamed": STREAMED,
    "risk": RISK,
}


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS)
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Recipe:
    return toy_recipe(tmp_path, *(key.format(folder=tmp_path) for key in request.param))


def count_and_kill(original: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def counted(*args: Any, **options: Any) -> Any:
        if next(left) == 0:
            raise Killed
        return original(*args, **options)

    return counted


def test_killed_again_and_again_at_its_files(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(same_in(tmp_path / "unbroken", recipe))
    kills = 0
    while True:
        left = iter(range(kills, -1, -1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", count_and_kill(os.fsync, left))
            patch.setattr(Path, "replace", count_and_kill(Path.replace, left))
            try:
                assert train(recipe).status == "finished"
                break
            except Killed:
                kills += 1
        metrics = Run(Path(recipe.output_dir)).metrics_file
        if metrics.exists():
            with metrics.open("a") as file:
                file.write('{"kind": "tra')
    assert kills > 8
    assert result(recipe) == result(same_in(tmp_path / "unbroken", recipe))
    assert train(recipe).status == "already finished"


def test_stopped_after_every_update(recipe: Recipe, tmp_path: Path) -> None:
    train(same_in(tmp_path / "unbroken", recipe))
    stops = 0
    while train(recipe, stop=lambda: True).status == "interrupted":
        stops += 1
    assert stops > 15
    assert result(recipe) == result(same_in(tmp_path / "unbroken", recipe))


EXTENDED = ["training.schedule=inverse_sqrt", "training.warmup_updates=3", "training.keep_best=2"]


@pytest.mark.parametrize(
    ("limit", "stop_after"),
    [
        ("max_epochs=1", None),
        ("max_updates=9", None),
        ("max_minutes=1e-9", None),
        ("max_epochs=1", 5),
    ],
)
def test_longer_limits_go_on_as_if_they_had_been_there(
    limit: str, stop_after: int | None, tmp_path: Path
) -> None:
    def stop() -> bool:
        return stop_after is not None and next(updates) == stop_after

    updates = iter(range(1, 99))
    first = train(toy_recipe(tmp_path, *EXTENDED, f"training.{limit}"), stop=stop)
    assert first.status == ("interrupted" if stop_after else "finished")
    longer = toy_recipe(tmp_path, *EXTENDED, "training.max_epochs=2", "training.validate_every=13")
    with pytest.raises(RunError, match=r"other values of training\.validate_every; "):
        train(longer)
    longer = toy_recipe(tmp_path, *EXTENDED, "training.max_epochs=2")
    assert train(longer).status == "finished"
    assert Run(tmp_path / "run").load_recipe() == longer
    straight = same_in(tmp_path / "straight", longer)
    train(straight)
    assert weights_of(longer) == weights_of(straight)
    assert train(longer).status == "already finished"


SEARCH = ["decoding.precision", "decoding.ban_unk"]
RISKY = ["training.objective=minimum_risk", "training.risk_metric=chrf", "training.risk_samples=2"]


@pytest.mark.parametrize(
    ("settings", "free", "kept"),
    [
        ([], [], [*SEARCH, "evaluation.tokenize", "evaluation.lowercase"]),
        (
            ["training.early_stopping_metric=loss"],
            [*SEARCH, "evaluation.tokenize", "evaluation.lowercase"],
            [],
        ),
        (
            ["training.early_stopping_metric=ter"],
            ["evaluation.tokenize", "evaluation.lowercase"],
            SEARCH,
        ),
        (
            ["training.early_stopping_metric=loss", *RISKY],
            [*SEARCH, "evaluation.tokenize"],
            ["evaluation.lowercase"],
        ),
    ],
)
def test_what_scores_in_training_depend_on_stays(
    tmp_path: Path, settings: list[str], free: list[str], kept: list[str]
) -> None:
    values = {"tokenize": "none", "lowercase": "true", "precision": "auto"}
    values["ban_unk"] = "false"

    def changed(keys: list[str], epochs: int = 2) -> Recipe:
        changes = [f"{key}={values[key.split('.')[1]]}" for key in keys]
        changes += [f"training.max_epochs={epochs}", "evaluation.bootstrap=7"]
        return toy_recipe(tmp_path, *settings, *changes)

    def refuse(epochs: int, also: list[str]) -> None:
        before = run.recipe_file.read_bytes()
        for key in kept:
            with pytest.raises(RunError, match=rf"/run: was trained with other values of {key}; "):
                train(changed([*also, key], epochs))
        assert run.recipe_file.read_bytes() == before

    run, updates = Run(tmp_path / "run"), iter(range(1, 99))
    train(toy_recipe(tmp_path, *settings), stop=lambda: next(updates) == 2)
    refuse(2, [])
    assert train(changed(free)).status == "finished"
    assert run.load_recipe() == changed(free)
    # Its translations may be scored otherwise now, but no others be made by that.
    assert train(changed(free + kept)).status == "already finished"
    assert run.load_recipe() == changed(free + kept)
    refuse(3, free)


def weights_of(recipe: Recipe) -> dict[str, bytes]:
    """All that an update changes."""
    tensors = checkpoint.load(Run(Path(recipe.output_dir)).checkpoint("last")).tensors
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_shorter_limits_end_it(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path)
    updates = iter(range(1, 99))
    train(recipe, stop=lambda: next(updates) == 20)
    assert train(toy_recipe(tmp_path, "training.max_updates=7")).status == "finished"
    run = Run(tmp_path / "run")
    assert checkpoint.load_values(run.checkpoint("last"))["progress"]["update"] == 20
    assert checkpoint.load_values(run.checkpoint("best"))["update"] in (13, 20)
    validated = [r["update"] for r in records_of(run) if r["kind"] == "validation"]
    assert validated == [13, 20]
    assert train(toy_recipe(tmp_path, "training.max_updates=6")).status == "already finished"


def records_of(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics_file.read_text().splitlines()]


def test_more_patience_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = ["training.validate_every=1", "training.learning_rate=1e-9"]
    recipe = toy_recipe(tmp_path, *settings, "training.early_stopping_patience=1")
    train(recipe)
    update = records_of(Run(tmp_path / "run"))[-1]["update"]
    caplog.set_level(logging.INFO, "seq2seq")
    assert train(recipe).status == "already finished"
    reason = "training is over by training.early_stopping_patience; with more of that it goes on"
    assert caplog.messages[-1] == reason
    more = toy_recipe(tmp_path, *settings, f"training.early_stopping_patience={update + 3}")
    assert train(more).status == "finished"
    assert records_of(Run(tmp_path / "run"))[-1]["update"] > update


def test_cosine_follows_the_new_end(tmp_path: Path) -> None:
    settings = ["training.schedule=cosine", "training.log_every=1"]
    train(toy_recipe(tmp_path, *settings, "training.max_updates=6"))
    longer = toy_recipe(tmp_path, *settings, "training.max_updates=12")
    train(longer)
    train(same_in(tmp_path / "straight", longer))
    rates, expected = (
        {
            r["update"]: r["learning_rate"]
            for r in records_of(Run(tmp_path / name))
            if "loss" in r and r["kind"] == "train" and r["update"] > 6
        }
        for name in ("run", "straight")
    )
    assert rates == expected
    assert len(rates) == 6


@pytest.fixture
def start() -> Iterator[Callable[[Recipe], subprocess.Popen[str]]]:
    """Starts slow training in a process, which has made some updates when it is given.

    These are two at least: signals are noted from the end of the first one on.
    """
    processes = []

    def started(recipe: Recipe) -> subprocess.Popen[str]:
        metrics = Run(Path(recipe.output_dir)).metrics_file

        def count() -> int:
            return len(metrics.read_bytes().splitlines()) if metrics.exists() else 0

        before = count()
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, "train", str(Path(recipe.output_dir).parent / "toy.yaml")],
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        while process.poll() is None:
            if count() > before + 1:
                break
            time.sleep(0.01)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def test_signals(start: Callable[[Recipe], subprocess.Popen[str]], tmp_path: Path) -> None:
    settings = ["training.save_every=2", "training.log_every=1"]
    recipe = toy_recipe(tmp_path, *settings)
    train(same_in(tmp_path / "unbroken", recipe))
    (tmp_path / "toy.yaml").write_text(
        (tmp_path / "toy.yaml").read_text().replace("log_every: 4", "log_every: 1, save_every: 2")
    )

    process = start(recipe)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopping after this update" in errors
    assert f"stopped and saved in {recipe.output_dir}; to go on: seq2seq train" in errors

    process = start(recipe)
    process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert "resuming after update " in errors

    assert train(recipe).status == "finished"
    assert result(recipe) == result(same_in(tmp_path / "unbroken", recipe))
