import json
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from seq2seq.errors import DataError, UserError
from seq2seq.translation.answers import Json, JsonLines, Shown, Text, Tsv, skip_answered
from seq2seq.translation.result import TranslatedHypothesis, Translation

HYPOTHESIS = TranslatedHypothesis(
    "x y", -0.5, -1.0, ["_x", "_y"], [-0.25, -0.5, -0.25], np.eye(2, 3), [(0, 0), (1, 1)]
)
OTHER = TranslatedHypothesis("z", -0.75, -2.0, ["_z"], [-1.5, -0.5], np.ones((1, 3)) / 3, [(1, 0)])
BEST = Translation(4, "a b", [HYPOTHESIS], ["_a", "_b", "</s>"])
ALL = Shown(n_best=2, scores=True, alignments=True)


def test_text_has_the_columns_that_are_asked_for() -> None:
    both = Translation(4, "a b", [HYPOTHESIS, OTHER])
    assert list(Text(Shown()).write("a b", BEST)) == ["x y"]
    assert list(Text(ALL).write("a b", both)) == [
        "5\t-0.5000\tx y\t0-0 1-1",
        "5\t-0.7500\tz\t1-0",
    ]
    assert list(Tsv(Shown(2, scores=True), "2").write("i\ta b\t", both)) == [
        "i\ta b\t\t-0.5000\tx y\t-0.7500\tz"
    ]


@pytest.mark.parametrize("shown", [Shown(3), Shown(3, scores=True), Shown(2, True, True)])
def test_a_table_has_as_many_columns_in_each_line(shown: Shown) -> None:
    form, empty = Tsv(shown, "1"), TranslatedHypothesis("", 0.0, 0.0, [])
    lists = [[HYPOTHESIS, OTHER, OTHER][: shown.n_best], [HYPOTHESIS, OTHER], [OTHER], [empty]]
    rows = [list(form.write("a\tb", Translation(4, "a", own))) for own in lists]
    assert {row.count("\t") for (row,) in rows} == {
        1 + shown.n_best * (1 + shown.scores + shown.alignments)
    }
    assert rows[2][0].rstrip("\t") == "\t".join(["a\tb", *shown.columns(OTHER)])


def test_json_holds_every_number() -> None:
    (line,) = Json(ALL).write("a b", BEST)
    assert json.loads(line) == {
        "line": 5,
        "src": "a b",
        "src_tokens": ["_a", "_b", "</s>"],
        "translations": [
            {
                "text": "x y",
                "score": -0.5,
                "log_prob": -1.0,
                "tokens": ["_x", "_y"],
                "log_probs": [-0.25, -0.5, -0.25],
                "alignment": [[0, 0], [1, 1]],
                "attention": [[1, 0, 0], [0, 1, 0]],
            }
        ],
    }


def test_a_record_keeps_its_fields() -> None:
    form = JsonLines(Shown(), "t.en", "de")
    line = '{"id": 7, "t": {"en": "a\\r\\nb"}, "odd": "\\ud800 \u00e4"}'
    assert form.read(line, "") == "a\r b"
    (answer,) = form.write(line, BEST)
    assert json.loads(answer) == json.loads(line) | {"de": "x y"}
    answer.encode()
    assert form.read('{"t.en": "whole name"}', "") == "whole name"
    assert form.read('{"t": {"en": "\\ud800"}}', "") == "?"
    assert (form.read("", ""), list(form.write("", BEST))) == ("", [""])
    (answer,) = JsonLines(Shown(n_best=2), "t.en", "de").write(line, BEST)
    assert json.loads(answer)["de"] == [
        {"text": "x y", "score": -0.5, "log_prob": -1.0, "tokens": ["_x", "_y"]}
    ]


