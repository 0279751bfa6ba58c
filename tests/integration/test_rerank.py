"""Translations ranked by what other runs hold of them: those of `translate --rerank`."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import oracles
import pytest
from toy import RECIPE, toy_recipe

from seq2seq.cli import main
from seq2seq.recipe import load_recipe
from seq2seq.train import train
from seq2seq.translate import Translator

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture(scope="module")
def judges(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind, none with the tokenizer of the run that translates."""
    data = toy_run.parent
    other = {
        "from the end": ["data.reverse_tgt=true"],
        "back": ["data.src=out", "data.tgt=in"],
        "text": [
            "data.src=null",
            "model.type=language_model",
            "model.tied_embeddings=null",
            "training.early_stopping_metric=loss",
        ],
    }
    runs = {}
    for name, settings in other.items():
        folder = tmp_path_factory.mktemp("judge")
        path = folder / "judge.yaml"
        path.write_text(RECIPE.format(folder=data))
        settings += [f"output_dir={folder}/run", "tokenizer.type=char", "training.max_updates=9"]
        runs[name] = train(load_recipe(path, settings)).run_dir
    return runs


def test_runs_of_two_directions_are_no_ensemble(judges: dict[str, Path], capsys: Capture) -> None:
    one, (src, tgt) = judges["back"], ("in", "out")
    Path("other").symlink_to(one)
    Path("run").mkdir()
    for path in one.iterdir():
        if path.name != "recipe.yaml":
            (Path("run") / path.name).symlink_to(path)
    text = (one / "recipe.yaml").read_text()
    assert "src: out" in text and "tgt: in" in text
    text = text.replace("src: out", "src: in").replace("tgt: in", "tgt: out")
    Path("run/recipe.yaml").write_text(text)
    Path("in").write_text("1\n")
    capsys.readouterr()
    assert main(["translate", "run", "-i", "in", "--ensemble", "other"]) == 2
    assert capsys.readouterr().err == (
        f"ensemble: other translates from {tgt} into {src}; name a run that does from {src} into "
        f"{tgt}\n"
    )


def digits(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices("0123456789", k=rng.randint(1, 7))) for _ in range(count)]


def answers(capsys: Capture, run: Path, lines: Sequence[str], *options: str) -> list[dict]:
    Path("in").write_text("".join(f"{line}\n" for line in lines))
    capsys.readouterr()
    assert main(["translate", str(run), "-i", "in", "--json", *options]) == 0
    return [json.loads(row) for row in capsys.readouterr().out.splitlines()]


def probabilities(capsys: Capture, run: Path, *sides: Sequence[str]) -> list[float]:
    for name, lines in zip("ab", sides, strict=False):
        Path(name).write_text("".join(f"{line}\n" for line in lines))
    capsys.readouterr()
    assert main(["probability", str(run), *"ab"[: len(sides)], "--json"]) == 0
    return [json.loads(row)["log_prob"] for row in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("sampled", [False, True], ids=["search", "samples"])
def test_scores_are_sums_of_probabilities(
    sampled: bool, toy_run: Path, judges: dict[str, Path], capsys: Capture
) -> None:
    lines = [*digits(12, 3), "", "7 7"]
    options = ["--sample", "6"] if sampled else ["--n-best", "6", "--beam-size", "6"]
    plain = answers(capsys, toy_run, lines, *options)
    weights = {"from the end": 0.7, "back": 1.5, "text": 0.25}
    words = ["--rerank", *(str(judges[name]) for name in weights)]
    words += ["--rerank-weights", *map(str, weights.values())]
    found = answers(capsys, toy_run, lines, *options, *words)
    rows = [(i, one) for i, row in enumerate(plain) if row["src"] for one in row["translations"]]
    sources, targets = [lines[i] for i, _ in rows], [one["text"] for _, one in rows]
    sides = {"from the end": (sources, targets), "back": (targets, sources), "text": (targets,)}
    totals = [one["log_prob"] for _, one in rows]
    for name, weight in weights.items():
        own = probabilities(capsys, judges[name], *sides[name])
        totals = [total + weight * more for total, more in zip(totals, own, strict=True)]
    expected: list[list[tuple[float, str]]] = [[] for _ in lines]
    for (i, one), total in zip(rows, totals, strict=True):
        score = oracles.gnmt(1.0)(total, len(one["tokens"]) + 1)
        expected[i].append((score, one["text"]))
    moved = 0
    for own, row, before in zip(expected, found, plain, strict=True):
        if not row["src"]:
            assert row == before
            continue
        own.sort(key=lambda pair: -pair[0])
        hypotheses = row["translations"]
        scores = [one["score"] for one in hypotheses]
        assert scores == pytest.approx([score for score, _ in own], abs=1e-3)
        assert sorted(one["text"] for one in hypotheses) == sorted(text for _, text in own)
        moved += hypotheses[0]["text"] != before["translations"][0]["text"]
    assert moved
    if not sampled:
        best = answers(capsys, toy_run, lines, "--beam-size", "6", *words)
        assert [row["translations"][0]["text"] for row in best] == [
            row["translations"][0]["text"] for row in found
        ]


def test_who_has_no_say_changes_nothing(
    toy_run: Path, judges: dict[str, Path], capsys: Capture
) -> None:
    lines = digits(8, 4)
    for options in (
        [],
        ["decoding.coverage_penalty=0.2"],
        ["decoding.length_penalty_type=average"],
    ):
        words = ["--rerank", str(judges["back"]), "--rerank-weights", "0", *options]
        plain = answers(capsys, toy_run, lines, "--n-best", "5", *options)
        found = answers(capsys, toy_run, lines, "--n-best", "5", *words)
        assert [[one["text"] for one in row["translations"]] for row in found] == [
            [one["text"] for one in row["translations"]] for row in plain
        ]


def test_the_same_in_python(toy_run: Path, judges: dict[str, Path], capsys: Capture) -> None:
    lines = digits(8, 5)
    found = answers(capsys, toy_run, lines, "--rerank", str(judges["text"]))
    translator = Translator.load(toy_run, rerank=[judges["text"]])
    assert [one.text for one in translator.translate(lines)] == [
        row["translations"][0]["text"] for row in found
    ]


def test_mistakes(toy_run: Path, judges: dict[str, Path], tmp_path: Path, capsys: Capture) -> None:
    other = train(toy_recipe(tmp_path, "training.max_updates=1", "data.src=out")).run_dir
    back = str(judges["back"])
    Path("in").write_text("1 2\n")
    for options, message in {
        (back, "--rerank-weights", "1", "2"): f"{toy_run}: 2 weights for 1 runs that rerank; give "
        "one for each",
        (back, "--rerank-weights", "-1"): "seq2seq translate: argument --rerank-weights: invalid "
        "non-negative number value: '-1'; see seq2seq translate --help",
        (back, "--mbr"): "decoding.mbr: takes what the other translations agree with, and "
        "reranking what other runs do; leave out one",
        (back, "--beam-size", "1"): "decoding.beam_size: there is nothing to rerank; set it above "
        "1",
        (back, "--sample", "1"): "decoding.n_best: there is nothing to rerank; set it above 1",
        (str(other),): f"{other}: translates out to out, {toy_run} in to out (data.src, data.tgt); "
        "rerank with runs of the same languages, in either direction, or with language models",
        ("nowhere",): "nowhere: no run directory (it has no recipe.yaml); name one that 'seq2seq "
        "run' or 'seq2seq train' made",
    }.items():
        capsys.readouterr()
        assert main(["translate", str(toy_run), "-i", "in", "--rerank", *options]) == 2
        assert capsys.readouterr().err.splitlines() == [message]
