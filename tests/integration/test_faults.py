"""Processes that are killed at random moments, again and again, end with an unbroken run's weights.

A short form by default; SEQ2SEQ_KILLS=30 python -m pytest tests/integration/test_faults.py kills 30
times.
"""

import importlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from toy import toy_recipe, write_toy

from seq2seq import checkpoint
from seq2seq.files import previous_path
from seq2seq.run import Run
from seq2seq.train import train

KILLS = int(os.environ.get("SEQ2SEQ_KILLS", "6"))

RANDOM = [
    "tokenizer.sampling=0.2",
    "training.src_word_dropout=0.1",
    "training.tgt_word_dropout=0.1",
    "training.src_shuffle=2",
    "model.recurrent_dropout=0.1",
    "training.ema_decay=0.9",
    "training.teacher_forcing=0.5",
    "training.teacher_forcing_decay=linear",
    "training.teacher_forcing_updates=20",
    "training.accumulate=2",
    "training.keep_best=3",
    "training.average_best=true",
    "training.average_last=2",
    "training.validate_every=5",
    "training.save_every=2",
    "training.log_every=3",
]
RESTARTING = [
    "training.r_drop=1",
    "training.schedule=plateau",
    "training.decay_patience=0",
    "training.reload_best=true",
    "training.learning_rate=0.1",
    "training.validate_every=3",
    "training.save_every=2",
    "training.keep_best=2",
    "training.max_updates=20",
]
STREAMED = [
    "data.streaming=true",
    "data.shuffle_buffer=40",
    "training.updates_per_epoch=8",
    "training.max_epochs=3",
    "training.accumulate=2",
    "training.save_every=2",
    "tokenizer.sampling=0.2",
    "training.src_word_dropout=0.1",
]
RECIPES = {
    "all that is random": RANDOM,
    "restarts from the best": RESTARTING,
    "streamed pairs": STREAMED,
}

MOMENTS = {
    "a save": "seq2seq.checkpoint.save_file",
    "a rename": "seq2seq.files.sync_names",
    "a validation": "seq2seq.training.validation.Validator.measure",
    "an average": "seq2seq.training.trainer.Trainer.average",
    "a record": "seq2seq.training.log.MetricsLog.write",
    "a cut of records": "seq2seq.training.log.MetricsLog.truncate",
    "a seal": "seq2seq.files.seal",
    "a stage": "seq2seq.synthesis._translate",
    "a tokenizer": "seq2seq.prepare.save_tokenizers",
    "an evaluation": "seq2seq.evaluate._store",
    "an update": "seq2seq.training.trainer.Trainer._update",
}
"""What a process is killed in, or a moment after it."""


def run_and_count(words: list[str], counts: Path) -> None:
    """Carry out a command, and write down how often each of the moments comes."""
    came: Counter[str] = Counter()
    for moment in MOMENTS:
        watch(moment, lambda moment=moment: came.update([moment]))
    status = run_in_silence(words)
    counts.write_text(json.dumps(came))
    sys.exit(status)


def run_and_die(words: list[str], moment: str, call: int, delay: float) -> None:
    """Carry out a command, and die a delay after a moment that comes for the so-manieth time."""
    calls = itertools.count()
    watch(moment, lambda: next(calls) == call and die_after(delay))
    sys.exit(run_in_silence(words))


def run_in_silence(words: list[str]) -> int:
    from seq2seq.cli import main

    with open(os.devnull, "w") as void, redirect_stdout(void), redirect_stderr(void):
        return main(words)


def watch(moment: str, before: Callable[[], Any]) -> None:
    """Have something done each time before a moment."""
    holder, attribute = MOMENTS[moment].rsplit(".", 1)
    try:
        owner: Any = importlib.import_module(holder)
    except ModuleNotFoundError:
        module, kind = holder.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), kind)
    original = getattr(owner, attribute)

    def watched(*args: Any, **options: Any) -> Any:
        before()
        return original(*args, **options)

    setattr(owner, attribute, watched)


def die_after(delay: float) -> None:
    def die() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=die, daemon=True).start()


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Starts processes that have imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seq2seq.cli", "seq2seq.train", "seq2seq.evaluate"])
    return context


@pytest.fixture(scope="module")
def helpers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of stages that translate: one that distils, one that goes back."""
    forth, back = (tmp_path_factory.mktemp(name) for name in ("forth", "back"))
    train(toy_recipe(forth, "training.max_epochs=1"))
    train(toy_recipe(back, "training.max_epochs=1", "data={src: out, tgt: in}"))
    return [
        f"data.distillation={{runs: {forth}/run, beam_size: 1}}",
        f"data.back_translation={{runs: {back}/run, text: {back}/train.out, beam_size: 1}}",
        "training.max_epochs=2",
    ]


def result(path: Path) -> dict[str, Any]:
    """All tensors of all checkpoints as bytes, and the translations."""
    run = Run(path)
    found: dict[str, Any] = {"hyp": run.hypotheses("t").read_bytes()}
    for file in [*run.kept_checkpoints(), run.checkpoint("best"), run.checkpoint("last")]:
        for key, tensor in checkpoint.load(file).tensors.items():
            found[f"{file.stem}.{key}"] = tensor.numpy().tobytes()
    return found


def damage_last(run: Run, rng: random.Random) -> bool:
    """Damage the last checkpoint where there is one before it."""
    path = run.checkpoint("last")
    if not (path.exists() and previous_path(path).exists()):
        return False
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return True


@pytest.mark.parametrize("name", RECIPES)
def test_killed_at_random_moments(
    name: str, helpers: list[str], processes: ForkServerContext, tmp_path: Path
) -> None:
    rng = random.Random(name)
    # A stream keeps no translations.
    stages = [] if name == "streamed pairs" else helpers
    command = ["run", str(write_toy(tmp_path)), *stages, *RECIPES[name]]

    def start(folder: str, target: Callable[..., None], *args: Any) -> int:
        words = [*command, f"output_dir={tmp_path / folder}"]
        process = processes.Process(target=target, args=(words, *args))
        process.start()
        process.join()
        return int(process.exitcode or 0)

    assert start("unbroken", run_and_count, tmp_path / "counts.json") == 0
    expected = result(tmp_path / "unbroken")
    counts = json.loads((tmp_path / "counts.json").read_text())
    kills = runs = 0
    while kills < KILLS / len(RECIPES):
        runs += 1
        folder, told = f"broken-{runs}", []
        while True:
            moment = rng.choice(list(counts))
            call, delay = rng.randrange(counts[moment]), rng.choice((0, rng.uniform(0, 0.02)))
            if kills >= KILLS / len(RECIPES):
                call = sys.maxsize
            status = start(folder, run_and_die, moment, call, delay)
            if status == 0:
                break
            told.append(f"{moment} {call} of {counts[moment]}")
            assert status == -signal.SIGKILL, told
            kills += 1
            if rng.random() < 0.2 and damage_last(Run(tmp_path / folder), rng):
                told.append("the last checkpoint is damaged")
        print(f"{folder}:", *told, sep="\n  ")
        assert result(tmp_path / folder) == expected
