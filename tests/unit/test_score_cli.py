"""`score` and `compare` as commands: what they print, and that no input makes them fail."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.cli import main

Capture = pytest.CaptureFixture[str]

REFERENCE = ["Der Hund läuft über die Straße.", "Ein Mann schläft.", "Sie lacht laut.", "Ja."] * 4
BEFORE = ["Der Hund rennt über die Straße.", "Ein Mann schläft.", "Er lacht laut.", "Nein."] * 4
AFTER = ["Der Hund läuft auf der Straße.", "Eine Frau schläft.", "Sie lacht laut.", "Ja."] * 4
GOOD = ["Der Hund läuft über die Straße.", "Ein Mann schläft.", "Sie lacht laut.", "Nein."] * 4
SOURCE = ["The dog crosses the street.", "A man sleeps.", "She laughs loudly.", "Yes."] * 4
MIXED = [
    line if i % 3 else after for i, (line, after) in enumerate(zip(BEFORE, AFTER, strict=True))
]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = {"ref": REFERENCE, "a": BEFORE, "b": AFTER, "c": MIXED, "good": GOOD, "src": SOURCE}
    for name, lines in texts.items():
        Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def type_(content: bytes) -> None:
        stream = SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content)))
        monkeypatch.setattr(sys, "stdin", stream)

    return type_


def output(capsys: Capture, *words: str) -> str:
    assert main(list(words)) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def records(capsys: Capture, *words: str) -> list[dict]:
    return json.loads(output(capsys, *words, "--json"))


def test_systems_are_compared_with_the_first_or_the_baseline(capsys: Capture) -> None:
    options = ["--metrics", "accuracy,ter", "--bootstrap", "100"]
    found = records(capsys, "score", "a", "ref", "--systems", "b", "c", *options)
    assert [(one["system"], one["name"]) for one in found] == [
        (system, name) for name in ("accuracy", "TER") for system in "abc"
    ]
    assert [one.get("baseline") for one in found] == [None, "a", "a"] * 2
    alone = {name: records(capsys, "score", name, "ref", *options) for name in "abc"}
    assert [one["value"] for one in found[::3]] == [one["value"] for one in alone["a"]]
    assert found[1]["difference"] == alone["b"][0]["value"] - alone["a"][0]["value"] == 25
    assert found[1]["test"] == "paired bootstrap, 100 resamples"
    turned = records(capsys, "score", "b", "ref", "--systems", "c", "--baseline", "a", *options)
    assert turned == found


def test_verdicts_are_said_in_words(capsys: Capture) -> None:
    Path("copy").write_bytes(Path("a").read_bytes())
    words = "score a ref --systems good b copy --metrics accuracy --paired ar --trials 500".split()
    lines = output(capsys, *words).splitlines()
    better, unclear, equal, star = (line for line in lines if line.startswith(("accuracy:", "*")))
    assert better.startswith("accuracy: good is better than a (+50.00, p = 0.0")
    assert unclear.startswith("accuracy: b is not distinguishable from a (+25.00, p = 0.")
    assert equal == "accuracy: copy has the same score as a"
    assert star == "* p < 0.05 (approximate randomisation, 500 trials)"
    (row,) = (line for line in lines if line.startswith("good "))
    assert "75.00*" in row


@pytest.mark.parametrize("by", ["length", "rarity"])
def test_breakdowns(by: str, capsys: Capture) -> None:
    words = "score a ref --systems b --metrics bleu,wer --bootstrap 0 --by".split()
    found = [one for one in records(capsys, *words, by) if "by" in one]
    names = ["BLEU", "WER"] if by == "length" else ["F1"]
    assert [(one["name"], one["system"]) for one in found] == [(n, s) for n in names for s in "ab"]
    size = "lines" if by == "length" else "words"
    total = 16 if by == "length" else 4 * (7 + 4 + 4 + 2)
    assert {sum(bucket[size] for bucket in one["buckets"]) for one in found} == {total}
    text = output(capsys, *words, by)
    title = {"length": "BLEU by length of the reference", "rarity": "F1 of words by frequency in "}
    assert f"\n\n{title[by]}" in text


def test_rare_words_may_be_those_of_training(capsys: Capture) -> None:
    with gzip.open("train.gz", "wt", encoding="utf-8") as file:
        file.write("Ein Mann\n" * 3)
    words = "score a ref --metrics bleu --bootstrap 0 --by rarity --train train.gz".split()
    (found,) = (one for one in records(capsys, *words) if "by" in one)
    assert [(b["from"], b["to"], b["words"]) for b in found["buckets"]] == [(0, 0, 60), (2, 4, 8)]
    assert found["buckets"][1]["value"] == 100


@pytest.mark.parametrize(("name", "parts"), [
    ("markdown", ["| system | accuracy |", "| a | 25.00 |", "- accuracy nrefs:1\\|"]),
    ("latex", ["\\toprule\nsystem & accuracy \\\\", "a & 25.00 \\\\", "% accuracy nrefs:1|"]),
    ("text", ["accuracy  25.00", "nrefs:1|"]),
])  # fmt: skip
def test_formats(name: str, parts: list[str], capsys: Capture) -> None:
    words = "score a ref --metrics accuracy --bootstrap 0 --format".split()
    text = output(capsys, *words, name)
    assert [part for part in parts if part not in text] == []


def test_compare(capsys: Capture) -> None:
    text = output(capsys, *"compare a b ref --src src --n 1 --bootstrap 50".split())
    for part in (
        "chrF2: b is ",
        "\nwords per word of the references: 1.000 and 1.000\n",
        "\nlines by chrF2: 8 better, 8 worse, 0 alike\n",
        "\nline 4: ",
        "\n  source     Yes.\n  reference  Ja.\n  change     [-Nein.-]{+Ja.+}\n",
        "\nN-grams of the references gained\nn-gram",
    ):
        assert part in text
    found = json.loads(output(capsys, *"compare a b ref --n 2 --json".split()))
    assert (found["num_better"], found["num_worse"], found["num_alike"]) == (8, 8, 0)
    assert [one["line"] for one in found["gains"]] == [4, 8]
    assert found["gains"][0]["after"] == 100
    assert found["gains"][0]["diff"] == "[-Nein.-]{+Ja.+}"
    assert [one["line"] for one in found["losses"]] == [2, 6]
    assert found["losses"][0]["hypotheses"] == ["Ein Mann schläft.", "Eine Frau schläft."]
    words = ["Sie", "lacht", "laut", "."]
    assert found["ngrams_gained"][0] == {"words": words, "gained": 4, "lost": 0}


def test_compare_ranks_by_the_metrics_that_were_asked_for(capsys: Capture) -> None:
    found = json.loads(output(capsys, *"compare a b ref --n 20 --json --metrics wer".split()))
    assert found["metric"] == "WER"
    assert all(one["before"] > one["after"] for one in found["gains"])
    assert all(one["before"] < one["after"] for one in found["losses"])


def test_colours_at_a_terminal_only(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "compare a b ref --n 1 --bootstrap 0".split()
    assert "\x1b" not in output(capsys, *words)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "\x1b[31mNein.\x1b[0m\x1b[32mJa.\x1b[0m" in output(capsys, *words)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in output(capsys, *words)


def test_marks_that_steer_a_terminal_are_spelled_out(capsys: Capture) -> None:
    Path("x").write_text("\x1b[2J\u2028a\x00\n" * 16, encoding="utf-8")
    assert main("compare x b ref --n 1".split()) == 0
    text = capsys.readouterr().out
    assert "[-\\x1b[2J\\u2028a\\x00-]" in text


def test_warnings_go_to_stderr(capsys: Capture) -> None:
    Path("x").write_text("▁Ja .\n" * 16, encoding="utf-8")
    for words in (["score", "x", "ref"], ["compare", "x", "b", "ref"]):
        assert main([*words, "--json"]) == 0
        found = capsys.readouterr()
        json.loads(found.out)
        assert found.err.startswith("warning: x:1: 16 of 16 lines with '▁', pieces of ")
        assert len(found.err.splitlines()) == 1
    assert main("compare src b ref --src src --json".split()) == 0
    assert capsys.readouterr().err.startswith("warning: src: equals the source line by line; ")


def test_copies_of_the_source_are_counted(capsys: Capture) -> None:
    lines = [SOURCE[i] if i in (2, 5) else line for i, line in enumerate(AFTER)]
    Path("x").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Path("r").write_text("\n".join([*REFERENCE[:2], SOURCE[2], *REFERENCE[3:]]), encoding="utf-8")
    words = "score b r --systems x --src src --metrics accuracy --bootstrap 0".split()
    found = [one for one in records(capsys, *words) if one["name"] == "copies"]
    assert found == [
        {"system": name, "name": "copies", "value": 6.25 * count, "lines": count, "of": 16}
        | {"references": 6.25}
        for name, count in (("b", 0), ("x", 2))
    ]
    text = output(capsys, *words).split("\n\n")[-1]
    assert [line.split() for line in text.splitlines()] == [
        "of 16 lines identical to their source".split(),
        ["system", "lines", "per", "cent"],
        ["b", "0", "0.00"],
        ["x", "2", "12.50"],
        ["references", "1", "6.25"],
    ]
    assert main(["score", "src", "ref", "--src", "one"]) == 2
    capsys.readouterr()
    Path("y").write_text("\n".join([*SOURCE[:8], *AFTER[8:]]) + "\n", encoding="utf-8")
    assert main(["score", "y", "ref", "--src", "src", "--json"]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: y:1: 8 of 16 lines are identical to their source, but ")


@pytest.mark.parametrize(("words", "message"), [
    ("score a ref --paired bs", "--paired: compares systems; name others with --systems"),
    ("compare a b ref --trials 9",
     "--trials: are those of --paired ar; leave it out, or give that too"),
    ("score a ref --format latex --json",
     "seq2seq score: argument --json: not allowed with argument --format; see seq2seq score "
     "--help"),
    ("score a ref --train ref", "--train: says how frequent words are; give --by rarity too"),
    ("score a ref --systems b a", "a: given twice as a system; name each once"),
    ("score a ref --baseline a", "a: given twice as a system; name each once"),
    ("compare a a ref", "a: given twice as a system; name each once"),
    ("score - -", "-: standard input can be read once only; name files for the others"),
    ("compare a b ref --src -",
     "standard input: 0 lines, but a has 16; they must answer line by line"),
    ("score a ref --systems b --paired bs --bootstrap 0",
     "--paired bs: needs resamples; leave out --bootstrap or take --paired ar"),
    ("compare a b one", "one: 1 lines, but a has 16; they must answer line by line"),
    ("compare a b ref --src one", "one: 1 lines, but a has 16; they must answer line by line"),
    ("score a ref --src one", "one: 1 lines, but a has 16; they must answer line by line"),
    ("score a ref --systems one", "one: 1 lines, but a has 16; they must answer line by line"),
    ("score empty empty", "empty: no lines; there is nothing to score"),
    ("score a missing", "missing: cannot be read (No such file or directory); is the path right?"),
    ("score a ref --by rarity --train missing",
     "missing: cannot be read (No such file or directory); is the path right?"),
    ("compare a b ref --n 0",
     "seq2seq compare: argument --n: must be a whole number above 0, not '0'; "
     "see seq2seq compare --help"),
    ("score a ref --tokenize 14b",
     "command line: tokenize: must be one of 13a, none, intl, char, zh, ja-mecab, ko-mecab, "
     "not '14b'"),
])  # fmt: skip
def test_mistakes(
    words: str, message: str, typed: Callable[[bytes], None], capsys: Capture
) -> None:
    Path("one").write_text("x\n")
    Path("empty").write_text("")
    typed(b"")
    assert main(words.split()) == 2
    assert capsys.readouterr() == ("", message + "\n")


def test_files_may_be_compressed_typed_or_of_windows(
    typed: Callable[[bytes], None], capsys: Capture
) -> None:
    plain = records(capsys, "score", "a", "ref")
    Path("crlf").write_bytes(b"\xef\xbb\xbf" + Path("ref").read_bytes().replace(b"\n", b"\r\n"))
    Path("a.gz").write_bytes(gzip.compress(Path("a").read_bytes()))
    typed(Path("a").read_bytes())
    for hypotheses, references in (("a.gz", "ref"), ("-", "ref"), ("a", "crlf")):
        name = {"-": "standard input"}.get(hypotheses, hypotheses)
        found = records(capsys, "score", hypotheses, references)
        assert found == [one | {"system": name} for one in plain]


BYTES = st.one_of(
    st.binary(max_size=40),
    st.text("ab .,▁@<unk>\r\n\t\u2028\u0301我", max_size=30).map(str.encode),
    st.binary(max_size=20).map(gzip.compress),
    st.binary(max_size=20).map(lambda content: b"\x1f\x8b" + content),
    st.sampled_from([b"", b"\n", b"\xef\xbb\xbf", b"\n\n", b" \n\t\n", b"\x00\n", b"a\n\nb"]),
)
QUICK = "--bootstrap 3 --metrics bleu,chrf,chrf++,ter,accuracy,wer,cer".split()


@st.composite
def parallel(draw: st.DrawFn) -> list[bytes]:
    """Three files, of equal numbers of lines more often than by chance."""
    if draw(st.booleans()):
        return [draw(BYTES) for _ in range(3)]
    line = st.text(
        st.one_of(st.characters(exclude_characters="\n", codec="utf-8"), st.sampled_from(" a.,我")),
        max_size=12,
    )
    groups = draw(st.lists(st.tuples(line, line, line), min_size=1, max_size=4))
    return ["\n".join(lines).encode() for lines in zip(*groups, strict=True)]


@settings(
    max_examples=80,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    contents=parallel(),
    form=st.sampled_from(["text", "json", "markdown", "latex"]),
    stdin=st.booleans(),
)
def test_no_bytes_make_score_or_compare_fail(
    contents: list[bytes], form: str, stdin: bool, typed: Callable[[bytes], None], capsys: Capture
) -> None:
    for name, content in zip("xyz", contents, strict=True):
        Path(name).write_bytes(content)
    first = "-" if stdin else "x"
    score = ["score", first, "z", "--systems", "y", "--by", "length", "--by", "rarity"]
    for words in (
        [*score, "--format", form, *QUICK],
        [*score, "--src", "x" if stdin else "z", "--format", form, *QUICK],
        ["compare", first, "y", "z", "--src", "x" if stdin else "z", *QUICK],
        ["compare", first, "y", "z", "--json", "--paired", "ar", "--trials", "3", *QUICK],
    ):
        typed(contents[0])
        status = main(words)
        found = capsys.readouterr()
        assert status in (0, 2)
        errors = found.err.split("\n")[:-1]
        if status:
            assert len(errors) == 1 and found.out == ""
        else:
            assert found.out
            assert all(line.startswith("warning: ") for line in errors)
            if "json" in words or "--json" in words:
                json.loads(found.out)
