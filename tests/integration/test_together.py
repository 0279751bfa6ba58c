"""Several processes train and translate as one does; what ends some of them costs little."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import company
import pytest
import torch
from toy import write_toy

from seq2seq import checkpoint
from seq2seq.cli import main
from seq2seq.evaluate import evaluate
from seq2seq.plan import plan
from seq2seq.recipe import Recipe, load_recipe
from seq2seq.run import Run
from seq2seq.train import train
from seq2seq.translate import Translator

SETTINGS = [
    # Masks of dropout depend on the rows of a process; all else that is random on the example.
    "model.dropout=0",
    "training.max_epochs=10",
    "training.batch_size=8",
    "training.accumulate=2",
    "training.ema_decay=0.9",
    "training.src_word_dropout=0.1",
    "training.tgt_word_dropout=0.1",
    "training.src_shuffle=2",
    "tokenizer.sampling=0.2",
    "training.validate_every=10",
    "training.log_every=1",
    "training.keep_best=2",
    "training.average_best=true",
]
INTERRUPTED = """
import os, signal, sys
from seq2seq.cli import main
from seq2seq.training.trainer import Trainer

rank, update, number = map(int, sys.argv[1:4])
original = Trainer._update

def patched(self, *arguments):
    is_made = original(self, *arguments)
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if (self.world.rank, self.progress.update) == (rank, update) and not restarted:
        os.kill(os.getpid(), number)
    return is_made

Trainer._update = patched
sys.exit(main(sys.argv[4:]))
"""
CLI = "import sys; from seq2seq.cli import main; sys.exit(main(sys.argv[1:]))"
RUN_THEN_TRANSLATE = """
import sys
from functools import partialmethod
from seq2seq import cli
from seq2seq.commands import run, translate
from seq2seq.translate import Translator

source, target, *words = sys.argv[1:]
original = run.run

def both(arguments):
    status = original(arguments)
    Translator.translate = partialmethod(Translator.translate, window=3)
    parser = cli.build_parser()
    output = next(word for word in words if word.startswith("output_dir=")).partition("=")[2]
    then = parser.parse_args(["translate", output, "-i", source, "-o", target])
    then.world = arguments.world
    return status or translate.run(then)

