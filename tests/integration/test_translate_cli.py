"""Lines in, lines out, by the command."""

import gzip
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.cli import main
from seq2seq.search.build import MAX_PIECES

Capture = pytest.CaptureFixture[str]
COMMAND = [sys.executable, "-m", "seq2seq", "translate"]


pytestmark = pytest.mark.usefixtures("empty_folder")


def translated(run: Path, lines: list[str], *options: str) -> list[str]:
    """The lines that the command writes for these lines."""
    Path("in").write_bytes("".join(line + "\n" for line in lines).encode())
    assert main(["translate", str(run), "-i", "in", "-o", "out", *options]) == 0
    output = Path("out").read_bytes().decode()
    assert output.endswith("\n")
    return output.split("\n")[:-1]


def digits(count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices("0123456789", k=rng.randint(1, 9))) for _ in range(count)]


def test_every_odd_line_keeps_its_place(toy_run: Path) -> None:
    plain = ["1 2", "3 4 5", "1 2 3", "5 5 6"]
    answers = translated(toy_run, plain)
    assert len(set(answers)) > 1
    text = (
        "\ufeff1 2\r\n\n3 4 5\r\n  \t\n6 7\u2028 8\n😀 9 😀\n\r\n1 2 3\n"
        f"{'7 ' * 5000}\n9 8\x0b\x0c\x85\n5 5 6"
    )
    content = text.encode()
    Path("in").write_bytes(content)
    assert main(["translate", str(toy_run), "-i", "in", "-o", "out"]) == 0
    lines = Path("out").read_bytes().decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 11
    assert [lines[i] for i in (0, 2, 7, 10)] == answers
    assert [lines[i] for i in (1, 3, 6)] == ["", "", ""]
    assert all(lines[i] for i in (4, 5, 8, 9))
    assert len(lines[8]) <= 10 * 5000
    (whole,) = translated(toy_run, [f"{'7 ' * 5000}"], "decoding.split_long=false")
    assert len(whole) <= 2 * MAX_PIECES


def test_results_depend_on_neither_batch_size_nor_order_nor_neighbours(toy_run: Path) -> None:
    lines = digits(30)
    expected = dict(zip(lines, translated(toy_run, lines), strict=True))
    shuffled = random.Random(2).sample(lines, len(lines))
    for options in (["--batch-size", "1"], ["--batch-size", "7"]):
        found = translated(toy_run, shuffled, *options)
        assert found == [expected[line] for line in shuffled]
    assert translated(toy_run, lines[:1]) == [expected[lines[0]]]


def test_n_best_scores_and_json_say_the_same(toy_run: Path) -> None:
    lines = ["1 2 3", "", "4 5"]
    best = translated(toy_run, lines)
    rows = [row.split("\t") for row in translated(toy_run, lines, "--n-best", "3", "--scores")]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] + ["3"] * 3
    answers = [json.loads(row) for row in translated(toy_run, lines, "--json", "--n-best", "3")]
    assert [(answer["line"], answer["src"]) for answer in answers] == list(enumerate(lines, 1))
    found = [hypothesis for answer in answers for hypothesis in answer["translations"]]
    assert [(f"{h['score']:.4f}", h["text"]) for h in found] == [tuple(row[1:]) for row in rows]
    for answer, text in zip(answers, best, strict=True):
        hypotheses = answer["translations"]
        assert hypotheses[0]["text"] == text
        scores = [h["score"] for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(h["tokens"]) for h in hypotheses}) == len(hypotheses)
        assert all(h["log_prob"] <= 0 for h in hypotheses)
    assert translated(toy_run, ["4 5"], "--scores") == [f"{rows[4][1]}\t{rows[4][2]}"]