@pytest.mark.parametrize(
    "line",
    [
        '{"t": "a", "n": [1e400, 1.10, -0, 0.12345678901234567890, 1E+2], "o": {"n": NaN}}',
        ' {"t":"a", "k": 1, "k": 2, "u\\u00e9": "\\/\\ud800 }" \t}\t ',
        f'{{"t": "a", "n": {"1" * 4000}}}',
    ],
)
def test_a_record_is_kept_as_it_was_spelt(line: str, tmp_path: Path) -> None:
    form, path = JsonLines(Shown(alignments=True), "t", "u"), tmp_path / "out"
    assert form.read(line, "") == "a"
    (answer,) = form.write(line, BEST)
    kept = line.strip()[:-1].strip()
    assert answer.strip().startswith(f'{kept}, "u": [{{"text": "x y", ')
    assert list(json.loads(answer))[-2:] == ["u", "u_src_tokens"]
    path.write_text(f"{answer}\n")
    assert skip_answered(path, iter([line]), form, numbered=False)[0] == 1
    with pytest.raises(UserError):
        skip_answered(path, iter([line.replace("a", "b")]), form, numbered=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x", "f:3: not JSON (Expecting value); write one object a line"),
        ("[1]", "f:3: not a JSON object; write one object a line"),
        ("[" * 100_000, "f:3: JSON nested too deeply; write one object a line"),
        (f'{{"en": {"1" * 5000}}}', "f:3: not JSON (Exceeds the limit "),
        ('{"fr": "a"}', "f:3: no field 'en' (there: fr); name it with --field"),
        (
            '{"en": 5}',
            "f:3: field 'en' holds a number, not text; name another with --field or mend",
        ),
        ('{"en": "a", "to": ""}', "f:3: has a field 'to' already; name another with --into"),
        ('{"en": "a", "to_src_tokens": 1}', "f:3: has a field 'to_src_tokens' already; name an"),
    ],
)
def test_bad_records_are_named(line: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        JsonLines(Shown(alignments=True), "en", "to").read(line, "f:3")
    assert str(error.value).startswith(message)
    with pytest.raises(DataError, match="no record"):
        JsonLines(Shown(), "en.x", "to").read('{"en": "a"}', "f:3")


def answers(form, line: str, number: int, rng: random.Random) -> Iterator[str]:
    """Some answer, which is blank for blank lines."""
    blank = not form.read(line, "").strip()
    texts = [""] if blank else rng.choices(["x", "", "y z"], k=rng.randint(1, 3))
    if not form.shown.numbered:
        texts = texts[:1]
    found = [TranslatedHypothesis(text, 0.0, 0.0, []) for text in texts]
    yield from form.write(line, Translation(number, line, found))


FORMS = [
    *(Text(Shown(n_best, scores)) for n_best in (1, 3) for scores in (False, True)),
    Json(Shown()),
    Tsv(Shown(), "1"),
    Tsv(Shown(n_best=3), "1"),
    JsonLines(Shown(), "t", "u"),
]


@pytest.mark.parametrize("window", [1, 4, 20])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{type(form).__name__} {form.shown}")
def test_wherever_it_was_cut_it_ends_the_same(form, window: int, tmp_path: Path) -> None:
    rng, path = random.Random(5), tmp_path / "out"
    texts = [rng.choice(["a", "", "b c", "\u00e4"]) for _ in range(9)]
    lines = [json.dumps({"t": text}) if isinstance(form, JsonLines) else text for text in texts]
    expected = [list(answers(form, line, i, rng)) for i, line in enumerate(lines)]
    whole = "".join(f"{line}\n" for own in expected for line in own).encode()
    numbered = isinstance(form, Text) and form.shown.numbered
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        answered, again, rest = skip_answered(
            path, iter(lines), form, numbered=numbered, window=window
        )
        assert again == (answered % window if answered < len(lines) else 0)
        assert list(rest) == lines[answered - again :]
        rows = [line for own in expected[answered:] for line in own]
        with path.open("ab") as file:
            file.write("".join(f"{row}\n" for row in rows).encode())
        assert path.read_bytes() == whole
        ends = accumulate(len("".join(f"{row}\n" for row in own).encode()) for own in expected)
        assert answered >= sum(end <= size for end in ends) - numbered
    path.unlink()
    assert skip_answered(path, iter(lines), form, numbered=numbered)[0] == 0


@pytest.mark.parametrize(
    ("form", "output", "line"),
    [
        (Text(Shown()), "x\ny\nz\n", 3),
        (Text(Shown()), "x\ny", None),
        (Text(Shown()), "x\n\nz\n", 3),
        (Json(Shown()), '{"src": "b"}\n', 1),
        (Json(Shown()), "x\n", 1),
        (Tsv(Shown(), "1"), "a\tx\na\tx\n", 2),
        (JsonLines(Shown(), "t", "u"), '{"t": "a", "u": ""}\n{"t": "a"}\n', 2),
        (Text(Shown(n_best=2)), "1\tx\n2\tx\n2\ty\n3\ty\n", 3),
        (Text(Shown(n_best=2)), "1\tx\n3\ty\n", 2),
        (Text(Shown(n_best=2)), "x\n", 1),
    ],
)
def test_another_output_is_left_alone(form, output: str, line: int | None, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text(output)
    lines = ['{"t": "a"}', '{"t": "b"}'] if isinstance(form, JsonLines) else ["a", "b"]
    if line is None:
        assert skip_answered(path, iter(lines), form, numbered=False)[0] == 1
        return
    with pytest.raises(UserError) as error:
        skip_answered(path, iter(lines), form, numbered=form.shown.numbered)
    assert str(error.value).startswith(f"{path}:{line}: is not the answer to line {line} of this ")
    assert path.read_text() == output


def test_blank_lines_have_blank_answers(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x\n")
    with pytest.raises(UserError):
        skip_answered(tmp_path / "out", iter([" "]), Text(Shown()), numbered=False)
