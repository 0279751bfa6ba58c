"""Measures training and translation speed, here or here against another checkout.

    python tools/benchmark.py                              # the fixed shapes
    python tools/benchmark.py small --against ../other     # in turn, with the ratio of medians
    python tools/benchmark.py --recipe recipes/multi30k/en-de.yaml --run runs/en-de

Fixed shapes train on generated sentences and translate them at a fixed length, so that the work
does not depend on what a model has learnt. A recipe is trained for some seconds; a run translates
the first lines of its development set. Each measurement has its own process. Beside each speed
stands the share of its time that the matrix products would take alone (`floor.py`). The result is
JSON: medians over the rounds, the values they come from, the machine, the commits. Only public
names of the package are used, so that old checkouts can be measured as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import accumulate, count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

SHAPES = {
    "small": """
model:
  encoder: {rnn_type: lstm, embedding_dim: 256, hidden_size: 256, num_layers: 1}
  decoder:
    {rnn_type: lstm, embedding_dim: 256, hidden_size: 512, num_layers: 1,
     attention: luong, lexical: false}
  dropout: 0.2
  tied_embeddings: null
training: {batch_type: sentences, batch_size: 80, ema_decay: 0}
""",
    "design": """
model:
  encoder: {rnn_type: lstm, embedding_dim: 256, hidden_size: 256, num_layers: 2}
  decoder:
    {rnn_type: lstm, embedding_dim: 256, hidden_size: 512, num_layers: 2,
     attention: luong, lexical: false}
  dropout: 0.2
  tied_embeddings: null