@pytest.fixture(scope="module")
def other_run(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another architecture with the tokenizer of the toy run."""
    return train_other(toy_run, tmp_path_factory.mktemp("other"), "model.decoder.rnn_type=gru")


def train_other(toy_run: Path, folder: Path, *overrides: str) -> Path:
    from seq2seq.recipe import load_recipe
    from seq2seq.train import train

    settings = [f"output_dir={folder}", "training.max_epochs=1", *overrides]
    return train(load_recipe(toy_run / "recipe.yaml", settings)).run_dir


def test_an_ensemble_of_a_run_with_itself_is_that_run(toy_run: Path) -> None:
    lines = [*digits(20), ""]
    expected = [json.loads(row) for row in translated(toy_run, lines, "--json")]
    copies = ["--ensemble", str(toy_run), str(toy_run)]
    found = [json.loads(row) for row in translated(toy_run, lines, "--json", *copies)]
    for one, other in zip(found, expected, strict=True):
        (mine,), (theirs,) = one.pop("translations"), other.pop("translations")
        assert (one, mine["tokens"]) == (other, theirs["tokens"])
        assert mine["log_prob"] == pytest.approx(theirs["log_prob"], abs=1e-4)


def test_the_order_of_an_ensemble_changes_nothing(toy_run: Path, other_run: Path) -> None:
    lines = digits(20)
    together = translated(toy_run, lines, "--ensemble", str(other_run))
    assert together == translated(other_run, lines, "--ensemble", str(toy_run))
    assert together != translated(toy_run, lines) != translated(other_run, lines)


def test_an_ensemble_of_two_vocabularies_is_refused(
    toy_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = train_other(toy_run, tmp_path / "other", "tokenizer.type=char")
    capsys.readouterr()
    Path("in").touch()
    assert main(["translate", str(toy_run), "-i", "in", "--ensemble", str(other)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"{other}: has another target vocabulary than {toy_run}; ")
    assert errors.count("\n") == 1
    assert main(["translate", str(toy_run), "-i", "in", "--ensemble", "nope"]) == 2
    assert capsys.readouterr().err.startswith("nope: no run directory")


def test_compressed_input_and_output(toy_run: Path) -> None:
    lines = digits(5)
    expected = translated(toy_run, lines)
    with gzip.open("in.gz", "wt") as file:
        file.write("\n".join(lines))
    assert main(["translate", str(toy_run), "-i", "in.gz", "-o", "out.gz"]) == 0
    with gzip.open("out.gz", "rt") as file:
        assert file.read().split("\n")[:-1] == expected


def test_invalid_utf8_names_the_line(toy_run: Path, capsys: Capture) -> None:
    Path("in").write_bytes(b"1 2\n3 4\n5 \xff\n6\n")
    assert main(["translate", str(toy_run), "-i", "in"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("in:3: not UTF-8 at byte 3 of the line (0xff); ")
    assert errors.count("\n") == 1


def test_an_empty_file_gives_an_empty_file(toy_run: Path) -> None:
    Path("in").touch()
    assert main(["translate", str(toy_run), "-i", "in", "-o", "out"]) == 0
    assert Path("out").read_bytes() == b""


def test_piped_lines_are_answered_as_they_come(toy_run: Path) -> None:
    expected = translated(toy_run, ["1 2", "3 4 5"])
    process = subprocess.Popen(
        [*COMMAND, str(toy_run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for line, answer in zip(["1 2", "3 4 5"], expected, strict=True):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == answer + "\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 128 + signal.SIGINT
    _, errors = process.communicate()
    assert errors == ""


def test_a_mistake_in_a_pipe_comes_after_the_lines_before_it(toy_run: Path) -> None:
    done = subprocess.run([*COMMAND, str(toy_run)], input=b"1 2\n\xff\n", capture_output=True)
    assert done.returncode == 2
    assert done.stdout.count(b"\n") == 1
    assert done.stderr.startswith(b"standard input:2: not UTF-8")
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_leaves_is_no_error(toy_run: Path) -> None:
    Path("in").write_text("1 2\n" * 5000)
    command = f'"{sys.executable}" -m seq2seq translate "{toy_run}" < in | head -n 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
