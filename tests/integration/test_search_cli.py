"""Ways to search, by the commands."""

import json
import random
from pathlib import Path

import pytest

from seq2seq.cli import main
from seq2seq.errors import RunError
from seq2seq.recipe import Decoding
from seq2seq.translate import Translator

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("empty_folder")


def digits(count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices("0123456789", k=rng.randint(1, 9))) for _ in range(count)]


def translated(lines: list[str], *words: str) -> list[str]:
    Path("in").write_text("".join(line + "\n" for line in lines))
    assert main(["translate", *words, "-i", "in", "-o", "out"]) == 0
    return Path("out").read_text().split("\n")[:-1]


def test_keys_of_search_may_stand_anywhere(toy_run: Path, capsys: Capture) -> None:
    lines = digits(20)
    plain = translated(lines, str(toy_run))
    short = translated(lines, str(toy_run), "--beam-size", "2", "decoding.max_length=2")
    words = ["decoding.max_length=2", str(toy_run), "--ensemble", str(toy_run)]
    assert short == translated(lines, *words, "decoding.beam_size=2")
    assert short != plain
    three = translated(lines, str(toy_run), "decoding.n_best=3")
    assert len(three) == 60 and [row.split("\t")[1] for row in three[::3]] == plain
    for words, message in {
        ("decoding.beam_sise=2",): "command line: decoding.beam_sise: unknown key; did you mean "
        "'beam_size'?",
        ("decoding.beam_size=2", "--beam-size", "3"): "command line: decoding.beam_size: given "
        "twice; keep one",
        ("--ensemble", "a", "--ensemble-weights", "1", "0"): "seq2seq translate: argument "
        "--ensemble-weights: invalid positive number value: '0'; see seq2seq translate --help",
        ("--ensemble-weights", "1", "2"): f"{toy_run}: 2 weights for 1 runs; give one for each",
    }.items():
        assert main(["translate", str(toy_run), "-i", "in", *words]) == 2
        assert capsys.readouterr().err.splitlines() == [message]


def test_samples_depend_on_the_text_alone(toy_run: Path) -> None:
    lines = digits(30)
    words = [str(toy_run), "decoding.sampling=true", "decoding.temperature=1.5"]
    one = translated(lines, *words)
    assert one != translated(lines, str(toy_run))
    order = random.Random(3).sample(range(30), 30)
    shuffled = translated([lines[i] for i in order], *words, "--batch-size", "4")
    assert shuffled == [one[i] for i in order]
    rows = [row.split("\t") for row in translated(lines, *words, "--n-best", "7")]
    assert [text for _, text in rows[::7]] == one
    assert [int(number) for number, _ in rows] == [i for i in range(1, 31) for _ in range(7)]
    assert any(len({text for _, text in rows[i : i + 7]}) > 1 for i in range(0, 210, 7))
    assert translated(lines, *words, "decoding.sampling_seed=2") != one


def test_samples_by_their_options(toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = digits(6)
    long = ["decoding.sampling=true", "decoding.sampling_seed=7", "--n-best", "3"]
    short = [str(toy_run), "--sample", "3", "--seed", "7"]
    assert translated(lines, *short) == translated(lines, str(toy_run), *long)
    assert translated(lines, *short[:3]) != translated(lines, *short)
    for options, message in {
        ("--seed", "2"): "--seed: a search for the best draws nothing; leave it out, or take "
        "samples",
        ("--sample", "2", "--n-best", "3"): "seq2seq translate: argument --n-best: not allowed "
        "with argument --sample; see seq2seq translate --help",
        (
            "--sample",
            "2",
            "--beam-size",
            "3",
        ): "--beam-size: samples have no beam; leave it out, or take no samples",
        ("--sample", "0"): "seq2seq translate: argument --sample: must be a whole number above 0, "
        "not '0'; see seq2seq translate --help",
        ("--sample", "2", "decoding.sampling=false"): "command line: decoding.sampling: given "
        "twice; keep one",
        ("--sample", "2", "--seed", "x"): "command line: decoding.sampling_seed: must be a whole "
        "number, not 'x'",
    }.items():
        assert main(["translate", str(toy_run), "-i", "in", *options]) == 2
        assert capsys.readouterr().err.splitlines() == [message]


def test_glossary_and_banned_phrases(toy_run: Path, capsys: Capture) -> None:
    lines = ["3 5", "1 2 4", "5", "3 3 7 7"]
    Path("g.tsv").write_text("3\t0 0 6\n7 7\t8 8\n")
    words = [str(toy_run), "decoding.glossary=g.tsv"]
    plain, found = translated(lines, str(toy_run)), translated(lines, *words)
    assert [found[1], found[2]] == [plain[1], plain[2]]
    assert "0 0 6" in found[0] and "0 0 6" in found[3] and "8 8" in found[3]
    banned = translated(lines, str(toy_run), "decoding.banned_phrases=['5', '4']")
    assert banned != plain
    Path("g.tsv").write_text("3\tß\n")
    assert main(["translate", *words, "-i", "in"]) == 2
    message = "g.tsv: 'ß' has words or characters that the model doesn't know; take it out"
    assert capsys.readouterr().err.splitlines() == [message]
    Path("g.tsv").write_text("3\t1 2 3\n")
    assert main(["translate", *words, "-i", "in", "decoding.banned_phrases=['2']"]) == 2
    message = "g.tsv: '1 2 3' has what decoding.banned_phrases bans; drop one of them"
    assert capsys.readouterr().err.splitlines() == [message]
    Path("g.tsv").unlink()
    for command in (["translate", "-i", "in"], ["evaluate"]):
        assert main([*command, *words]) == 2
        (message,) = capsys.readouterr().err.splitlines()
        assert message.startswith("g.tsv: cannot be read")


def test_scores_know_what_they_depend_on(toy_run: Path, tmp_path: Path, capsys: Capture) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(toy_run, run, ignore=lambda *_: ["evaluation"])

    def scores(*words: str) -> list[object]:
        assert main(["evaluate", str(run), "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)["t"]

    Path("g.tsv").write_text("3\t0 0 6\n")
    plain, first = scores(), scores("decoding.glossary=g.tsv")
    Path("g.tsv").write_text("3\t6 0 0 0 0\n")
    assert first != plain
    assert scores("decoding.glossary=g.tsv") != first
    pair = ["--ensemble", str(toy_run)]
    assert scores(*pair, "--ensemble-weights", "1", "3") == plain


def test_every_way_to_search_gives_an_answer_to_every_line(toy_run: Path) -> None:
    lines = [*digits(12), "", "7"]
    for key in (
        "length_penalty_type=average", "length_penalty_type=reward", "coverage_penalty=0.2",
        "early_stopping=first", "early_stopping=never", "min_length_ratio=1.5",
        "max_length_ratio=0.8", "max_repeats=1", "diversity_groups=5",
    ):  # fmt: skip
        found = translated(lines, str(toy_run), f"decoding.{key}")
        assert [bool(text) for text in found] == [bool(line) for line in lines], key


def test_weights_must_fit(toy_run: Path) -> None:
    with pytest.raises(RunError, match="1 weights for 2 runs"):
        Translator.load(toy_run, ensemble=[toy_run], weights=[1.0], decoding=Decoding())
    for weights in ([0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(RunError, match="give positive numbers"):
            Translator.load(toy_run, ensemble=[toy_run], weights=weights, decoding=Decoding())
