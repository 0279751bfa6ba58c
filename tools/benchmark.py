"""Measures training and translation speed, here or here against another checkout.

    python tools/benchmark.py                              # the fixed shapes
    python tools/benchmark.py small --against ../other     # in turn, with the ratio of medians
    python tools/benchmark.py --recipe recipes/multi30k/en-de.yaml --run runs/en-de
    python tools/benchmark.py --run runs/en-de --search 'beam_size=5 precision=int8 shortlist=20'

Fixed shapes train on generated sentences and translate them at a fixed length, so that the work
does not depend on what a model has learnt. A recipe is trained for some seconds; a run translates
the first lines of its development set, all at once and one by one. Each measurement has its own
process. Beside each speed stands the share of its time that the matrix products would take alone
(`floor.py`). The result is JSON: medians over the rounds, the values they come from, the machine,
the commits. Only public names of the package are used, so that old checkouts can be measured as
well.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.run import CheckpointName
    from seq2seq.translate import Translator

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
LENGTH = "min_length=14 max_length=15"
SEARCHES = {"greedy": "beam_size=1", "beam_5": "beam_size=5"}
"""What is searched for if nothing else is asked for, by name: keys of `decoding`."""
NUM_RUN_LINES = 1000
NUM_SINGLE_LINES = 200
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


def measure(target: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measures a shape (`shape:NAME`), a recipe (`recipe:FILE`) or a run (`run:FOLDER`)."""
    kind, _, name = target.partition(":")
    seconds, precision = arguments.seconds, arguments.precision
    if kind == "run":
        return measure_run(Path(name), arguments.search, arguments.ensemble)
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
            results |= measure_fixed_translation(run)
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
        "training.max_epochs=1000000",
        "training.validate_every=1000000",
        f"training.log_every={RECORD_EVERY}",
    ]
    products, times = Products(), list[float]()

    def stop() -> bool:
        """Called after each update: watches those of one record, after the ones to warm up."""
        times.append(time.perf_counter())
        if len(times) == WATCHED * RECORD_EVERY:
            products.start()
        elif len(times) == (WATCHED + 1) * RECORD_EVERY:
            products.stop()
        # There is a record to go by, however slow the machine is.
        return times[-1] - times[0] >= seconds and len(times) >= (WATCHED + 2) * RECORD_EVERY

    train(load_recipe(recipe, overrides), stop=stop)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["kind"] == "train"]
    speeds = [record["tokens_per_second"] for record in records]
    gib, speed = peak_gib(), statistics.median(speeds[WATCHED + 1 :])
    first, last = (times[record * RECORD_EVERY - 1] for record in (WATCHED, WATCHED + 1))
    tokens = speeds[WATCHED] * (last - first)
    return {
        "training_tokens_per_second": speed,
        "training_share_of_products": products.seconds() / tokens * speed,
        "training_gib": gib,
    }


def measure_fixed_translation(run: Path) -> dict[str, float]:
    """Translates lines of the development set to a fixed length, whatever the model has learnt."""
    from seq2seq.prepare import read_dev
    from seq2seq.recipe import load_recipe

    lines = read_dev(load_recipe(run / "recipe.yaml"))[0]
    lines = (lines * (NUM_TRANSLATED // len(lines) + 1))[:NUM_TRANSLATED]
    results: dict[str, float] = {}
    for name, search in SEARCHES.items():
        measured = measure_search(load_translator(run, f"{search} {LENGTH}"), lines)[1]
        results |= {f"{name}_{key}": value for key, value in measured.items()}
    return results | {"peak_gib": peak_gib()}


def measure_run(run: Path, searches: list[str], ensemble: list[Path]) -> dict[str, float]:
    """Translates lines of the development set together and one by one, and scores them."""
    from seq2seq.prepare import read_dev
    from seq2seq.recipe import load_recipe
    from seq2seq.scoring.metrics import score

    recipe = load_recipe(run / "recipe.yaml")
    lines, references = (side[:NUM_RUN_LINES] for side in read_dev(recipe))
    results: dict[str, float] = {}
    for name, search in ({each: each for each in searches} or SEARCHES).items():
        translator = load_translator(run, search, ensemble)
        outputs, measured = measure_search(translator, lines)
        scores = score(outputs, [references], recipe.evaluation)
        measured |= measure_latency(translator, lines[:NUM_SINGLE_LINES])
        measured |= {one.name: one.value for one in scores}
        results |= {f"{name}_{key}": value for key, value in measured.items()}
    return results | {"peak_gib": peak_gib()}


def load_translator(run: Path, search: str, ensemble: Sequence[Path] = ()) -> Translator:
    """Loads runs that search with these keys of `decoding`."""
    from seq2seq.recipe import load_recipe
    from seq2seq.translate import Translator

    overrides = [f"decoding.{word}" for word in ("n_best=1", *search.split())]
    decoding = load_recipe(run / "recipe.yaml", overrides).decoding
    # A run that was stopped, as those are that are trained here, has no best weights yet.
    has_best = (run / "checkpoints/best.safetensors").exists()
    checkpoint: CheckpointName = "best" if has_best else "last"
    return Translator.load(run, ensemble=ensemble, decoding=decoding, checkpoint=checkpoint)


def measure_search(translator: Translator, lines: list[str]) -> tuple[list[str], dict[str, float]]:
    """Translates lines together; what they become, and sentences a second, without loading."""
    from floor import Products

    list(translator.translate(lines[:50]))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        outputs = [each.text for each in translator.translate(lines)]
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    with Products() as products:
        list(translator.translate(lines))
    return outputs, {
        "sentences_per_second": len(lines) / seconds,
        "share_of_products": products.seconds() / seconds,
    }


def measure_latency(translator: Translator, lines: list[str]) -> dict[str, float]:
    """Translates lines one by one; the time that half and 99 % of them don't exceed."""
    times = []
    for line in lines:
        start = time.perf_counter()
        list(translator.translate([line]))
        times.append(1000 * (time.perf_counter() - start))
    return dict(zip(("p50_ms", "p99_ms"), quantiles(times, (0.5, 0.99)), strict=True))


def quantiles(values: list[float], shares: Iterable[float]) -> list[float]:
    """The smallest values that these shares of all don't exceed."""
    ordered = sorted(values)
    return [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in shares]


def peak_gib() -> float:
    """The most memory that this process has had, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure_apart(checkout: Path, target: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measures in a process of its own with the package of a checkout."""
    command = [sys.executable, __file__, "--measure", target]
    command += [f"--seconds={arguments.seconds}", f"--precision={arguments.precision}"]
    command += [f"--search={search}" for search in arguments.search]
    command += [f"--ensemble={run}" for run in arguments.ensemble]
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
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="KEY=VALUE …",
        help="keys of `decoding` for the run to search with, once for each search to measure "
        "(default: beam_size=1 and beam_size=5)",
    )
    parser.add_argument(
        "--ensemble",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="RUN",
        help="runs that translate together with the run",
    )
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
        measured = measure(arguments.measure, arguments)
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
