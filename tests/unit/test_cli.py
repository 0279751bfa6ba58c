import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from seq2seq import console
from seq2seq.cli import COMMANDS, main
from seq2seq.parallel import World
from seq2seq.translation.result import TranslatedHypothesis, Translation

Capture = pytest.CaptureFixture[str]


def fake_module(patch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """Stands in for a module of the package, which needs torch and a trained model."""
    module = ModuleType(f"seq2seq.{name}")
    vars(module).update(contents)
    patch.setitem(sys.modules, f"seq2seq.{name}", module)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "r.yaml"
    file.write_text("data: {src: en, tgt: de, train: hub:x, dev: hub:x}", encoding="utf-8")
    return file


@pytest.fixture
def run_dir(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose translator answers with upper and title case."""
    folder = recipe.parent / "run"
    folder.mkdir()
    recipe.rename(folder / "recipe.yaml")

    class Translator:
        @classmethod
        def load(cls, run: Path, **settings: Any) -> "Translator":
            cls.settings = settings
            return cls()

        has_attention = True

        def translate(self, lines: Iterable[str], **settings: Any) -> Iterator[Translation]:
            for number, line in enumerate(lines):
                texts = [line.upper(), line.title()][: self.settings["decoding"].n_best]
                hypotheses = [TranslatedHypothesis(t, -0.5, -1.0, t.split()) for t in texts]
                yield Translation(number, line, hypotheses)

    fake_module(monkeypatch, "translate", Translator=Translator, WINDOW=100)
    return folder


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input."""

    def put(content: bytes) -> None:
        Path("typed").write_bytes(content)
        stdin = SimpleNamespace(fileno=lambda: os.open("typed", os.O_RDONLY), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", stdin)

    return put


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_has_an_example(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--help"]) == 0
    assert f"example: seq2seq {' '.join(command)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["bogus"], "seq2seq: argument COMMAND: invalid choice: 'bogus'"),
        (["score", "a"], "seq2seq score: the following arguments are required: REF; see "),
        (["translate", "r", "--beams", "2"], "seq2seq: unrecognized arguments: --beams 2; see "),
        (["recipe"], "seq2seq recipe: give a RECIPE, --explain or --schema"),
        (["translate", "nope"], "nope: not a run directory (no such directory); "),
        (["recipe", "--explain", "training.lerning_rate"], "command line: training.lerning_rate: "
         "unknown key; did you mean 'learning_rate'?"),
    ],
)  # fmt: skip
def test_mistakes_take_one_line(argv: list[str], message: str, capsys: Capture) -> None:
    assert main(argv) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(message)
    assert errors.count("\n") == 1


@pytest.mark.parametrize("place", range(4))
def test_keys_of_a_recipe_may_stand_anywhere(place: int, recipe: Path, capsys: Capture) -> None:
    words = ["--plan", str(recipe), "--json"]
    assert main(["train", *words[:place], "training.max_updates=0", *words[place:]]) == 2
    expected = "command line: training.max_updates: must be at least 1, not 0\n"
    assert capsys.readouterr().err == expected


def test_recipe_prints_what_loads_back(recipe: Path, capsys: Capture) -> None:
    assert main(["recipe", str(recipe), "seed=5"]) == 0
    text = capsys.readouterr().out
    recipe.write_text(text, encoding="utf-8")
    assert main(["recipe", str(recipe)]) == 0
    assert capsys.readouterr().out == text
    assert "seed: 5\n" in text


def test_recipe_shows_what_the_corpus_decides(recipe: Path, capsys: Capture) -> None:
    for suffix in ("en", "de"):
        (recipe.parent / f"t.{suffix}").write_text("a b c\nb c\n" * 9, encoding="utf-8")
    assert main(["recipe", str(recipe), "model.dropout=0.1"]) == 0
    text = capsys.readouterr().out
    assert "\n  # max_epochs: to be chosen from the corpus\n" in text
    assert "\n  dropout: 0.1\n" in text
    assert main(["recipe", str(recipe), "data.train=t", "data.dev=t", "model.dropout=0.1"]) == 0
    text = capsys.readouterr().out
    assert "\n  max_epochs: 300  # chosen: " in text
    assert "\n  dropout: 0.1\n" in text
    assert not (recipe.parent / "runs").exists()


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("training.betas", ["a list of 2 numbers", "default  [0.9, 0.999]"]),
        ("training.learning_rate", ["a number, greater than 0", "default  chosen from the corpus"]),
        ("decoding", ["beam_size", "length_penalty"]),
        ("data.train", ["columns", "must be given"]),
        ("base", ["inherit"]),
        ("", ["data:", "seed"]),
    ],
)
def test_explain(key: str, parts: list[str], capsys: Capture) -> None:
    assert main(["recipe", "--explain", key]) == 0
    text = capsys.readouterr().out
    assert [part for part in parts if part not in text] == []