training: {batch_type: tokens, batch_size: 4096, ema_decay: 0}
""",
}
DATA = """
data: {src: src, tgt: tgt, train: train, dev: dev}
tokenizer: {type: word, vocab_size: 8000, joint: true}
"""
NUM_WORDS = 7996
NUM_PAIRS = {"train": 20_000, "dev": 40}
NUM_TRANSLATED = 500
TRANSLATION_LENGTH = 15
RECORD_EVERY = 5
WATCHED = 2
"""The record of training whose products are noted; those before it warm up."""


def write_corpus(folder: Path) -> None:
    """Sentences of 4 to 30 words (13 on average) whose frequencies fall as those of words do."""
    rng = random.Random(1)
    words = [f"w{i}" for i in range(NUM_WORDS)]
    weights = list(accumulate(1 / (i + 10) for i in range(NUM_WORDS)))
    unseen = iter(words)
    for name, size in NUM_PAIRS.items():
        sides: tuple[list[str], list[str]] = ([], [])
        for _ in range(size):
            length = min(30, max(4, round(rng.gauss(13, 4))))
            for lines in sides:
                line = rng.choices(words, cum_weights=weights, k=length + rng.randint(-1, 1))
                lines.append(" ".join([*line, next(unseen, "w0")]))
        for suffix, lines in zip(("src", "tgt"), sides, strict=True):
            (folder / f"{name}.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(target: str, seconds: float, precision: str) -> dict[str, float]:
    """Measures a shape (`shape:NAME`), a recipe (`recipe:FILE`) or a run (`run:FOLDER`)."""
    kind, _, name = target.partition(":")
    if kind == "run":
        return measure_translation(Path(name), fixed_length=False)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(name)
        if kind == "shape":
            os.chdir(folder)
            write_corpus(Path())
            recipe = Path("recipe.yaml")
            recipe.write_text(DATA + SHAPES[name], encoding="utf-8")
        run = Path(folder) / "run"
        results = measure_training(recipe, run, seconds, precision)
        if kind == "shape":
            results |= measure_translation(run, fixed_length=True)
        os.chdir(ROOT)
    return results


def measure_training(recipe: Path, run: Path, seconds: float, precision: str) -> dict[str, float]:
    """Trains for so many seconds; real target tokens a second, end marks counted."""
    from floor import Products

    from seq2seq.recipe import load_recipe
    from seq2seq.train import train

    overrides = [
        f"output_dir={run}",
        f"training.precision={precision}",
        f"training.max_minutes={seconds / 60}",
        "training.max_epochs=1000000",
        "training.validate_every=1000000",
        f"training.log_every={RECORD_EVERY}",
    ]
    products, updates, times = Products(), count(1), list[float]()

    def watch() -> bool:
        """Called after each update: watches those of one record, after the ones to warm up."""
        update = next(updates)
        if update in (WATCHED * RECORD_EVERY, (WATCHED + 1) * RECORD_EVERY):
            times.append(time.perf_counter())
            if len(times) == 1:
                products.start()
            else:
                products.stop()
        return False

    train(load_recipe(recipe, overrides), stop=watch)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["kind"] == "train"]
    speeds = [record["tokens_per_second"] for record in records]
    if len(speeds) <= WATCHED + 1:
        raise SystemExit(f"{recipe}: too few updates in {seconds} seconds; raise --seconds")
    gib, speed = peak_gib(), statistics.median(speeds[WATCHED + 1 :])
    tokens = speeds[WATCHED] * (times[1] - times[0])
    return {
        "training_tokens_per_second": speed,
        "training_share_of_products": products.seconds() / tokens * speed,
        "training_gib": gib,
    }


def measure_translation(run: Path, fixed_length: bool) -> dict[str, float]:
    """Translates lines of the development set; sentences a second, without loading."""
    from floor import Products

    from seq2seq.prepare import read_dev
    from seq2seq.recipe import load_recipe
    from seq2seq.translate import Translator

    recipe = load_recipe(run / "recipe.yaml")
    lines = read_dev(recipe)[0]
    lines = (lines * (NUM_TRANSLATED // len(lines) + 1))[:NUM_TRANSLATED]
    length = {"min_length": TRANSLATION_LENGTH, "max_length": TRANSLATION_LENGTH}
    results = {}
    for name, beam_size in [("greedy", 1), ("beam_5", 5)]:
        settings = {"beam_size": beam_size, "n_best": 1} | (length if fixed_length else {})
        decoding = recipe.decoding.model_copy(update=settings)
        translator = Translator.load(run, decoding=decoding)
        list(translator.translate(lines[:50]))
        times = []
        for _ in range(3):
            start = time.perf_counter()
            list(translator.translate(lines))
            times.append(time.perf_counter() - start)
        seconds = statistics.median(times)
        results[f"{name}_sentences_per_second"] = len(lines) / seconds
        with Products() as products:
            list(translator.translate(lines))
        results[f"{name}_share_of_products"] = products.seconds() / seconds
    return results | {"peak_gib": peak_gib()}


def peak_gib() -> float:
    """The most memory that this process has had, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure_apart(checkout: Path, target: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measures in a process of its own with the package of a checkout."""
    command = [sys.executable, __file__, "--measure", target]
    command += [f"--seconds={arguments.seconds}", f"--precision={arguments.precision}"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {target} could not be measured")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    import torch

    names = [platform.processor() or platform.machine()]
    if (info := Path("/proc/cpuinfo")).is_file():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": (names or [platform.machine()])[0],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def commit(checkout: Path) -> str:
    """The commit of a checkout, with a `+` if files have changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(checkout), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def compare(
    targets: list[str], checkouts: dict[str, Path], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measures the checkouts in turn, round by round."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for _ in range(arguments.rounds):
        for target in targets:
            for name, checkout in checkouts.items():
                measured = values.setdefault(target, {}).setdefault(name, {})
                for key, value in measure_apart(checkout, target, arguments).items():
                    measured.setdefault(key, []).append(round(value, 3))
    report: dict[str, Any] = {}
    for target, by_checkout in values.items():
        medians = {
            name: {key: statistics.median(numbers) for key, numbers in measured.items()}
            for name, measured in by_checkout.items()
        }
        report[target] = {"medians": medians, "values": by_checkout}
        if "other" in medians:
            this, other = medians["this"], medians["other"]
            report[target]["ratio"] = {
                key: round(this[key] / other[key], 3) for key in this if key in other
            }
    return report


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of the command line."""
    parser = argparse.ArgumentParser(description="Measure training and translation speed.")
    text = f"fixed shapes to measure, of {', '.join(SHAPES)}; all, if nothing else is given"
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=text)
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="train this recipe, too")
    parser.add_argument("--run", type=Path, metavar="RUN", help="translate with this run, too")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure it in turn")
    parser.add_argument("--seconds", type=float, default=20.0, help="of training (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements (default: 3)")
    precisions = ("auto", "float32", "bfloat16")
    parser.add_argument("--precision", choices=precisions, default="auto", help="of training")
    parser.add_argument("--measure", metavar="TARGET", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measures what the command line says and prints it as JSON."""
    parser = build_parser()
    arguments = parser.parse_args()
    if arguments.measure:
        measured = measure(arguments.measure, arguments.seconds, arguments.precision)
        print(json.dumps(measured))
        return
    if unknown := set(arguments.shapes) - set(SHAPES):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    named = arguments.shapes or (() if arguments.recipe or arguments.run else SHAPES)
    targets = [f"shape:{name}" for name in named]
    targets += [f"recipe:{arguments.recipe.resolve()}"] if arguments.recipe else []
    targets += [f"run:{arguments.run}"] if arguments.run else []
    checkouts = {"this": ROOT}
    if arguments.against:
        if not (arguments.against / "seq2seq").is_dir():
            parser.error(f"--against: {arguments.against} is no checkout (it has no seq2seq/)")
        checkouts["other"] = arguments.against.resolve()
    report = {
        "machine": machine(),
        "commits": {name: commit(checkout) for name, checkout in checkouts.items()},
        "precision": arguments.precision,
        "results": compare(targets, checkouts, arguments),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