run.run = both
sys.exit(cli.main(["run", *words]))
"""


def records(recipe: Recipe) -> list[dict[str, Any]]:
    """All records without what is timed, and without the padding that parts of a batch spare."""
    lines = Run(Path(recipe.output_dir)).metrics_file.read_text().splitlines()
    found = [json.loads(line) for line in lines]
    for record in found:
        for key in ("minutes", "tokens_per_second", "eta_seconds", "padding", "loader_wait"):
            record.pop(key, None)
    return found


def assert_same(one: Recipe, other: Recipe) -> None:
    """The losses of all updates and the weights of checkpoints are the same but for rounding."""
    expected, found = records(one), records(other)
    assert [record.keys() for record in found] == [record.keys() for record in expected]
    for record, twin in zip(found, expected, strict=True):
        for key, value in twin.items():
            near = pytest.approx(value, rel=1e-5) if isinstance(value, float | dict) else value
            assert record[key] == near, (twin["update"], key)
    runs = [Run(Path(recipe.output_dir)) for recipe in (one, other)]
    for name in ("best", "last"):
        ours, theirs = (checkpoint.load(run.checkpoint(name)).tensors for run in runs)
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            torch.testing.assert_close(theirs[key], tensor, rtol=1e-2, atol=1e-4, msg=key)


def test_processes_that_end_and_others_that_go_on(tmp_path: Path) -> None:
    # One pair is left over: a batch for which there are more processes than pairs.
    path = write_toy(tmp_path, num_train=201)
    settings = [*SETTINGS, "training.max_updates=50"]
    alone = load_recipe(path, [*settings, f"output_dir={tmp_path}/alone"])
    train(alone)
    words = [str(path), *settings, f"output_dir={tmp_path}/run"]
    recipe = load_recipe(path, words[1:])

    killed = ["1", "25", str(int(signal.SIGKILL)), "train"]
    told = company.run_together(2, INTERRUPTED, *killed, *words)
    assert [status for status, _, _ in told] == [2, -signal.SIGKILL]
    *log, last = told[0][2].splitlines()
    assert "in 2 processes" in "".join(log)
    assert last.startswith("another process of this run has ended (")
    assert last.endswith("give the same command again: training goes on from the last checkpoint")
    assert told[1][1:] == ("", "")

    stopped = ["2", "37", str(int(signal.SIGTERM)), "train"]
    told = company.run_together(3, INTERRUPTED, *stopped, *words)
    assert [status for status, _, _ in told] == [130, 130, 143]
    errors = told[0][2]
    assert "resuming after update 20" in errors
    assert f"stopped and saved in {recipe.output_dir}; to go on: torchrun --nproc-per" in errors
    assert [texts for _, *texts in told[1:]] == [["", ""], ["", ""]]
    # The signal came when update 37 was over.
    assert records(recipe)[-1]["update"] == 38

    source, target = tmp_path / "test.in", tmp_path / "found"
    files = [str(source), str(target)]
    told = company.run_together(2, RUN_THEN_TRANSLATE, *files, *words)
    assert [status for status, _, _ in told] == [0, 0], told
    assert "resuming after update 38" in told[0][2]
    assert told[0][1].count("accuracy") == 1
    assert told[1][1:] == ("", "")
    assert_same(alone, recipe)

    run = Run(Path(recipe.output_dir))
    lines = source.read_text().splitlines()
    expected = [each.text for each in Translator.load(run.path).translate(lines)]
    assert len(set(expected)) > 3
    assert target.read_text().splitlines() == expected
    assert run.hypotheses("t").read_text().splitlines() == expected
    scores = evaluate(run.path)
    (run.evaluation / "scores.json").unlink()
    assert evaluate(run.path) == scores


def test_processes_that_go_on_with_half_a_file(toy_run: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("1 2 3\n4 5\n6\n7 8 9\n0 1\n2 2 2\n")
    words = ["translate", str(toy_run), "-i", str(source), "-o", str(target), "--n-best", "2"]
    assert main(words) == 0
    whole = target.read_text()
    target.write_text(whole[: whole.index("5\t") + 3])
    told = company.run_together(2, CLI, *words, "--resume")
    assert told == [(0, "", "")] * 2
    assert target.read_text() == whole


def test_processes_that_stream_the_same_pairs(tmp_path: Path) -> None:
    path = write_toy(tmp_path, num_train=201)
    streamed = ["data.streaming=true", "data.shuffle_buffer=50", "training.updates_per_epoch=6"]
    settings = [*SETTINGS, *streamed, "training.max_updates=18"]
    alone = load_recipe(path, [*settings, f"output_dir={tmp_path}/alone"])
    train(alone)
    words = [str(path), *settings, f"output_dir={tmp_path}/run"]
    stopped = ["1", "11", str(int(signal.SIGTERM)), "train"]
    told = company.run_together(2, INTERRUPTED, *stopped, *words)
    assert [status for status, _, _ in told] == [130, 143]
    told = company.run_together(2, INTERRUPTED, "9", "9", "9", "train", *words)
    assert [status for status, _, _ in told] == [0, 0], told
    assert "resuming after update 12" in told[0][2]
    assert_same(alone, load_recipe(path, words[1:]))


def test_torchrun_starts_again_what_was_killed(tmp_path: Path) -> None:
    settings = [*SETTINGS, "training.max_updates=12", "training.save_every=4"]
    path = write_toy(tmp_path)
    alone = load_recipe(path, [*settings, f"output_dir={tmp_path}/alone"])
    train(alone)
    words = [str(path), *settings, f"output_dir={tmp_path}/run"]
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(script), "1", "6", "9", "train", *words],
        env=os.environ | {"PYTHONPATH": str(company.TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("resuming after update 4\n") == 1
    assert done.stderr.count("another process of this run has ended") <= 1
    assert_same(alone, load_recipe(path, words[1:]))


def test_a_plan_of_several_processes_is_that_of_the_whole(tmp_path: Path) -> None:
    words = ["train", str(write_toy(tmp_path)), *SETTINGS, "--plan"]
    (status, table, errors), (other_status, silence, _) = company.run_together(2, CLI, *words)
    assert (status, other_status, silence) == (0, 0, ""), errors
    table = " ".join(table.split())
    assert "on cpu in 2 processes " in table
    assert "memory in each of them " in table
    (_, text, _), _ = company.run_together(2, CLI, *words, "--json")
    found = json.loads(text)
    alone = plan(load_recipe(tmp_path / "toy.yaml", SETTINGS))
    assert (found["processes"], alone.processes) == (2, 1)
    for same in ("parameters", "updates_per_epoch", "padding", "batch"):
        assert found[same] == getattr(alone, same)
    assert found["left"]["updates"] == alone.left.updates
    assert found["largest_batch"].startswith("8 pairs; the first process has ")
    assert alone.largest_batch.startswith("8 pairs of up to ")
    # Tokens are those of the whole batches.
    tokens = found["speed"]["tokens_per_second"] * found["speed"]["update"]
    assert tokens == pytest.approx(alone.speed.tokens_per_second * alone.speed.update)
    assert not (tmp_path / "run/checkpoints").exists()