def test_schema_is_json_and_has_the_defaults_that_are_fixed(capsys: Capture) -> None:
    assert main(["recipe", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "base" in schema["properties"]
    keys = schema["$defs"]["Training"]["properties"]
    assert keys["label_smoothing"]["default"] == 0.1
    assert "default" not in keys["learning_rate"]
    assert "default" not in schema["properties"]["training"]


def test_translate_line_by_line(
    run_dir: Path, typed: Callable[[bytes], None], capsys: Capture
) -> None:
    typed("a\u2028b\r\n\nc d".encode())
    assert main(["translate", "run"]) == 0
    assert capsys.readouterr() == ("A\u2028B\n\nC D\n", "")


def test_translate_n_best_with_scores(
    run_dir: Path, typed: Callable[[bytes], None], capsys: Capture
) -> None:
    typed(b"ab\ncd\n")
    assert main(["translate", "run", "--n-best", "2", "--scores"]) == 0
    expected = "1\t-0.5000\tAB\n1\t-0.5000\tAb\n2\t-0.5000\tCD\n2\t-0.5000\tCd\n"
    assert capsys.readouterr().out == expected


def test_translate_json(run_dir: Path, typed: Callable[[bytes], None], capsys: Capture) -> None:
    typed("ä b\n".encode())
    assert main(["translate", "run", "--json"]) == 0
    translation = {"text": "Ä B", "score": -0.5, "log_prob": -1.0, "tokens": ["Ä", "B"]}
    answer = {"line": 1, "src": "ä b", "translations": [translation]}
    assert json.loads(capsys.readouterr().out) == answer


def test_translate_compressed_files(run_dir: Path, capsys: Capture) -> None:
    with gzip.open("in.gz", "wt") as file:
        file.write("a\n\nb\n")
    assert main(["translate", "run", "--input", "in.gz", "--output", "out.gz"]) == 0
    with gzip.open("out.gz", "rt") as file:
        assert file.read() == "A\n\nB\n"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam-size", "0"], "command line: decoding.beam_size: must be at least 1, not 0"),
        (["--n-best", "9"], "command line: decoding.n_best: must be at most beam_size (5), not 9"),
        (["--device", "tpu"], "command line: device: must be one of auto, cpu, cuda, mps, "
         "not 'tpu'"),
        (["--resume"], "seq2seq translate: --resume goes on in a file; name it with --output"),
        (["--resume", "-o", "o.gz"], "o.gz: cannot go on in a compressed file; leave out --resume "
         "or .gz"),
        (["--field", "2"], "seq2seq translate: --field goes with --format tsv or jsonl, not text; "
         "leave it out"),
        (["--json", "--format", "jsonl"], "seq2seq translate: --json goes with --format text, not "
         "jsonl; leave it out"),
        (["--format", "tsv", "--field", "en"], "--field: 'en' is no column; give its number, the "
         "first one is 1"),
        (["--format", "tsv", "--field", "2"], "standard input:1: column 2 is missing, the line has "
         "1; separate columns by one tab, or name another --field"),
        (["--format", "jsonl"], "standard input:1: not JSON (Expecting value); write one object a "
         "line"),
        (["--output", "no/such"], "no/such: cannot be written (no such file or directory); "
         "name another file"),
        (["-i", "run/recipe.yaml", "-o", "run/recipe.yaml"], "run/recipe.yaml: is input and "
         "output; write to another file"),
    ],
)  # fmt: skip
def test_translate_mistakes(
    options: list[str], message: str, run_dir: Path, typed: Callable[[bytes], None], capsys: Capture
) -> None:
    typed(b"a\n")
    assert main(["translate", "run", *options]) == 2
    assert capsys.readouterr() == ("", message + "\n")


def test_score_as_sacrebleu_and_as_json(tmp_path: Path, capsys: Capture) -> None:
    from sacrebleu import corpus_bleu

    hyp, ref = ["a b c d e", "f g h i"], ["a b c d x", "f g h i"]
    (tmp_path / "hyp").write_text("\n".join(hyp))
    (tmp_path / "ref").write_text("\n".join(ref) + "\n")
    files = [str(tmp_path / "hyp"), str(tmp_path / "ref")]
    assert main(["score", *files, "--metrics", "bleu,accuracy", "--bootstrap", "0", "--json"]) == 0
    bleu, accuracy = json.loads(capsys.readouterr().out)
    assert bleu["value"] == corpus_bleu(hyp, [ref]).score
    assert (accuracy["value"], accuracy["interval"]) == (50.0, None)
    assert main(["score", *files, "--bootstrap", "0"]) == 0
    assert f"{bleu['value']:.2f}" in capsys.readouterr().out


