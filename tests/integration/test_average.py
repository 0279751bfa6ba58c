"""Averaging the checkpoints of a finished run."""

import json
from pathlib import Path

import pytest
import torch
from toy import toy_recipe

from seq2seq import checkpoint
from seq2seq.cli import main
from seq2seq.run import Run
from seq2seq.train import train


def test_a_finished_run_translates_with_the_mean_if_it_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["training.keep_best=3", "training.max_epochs=4", "training.schedule=null"]
    recipe = toy_recipe(tmp_path, *settings, "training.early_stopping_metric=loss")
    run = Run(train(recipe).run_dir)
    before = {name: checkpoint.load(run.checkpoint(name)) for name in ("best", "last")}
    assert main(["average", str(run.path), "--best", "2"]) == 0
    is_better = "is better" in capsys.readouterr().out
    *records, record = map(json.loads, run.metrics_file.read_text().splitlines())
    *_, last = [each for each in records if each["kind"] == "validation"]
    assert (record["kind"], record["updates"]) == ("average", [39, 52])
    assert is_better == (record["loss"] < last["loss"])
    after = {name: checkpoint.load(run.checkpoint(name)) for name in ("best", "last")}
    for name, same in {"best": not is_better, "last": True}.items():
        pairs = zip(before[name].tensors.values(), after[name].tensors.values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs) == same
    assert train(recipe).status == "already finished"


def test_the_last_are_averaged_of_a_run_that_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["training.average_last=3", "training.max_epochs=4", "training.schedule=null"]
    run = Run(train(toy_recipe(tmp_path, *settings)).run_dir)
    for words, updates in {(): [26, 39, 52], ("--last", "2"): [39, 52]}.items():
        assert main(["average", str(run.path), *words]) == 0
        *_, record = map(json.loads, run.metrics_file.read_text().splitlines())
        assert (record["kind"], record["updates"]) == ("average", updates)
    capsys.readouterr()
    assert main(["average", str(run.path), "--best", "2"]) == 2
    assert "train with training.keep_best above 1" in capsys.readouterr().err
    assert main(["average", str(run.path), "--best", "2", "--last", "2"]) == 2
    assert "--last: not allowed with argument --best" in capsys.readouterr().err


def test_nothing_to_average(toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", str(toy_run)]) == 2
    assert "keeps 0 of its best checkpoints, which is nothing to average" in capsys.readouterr().err
    assert main(["average", str(toy_run), "--best", "1"]) == 2
    assert "--best: must be a whole number above 1, not '1'" in capsys.readouterr().err
