"""What is asked of each line: how its translation begins, what it has and what it doesn't."""

import gzip
import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from toy import toy_recipe, write_toy

from seq2seq.cli import main
from seq2seq.recipe import Decoding, load_recipe
from seq2seq.translate import Translator
from seq2seq.translation.wishes import WishError

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture(scope="module")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes from the end."""
    from seq2seq.train import train

    turned = ["data.reverse_tgt=true", "training.max_epochs=1"]
    return train(toy_recipe(tmp_path_factory.mktemp("backwards"), *turned)).run_dir


def write(name: str, lines: Sequence[str]) -> str:
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "wt", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return name


def translated(run: Path, lines: Sequence[str], *options: str) -> list[str]:
    """The lines that the command writes for these lines."""
    write("in", lines)
    assert main(["translate", str(run), "-i", "in", "-o", "out", *options]) == 0
    return Path("out").read_text(encoding="utf-8").split("\n")[:-1]


def refused(capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert main(["translate", *words]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    return message


LINES = ["1 2 3", "4 5", "", "6 7 8 9", "1 0 1", "2 2 2"]
PREFIXES = ["9 9", "", "7", "3 ", "  ", "5 4 3 2 1"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--n-best", "3"],
        ["--batch-size", "1"],
        ["--beam-size", "1"],
        ["decoding.sampling=true", "--n-best", "4"],
        ["decoding.max_length=2"],
        ["decoding.max_repeats=1"],
        ["--shortlist", "5"],
        ["--split-sentences"],
        ["--ensemble", "RUN"],
    ],
    ids=" ".join,
)
def test_translations_begin_with_their_prefix(toy_run: Path, options: list[str]) -> None:
    write("p", PREFIXES)
    options = [option.replace("RUN", str(toy_run)) for option in options]
    plain = translated(toy_run, LINES, "--json", *options)
    found = translated(toy_run, LINES, "--json", "--prefix", "p", *options)
    for line, prefix, one, other in zip(LINES, PREFIXES, plain, found, strict=True):
        texts = [each["text"] for each in json.loads(other)["translations"]]
        if not line or not prefix.strip():
            assert texts == [each["text"] for each in json.loads(one)["translations"]]
            continue
        assert all(text.startswith(prefix.strip()) for text in texts)
        if prefix.endswith(" "):
            assert all(f"{text} ".startswith(prefix) for text in texts)
    assert found != plain


@pytest.fixture(scope="module")
def greedy(toy_run: Path) -> Translator:
    return Translator.load(toy_run, decoding=Decoding(beam_size=1, precision="float32"))


def digits(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices("0123456789", k=rng.randint(2, 6))) for _ in range(count)]


def test_a_beginning_of_the_translation_as_its_prefix_changes_nothing(greedy: Translator) -> None:
    lines, rng = digits(30, seed=5), random.Random(6)
    plain = [one.text for one in greedy.translate(lines)]
    prefixes = []
    for text in plain:
        words = text.split()
        prefixes.append("".join(f"{word} " for word in words[: rng.randint(0, len(words))]))
    found = [one.text for one in greedy.translate(lines, prefixes=prefixes)]
    # What the tokenizer makes of a beginning need not be what the model wrote.
    same = [one for one, other in zip(plain, found, strict=True) if one == other]
    assert len(same) > 20


@pytest.mark.parametrize("options", [[], ["--n-best", "2"], ["--scores"]], ids=str)
def test_files_of_wishes_go_on_where_the_output_does(toy_run: Path, options: list[str]) -> None:
    options += ["--prefix", write("p.gz", PREFIXES)]
    options += ["--banned", write("b", ["", "1 2\t4", "", "5", "", ""])]
    whole = translated(toy_run, LINES, *options)
    for size in (0, 1, len(whole) - 1, len(whole)):
        write("out", whole[:size])
        words = ["translate", str(toy_run), "-i", "in", "-o", "out", "--resume", *options]
        assert main(words) == 0
        assert Path("out").read_text().split("\n")[:-1] == whole


def test_required_and_banned_phrases(toy_run: Path, translator: Translator) -> None:
    lines = ["1 2 3", "4 5", "", "6 7 8 9"]
    required = [["8 8", "0"], [], ["1"], ["5 4 3"]]
    banned = [["3"], ["5", "4"], ["2"], []]
    write("c", ["\t".join(own) for own in required])
    write("b", ["\t".join(own) for own in banned])
    plain = translated(toy_run, lines)
    asked = translated(toy_run, lines, "--constraints", "c", "--banned", "b", "--n-best", "3")
    for row in asked:
        number, text = row.split("\t")
        if lines[int(number) - 1]:
            own = required[int(number) - 1], banned[int(number) - 1]
            assert all(f" {phrase} " in f" {text} " for phrase in own[0])
            assert not any(f" {phrase} " in f" {text} " for phrase in own[1])
    best = [row.split("\t")[1] for row in asked if int(row.split("\t")[0]) > 0]
    assert best[0] != plain[0] and {row.split("\t")[0] for row in asked} == set("1234")
    found = translator.translate(lines, constraints=required, banned=banned)
    firsts = {row.split("\t")[0]: row.split("\t")[1] for row in reversed(asked)}
    assert [one.text for one in found] == [firsts[str(i)] for i in range(1, 5)]


def test_phrases_are_whole_words_of_what_is_written_from_the_end(tmp_path: Path) -> None:
    from seq2seq.train import train

    turned = ["data.reverse_tgt=true", "training.max_epochs=1", "tokenizer.type=char"]
    for name in ("train", "dev", "test"):
        write_joined(tmp_path, name)
    run = train(load_recipe(tmp_path / "toy.yaml", turned)).run_dir
    lines = ["12 3", "4 567", "8 90 1"]
    write("c", ["3\t45", "7", "12\t9"])
    for number, text in (
        row.split("\t")
        for row in translated(run, lines, "--constraints", "c", "--n-best", "3", "--beam-size", "9")
    ):
        for phrase in (["3", "45"], ["7"], ["12", "9"])[int(number) - 1]:
            assert phrase in text.split(), (text, phrase)


def write_joined(folder: Path, name: str) -> None:
    """The toy task with words of several digits."""
    if name == "train":
        write_toy(folder)
    for side in ("in", "out"):
        path = folder / f"{name}.{side}"
        path.write_text(
            "".join(f"{line[:3]}{line[4:]}\n" for line in path.read_text().split("\n")[:-1])
        )


def test_banned_phrases_are_none_where_the_limit_cuts(toy_run: Path) -> None:
    lines = ["1 2 3", "4 5", "6 7 8 9"] * 4
    cut = "decoding.max_length=3"
    banned = [text.split()[-1] for text in translated(toy_run, lines, cut)]
    write("b", banned)
    for options in ([], ["--beam-size", "2"], ["decoding.sampling=true"]):
        found = translated(toy_run, lines, cut, "--banned", "b", *options)
        assert not any(word in text.split() for word, text in zip(banned, found, strict=True))


def test_a_line_without_wishes_keeps_its_shortlist_beside_others(toy_run: Path) -> None:
    write("p", ["", "7"])
    options = ["--shortlist", "1", "--scores"]
    (alone,) = translated(toy_run, ["1 2 3"], *options)
    assert translated(toy_run, ["1 2 3", "4 5 6"], "--prefix", "p", *options)[0] == alone


def test_a_dash_is_standard_input_and_output(
    toy_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (expected,) = translated(toy_run, ["1 2 3"])
    with Path("in").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert main(["translate", str(toy_run), "-i", "-", "-o", "-"]) == 0
    assert capsys.readouterr().out == f"{expected}\n"
    assert not Path("-").exists()


def test_a_long_line_has_its_prefix_once_and_its_phrases(translator: Translator) -> None:
    from seq2seq.data.tokenizer import Tokenizers

    short = Translator(
        translator.exact.models,
        [Tokenizers(translator.sources[0], translator.target)],
        translator.decoding,
        translator.device,
        longest=5,
    )
    lines = ["1 2 333. 5 6 7 8, 9 0 1"] * 3
    whole = list(translator.translate(lines[:1], constraints=[["8 8"]]))
    plain, first, phrases = short.translate(
        lines, prefixes=["", "4 4 4", ""], constraints=[[], [], ["8 8"]]
    )
    (alone,) = short.translate(["1 2 333."], prefixes=["4 4 4"])
    assert first.text.startswith(f"{alone.text} ")
    assert plain.text.endswith(first.text.removeprefix(alone.text))
    assert phrases.text == whole[0].text


def test_a_line_of_input_is_matched_as_it_comes(toy_run: Path) -> None:
    write("p", ["3", "4"])
    done = subprocess.run(
        [sys.executable, "-m", "seq2seq", "translate", str(toy_run), "--prefix", "p"],
        input="1 2\n5 6\n7\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert [line[0] for line in done.stdout.splitlines()] == ["3", "4"]
    message = "p: has no line 3, but standard input goes on; the two must match line by line\n"
    assert done.stderr == message


def test_wishes_from_standard_input(
    toy_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    write("in", ["1 2", "3"])
    with open(write("p", ["8", "9"])) as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["translate", str(toy_run), "-i", "in", "--prefix", "-"]) == 0
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["8", "9"]


def test_mistakes(toy_run: Path, backwards: Path, capsys: Capture) -> None:
    write("in", ["1 2", "3"])
    write("p", ["8"])
    write("unknown", ["", "\u00df x"])
    write("c", ["8 9\t1", ""])
    write("b", ["9", ""])
    write("g", ["1\t9 9"])
    words = [str(toy_run), "-i", "in"]
    once = "seq2seq translate: standard input can be read once only; name files for the others"
    for options, message in {
        ("--prefix", "p"): "p: has no line 2, but in goes on; the two must match line by line",
        ("--prefix", "unknown"): "unknown:2: '\u00df x' has words or characters that the model "
        "doesn't know; change it",
        ("--constraints", "unknown"): "unknown:2: '\u00df x' has words or characters that the "
        "model doesn't know; change it",
        ("--constraints", "c", "--banned", "b"): "c:1: a phrase is banned, or has one in it that "
        "is; drop one of them",
        ("--banned", "b", "decoding.glossary=g"): "b:1: a phrase is banned, or has one in it that "
        "is; drop one of them",
        ("--constraints", "c", "decoding.sampling=true"): "constraints: required phrases have no "
        "part in decoding.sampling; leave them out, or set it to false",
        ("--constraints", "c", "decoding.diversity_groups=5"): "constraints: required phrases have "
        "no part in decoding.diversity_groups; leave them out, or set it to 1",
        ("--prefix", "none"): "none: cannot be read (No such file or directory); is the path "
        "right?",
        ("--prefix", "-", "--banned", "-"): once,
        ("--banned", "b", "-o", "b"): "b: is --banned and output; write to another file",
    }.items():  # fmt: skip
        assert refused(capsys, *words, *options) == message
    assert refused(capsys, str(toy_run), "--prefix", "-") == once
    write("out", ["what was there"])
    found = refused(capsys, str(backwards), "-i", "in", "--prefix", "p", "-o", "out")
    assert Path("out").read_text() == "what was there\n"
    assert found.startswith("prefixes: the model writes from the end of the target (data.reverse_")
    assert translated(backwards, ["1 2", "3"], "--constraints", "c", "--n-best", "2")[0].count(
        "8 9"
    )


def test_without_a_file_the_argument_is_named(translator: Translator) -> None:
    at_odds: dict[str, list[list[str]]] = {"constraints": [[], ["1 2"]], "banned": [[], ["1"]]}
    for asked, place in (
        ({"prefixes": ["", "ZZ"]}, "prefixes:2: 'ZZ' has words or characters "),
        ({"constraints": [["1"], ["ZZ"]]}, "constraints:2: 'ZZ' has words or characters "),
        (at_odds, "constraints:2: a phrase is banned, "),
    ):
        with pytest.raises(WishError) as caught:
            list(translator.translate(["1", "2"], **asked))
        assert str(caught.value).startswith(place)


def test_one_text_is_no_list_of_wishes(translator: Translator) -> None:
    with pytest.raises(TypeError, match="one text"):
        translator.translate(["1"], prefixes="1")
    with pytest.raises(TypeError, match="one text"):
        list(translator.translate(["1"], constraints=["1"]))


def random_bytes(rng: random.Random) -> bytes:
    parts = [b"\n", b"\r", b"\t", b"\0", b"1 2", b" ", b"3", b"\xff", b"\xed\xa0\x80", b"\x1f\x8b"]
    parts += ["\u2028\u0301\ufeff".encode(), b"9" * 40, b"\x85\x0b\x0c", b"\xe2\x96\x81", b"7 "]
    calm = [b"\n"] * 3 + parts[2:3] + parts[4:7] * 2
    return b"".join(rng.choices(calm if rng.random() < 0.7 else parts, k=rng.randint(0, 9)))


@pytest.mark.parametrize("option", ["prefix", "constraints", "banned"])
def test_any_bytes_are_granted_or_refused_in_one_line(
    toy_run: Path, option: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    decoding = Decoding(max_length=5, beam_size=2, precision="float32")
    bounded = Translator.load(toy_run, decoding=decoding)
    monkeypatch.setattr(Translator, "load", lambda *args, **settings: bounded)
    rng, endings = random.Random(option), {0: 0, 2: 0}
    for _ in range(60):
        content = random_bytes(rng)
        Path("p").write_bytes(content)
        count = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
        write("in", ["1 2"] * count)
        status = main(["translate", str(toy_run), "-i", "in", "-o", "out", f"--{option}", "p"])
        endings[status] += 1
        lines, errors = Path("out").read_bytes(), capsys.readouterr().err
        if status == 0:
            assert (lines.count(b"\n"), errors) == (count, "")
        else:
            assert re.fullmatch(r"p:\d+: .+; .+\n", errors)
    assert min(endings.values()) > 3
