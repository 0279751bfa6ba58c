"""All stages of a run by one command, and what the second time leaves out."""

import json
from pathlib import Path

import pytest

from seq2seq.cli import main

ROOT = Path(__file__).parents[2]
TINY = [
    "device=cpu",
    "model.encoder.embedding_dim=8",
    "model.encoder.hidden_size=8",
    "model.decoder.embedding_dim=8",
    "model.decoder.hidden_size=16",
    "training.max_updates=3",
    "training.batch_size=8",
    "training.log_every=1",
    "decoding.max_length=5",
    "decoding.beam_size=1",
]


def test_run_takes_the_quickstart_from_nothing_to_scores_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    command = ["run", "recipes/quickstart/quickstart.yaml", *TINY]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "running recipes/quickstart/generate.py" in first.err
    run = tmp_path / "runs/quickstart"
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # That three updates taught it little is told too.
    assert [(r["kind"], r["update"]) for r in records if r["kind"] != "alarm"] == [
        ("train", 1), ("train", 2), ("train", 3), ("validation", 3)
    ]  # fmt: skip
    assert len((run / "evaluation/test.hyp").read_text(encoding="utf-8").split("\n")) == 501
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}

    assert main(command) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err == "training is over by training.max_updates; with more of that it goes on\n"
    assert {path: path.stat().st_mtime_ns for path in before} == before

    assert main([*command, "decoding.length_penalty=0", "evaluation.bootstrap=0"]) == 0
    third = capsys.readouterr()
    assert "translating test: 500 of 500" in third.err
    assert "loss" not in third.err

    for verb in ("run", "train", "prepare"):
        assert main([verb, *command[1:], "tokenizer.vocab_size=500", "data.max_length=99"]) == 2
        message = "runs/quickstart: was trained with other values of data.max_length, tokenizer.voc"
        assert capsys.readouterr().err.startswith(message)
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {path.name for path in changed} == {"recipe.yaml", "scores.json", "test.hyp"}