def test_score_names_unequal_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hyp").write_text("a\nb\n")
    Path("ref").write_text("a\n")
    assert main(["score", "hyp", "ref"]) == 2
    message = "ref: 1 lines, but hyp has 2; they must answer line by line\n"
    assert capsys.readouterr() == ("", message)
    assert main(["score", "hyp", "hyp", "--metrics", "blue"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("must be one of bleu, chrf, chrf++, ter, accuracy, wer, cer, not 'blue'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_says_how_to_go_on(
    number: signal.Signals, recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = signal.getsignal(number)

    def train(recipe: Any, *, stop: Callable[[], bool], world: World) -> Any:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        return SimpleNamespace(status="interrupted")

    fake_module(monkeypatch, "train", train=train)
    assert main(["run", "r.yaml", "name=a b"]) == 128 + number
    errors = capsys.readouterr().err
    assert errors.endswith("saved in runs/a b; to go on: seq2seq run r.yaml 'name=a b'\n")
    assert signal.getsignal(number) is before


def test_an_interrupt_at_the_end_of_training_is_no_less_of_one(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def train(recipe: Any, *, stop: Callable[[], bool], world: World) -> Any:
        stop()
        os.kill(os.getpid(), signal.SIGINT)
        return SimpleNamespace(status="finished")

    fake_module(monkeypatch, "train", train=train)
    assert main(["run", "r.yaml"]) == 130
    errors = capsys.readouterr().err
    assert errors.endswith("training is over and saved in runs/r; to go on: seq2seq run r.yaml\n")


def test_a_second_interrupt_aborts(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(recipe: Any, *, stop: Callable[[], bool], world: World) -> Any:
        stop()
        os.kill(os.getpid(), signal.SIGINT)
        while not stop():  # Two signals that come at once are one.
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
        raise AssertionError("the second signal did nothing")

    fake_module(monkeypatch, "train", train=train)
    assert main(["train", "r.yaml"]) == 130


def test_logs_go_to_stderr_and_only_once(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def train(recipe: Any, *, stop: Callable[[], bool], world: World) -> Any:
        logging.getLogger("seq2seq.train").info("step %d", 1, extra={"progress": True})
        return SimpleNamespace(status="finished")

    fake_module(monkeypatch, "train", train=train)
    for _ in range(2):
        assert main(["train", "r.yaml"]) == 0
        assert capsys.readouterr() == ("", "step 1\n")


def test_of_passing_lines_a_log_gets_one_in_a_while(capsys: Capture) -> None:
    log = console.Log()
    for seconds in range(50):
        record = logging.makeLogRecord(
            {"msg": f"{seconds} s", "progress": True, "passing": True, "created": 1e9 + seconds}
        )
        log.emit(record)
    assert capsys.readouterr().err == "0 s\n20 s\n40 s\n"


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m seq2seq recipe --schema | head -c 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("{", "")


def test_help_imports_nothing_heavy_and_score_no_torch(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"a b c {name}\n")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    for argv, heavy in (
        (["--help"], {"torch", "datasets", "pydantic", "yaml"}),
        (["score", a, a, "--systems", b, "--by", "length"], {"torch", "datasets"}),
        (["compare", a, b, b], {"torch", "datasets"}),
    ):
        code = f"import sys, seq2seq.cli as c; c.main({argv}); print({heavy} & set(sys.modules))"
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert result.stdout.endswith("set()\n")


def test_run_ends_with_translations_scores_and_what_to_try(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for side, text in {"en": "it's a\nb\n", "de": "ä\nb\n"}.items():
        Path(f"t.{side}").write_text(text, encoding="utf-8")

    def evaluate(run_dir: Path, *, world: World) -> dict[str, list[Any]]:
        (run_dir / "evaluation").mkdir(parents=True)
        (run_dir / "evaluation" / "t.hyp").write_text("Ä\nB\n", encoding="utf-8")
        score = SimpleNamespace(name="BLEU", value=12.345, interval=(11.0, 13.5), signature="sig")
        return {"t": [score]}

    def train(recipe: Any, *, stop: Callable[[], bool], world: World) -> Any:
        return SimpleNamespace(status="finished")

    fake_module(monkeypatch, "train", train=train)
    fake_module(monkeypatch, "evaluate", evaluate=evaluate)
    assert main(["run", "r.yaml", "data.test={t: t}"]) == 0
    output = capsys.readouterr().out
    assert "  source     it's a\n  reference  ä\n  output     Ä\n" in output
    assert "BLEU      12.35 [11.00, 13.50]" in output or "BLEU      12.34 [11.00, 13.50]" in output
    shown = """echo 'it'"'"'s a' | seq2seq translate runs/r\n"""
    assert shown in output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written_is_told(recipe: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "seq2seq", "recipe", "--schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("output: cannot be used (no space left on device); make room")
    assert done.stderr.count("\n") == 1
