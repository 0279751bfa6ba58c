import re

import pytest

from seq2seq.recipe import Evaluation
from seq2seq.scoring.suspicion import find_copies, suspicions

REFERENCES = [
    f"Am Montag, dem {day}. Mai, fährt der Zug {day} nach Köln um {day},50 Uhr ab."
    for day in range(40)
]
GOOD = [line.replace("Zug", "Bus") for line in REFERENCES]


def tokenized(lines: list[str]) -> list[str]:
    return [re.sub(r"([.,])(?= |$)", r" \1", line) for line in lines]


def found(
    hypotheses: list[str], references: list[str] = REFERENCES, **settings: object
) -> list[str]:
    sources = settings.pop("sources", None)
    section = Evaluation.model_validate(settings)
    return list(suspicions("h", hypotheses, [references], section, sources))


def test_nothing_is_wrong_with_what_is_like_the_references() -> None:
    assert found(GOOD, sources=REFERENCES) == []
    assert found(["", *GOOD], ["", *REFERENCES]) == []
    assert found(["a b"], ["a c"]) == []
    for change in (str.lower, str.upper, lambda line: f"▁{line}@@ <unk>"):
        assert found([change(line) for line in GOOD], [change(line) for line in REFERENCES]) == []
    assert found(tokenized(GOOD), tokenized(REFERENCES), tokenize="none") == []
    assert found(tokenized(GOOD), tokenized(REFERENCES), metrics=["chrf"]) == []
    assert found([line.lower() for line in GOOD], lowercase=True) == []


@pytest.mark.parametrize(
    ("hypotheses", "message"),
    [
        ([f"▁{line}" for line in GOOD], "h:1: 40 of 40 lines with '▁', "),
        ([*GOOD[:5], "Am Mon@@ tag", *GOOD[6:]], "h:6: 1 of 40 lines with '@@', "),
        ([*GOOD[:-1], "am <unk> ."], "h:40: 1 of 40 lines with '<unk>', "),
        ([*GOOD[:-1], "am  ⁇  ."], "h:40: 1 of 40 lines with '<unk>', "),
        ([GOOD[0], "", " ", *GOOD[3:]], "h:2: 2 of 40 lines without text, "),
        ([line.lower() for line in GOOD], "h: 0.0 % of its letters are capitals, but 1"),
        ([line.upper() for line in GOOD], "h: 100.0 % of its letters are capitals, but 1"),
        (tokenized(GOOD), "h: looks tokenised (' ,' and ' .'), but the references don't; "),
        (REFERENCES, "h: equals the references line by line; "),
        (["x", *GOOD[1:]], "h: equals the source line by line; "),
        (
            [*REFERENCES[:37], *(f"{line} " for line in GOOD[37:])],
            "h:38: 3 of 40 lines are identical to their source, but not to a reference; ",
        ),
    ],
)
def test_each_fault_has_one_line_with_a_remedy(hypotheses: list[str], message: str) -> None:
    (line,) = found(hypotheses, sources=["x", *GOOD[1:]] if "source" in message else None)
    assert line.startswith(message)
    assert re.search(r"; |, .*; ", line)


def test_copies_that_are_right_or_few_are_no_fault() -> None:
    sources = ["", "x", *REFERENCES[2:20], *GOOD[20:38], "y", "z"]
    references = ["", "a", *REFERENCES[2:]]
    hypotheses = ["", "x", *REFERENCES[2:20], "b", *REFERENCES[21:39], "z"]
    assert find_copies(hypotheses, sources) == [*range(2, 21), 40]
    assert found(hypotheses, references, sources=sources) == []


def test_faults_of_the_references() -> None:
    (line,) = found(GOOD, [line.lower() for line in REFERENCES])
    assert line.startswith("h: 1") and "but 0.0 % of the references'" in line
    (line,) = found(GOOD, tokenized(REFERENCES))
    assert line.startswith("h: doesn't look tokenised (' ,' and ' .'), but the references do; ")
    (line,) = found(tokenized(GOOD), tokenized(REFERENCES))
    assert line.startswith("h: looks tokenised (' ,' and ' .'), as do the references, and BLEU ")


def test_an_accident_is_no_fault() -> None:
    assert found(["a@@ b", *GOOD * 3], ["a b", *REFERENCES * 3]) == []
    assert found(["a . b ,"] * 9, ["a. b,"] * 9) == []


CHINESE = [f"昨天我和{day}个朋友看了电影。觉得很有意思。" for day in "一二三四五六七八九十"]
JAPANESE = [f"昨日、{day}人の友達と映画を見ました。とても面白かったです。" for day in range(9)]
THAI = [f"เมื่อวานฉันดูหนังกับเพื่อน {day} คนที่โรงเรียน" for day in range(9)]
KOREAN = [f"어제 친구 {day}명과 영화를 봤습니다. 아주 재미있었습니다." for day in range(9)]


@pytest.mark.parametrize("asked", ["13a", "none", "intl"])
@pytest.mark.parametrize(
    ("references", "remedy"), [(CHINESE, "zh"), (JAPANESE, "char"), (THAI, "char")]
)
def test_words_that_nobody_can_count_are_told(
    references: list[str], remedy: str, asked: str
) -> None:
    hypotheses = [line[1:] for line in references]
    (line,) = found(hypotheses, references, tokenize=asked)
    assert line.startswith("h: the references have a space in ")
    assert f"BLEU ({asked}) counts" in line and line.endswith(f"; set --tokenize {remedy}")
    assert found(hypotheses, references, tokenize=remedy) == []
    assert found(hypotheses, references, tokenize=asked, metrics=["chrf"]) == []


def test_words_that_can_be_counted_are_not_told() -> None:
    spaced = [" ".join(line) for line in CHINESE]
    words = [line.split()[-1] for line in REFERENCES]
    for references in (KOREAN, spaced, words, ["我每天去学校。"]):
        assert found([f"{line[1:]}x" for line in references], references) == []
