import random

import pytest

from seq2seq.data.sentences import Part, join, joints, split_long, split_sentences


def sizes(texts):
    """Pieces: characters other than spaces."""
    return [len(text.replace(" ", "")) for text in texts]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \t ", []),
        ("One sentence.", ["One sentence."]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("He said \u201cNo.\u201d Then he left.", ["He said \u201cNo.\u201d", "Then he left."]),
        ("Dr. Who met J. R. Smith. He ran.", ["Dr. Who met J. R. Smith.", "He ran."]),
        ("Am 3. Mai kam er. Er ging.", ["Am 3. Mai kam er.", "Er ging."]),
        ("It was 1990. She left.", ["It was 1990.", "She left."]),
        ("3.5 percent, e.g. of it. \u00abBon.\u00bb",
         ["3.5 percent, e.g. of it.", "\u00abBon.\u00bb"]),
        ("Wait... what? (Yes.) Ok", ["Wait... what?", "(Yes.)", "Ok"]),
        ("\u4f60\u597d\u3002\u518d\u89c1\uff01 \u597d",
         ["\u4f60\u597d\u3002", "\u518d\u89c1\uff01", "\u597d"]),
        ("\u0623\u064a\u0646\u061f \u0647\u0646\u0627.",
         ["\u0623\u064a\u0646\u061f", "\u0647\u0646\u0627."]),
    ],
)  # fmt: skip
def test_sentences(text: str, sentences: list[str]) -> None:
    parts = split_sentences(text)
    assert [part.text for part in parts] == sentences
    assert all(part.apart for part in parts)


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("ab cd ef", 6, [("ab cd ef", True)]),
        ("Ab cd. Ef gh.", 9, [("Ab cd.", True), ("Ef gh.", True)]),
        ("ab cd, ef gh ij kl", 10, [("ab cd,", True), ("ef gh ij kl", True)]),
        ("ab cd ef gh", 6, [("ab cd", True), ("ef gh", True)]),
        ("abcdefgh", 4, [("abcd", True), ("efgh", False)]),
        ("abcdefgh ij", 4, [("abcd", True), ("efgh", False), ("ij", True)]),
    ],
)
def test_long_text_is_cut_where_it_harms_least(text, limit, parts) -> None:
    assert split_long(text, sizes, limit) == [Part(*part) for part in parts]


def test_parts_fit_and_make_the_whole() -> None:
    rng, whole = random.Random(1), 0
    for _ in range(300):
        signs = "abcAB   .,;!-" if rng.random() < 0.8 else "abc"
        text = "".join(rng.choices(signs, k=rng.randint(1, 80))).strip()
        limit = rng.randint(1, 30)
        parts = split_long(text, sizes, limit)
        assert all(0 < size <= limit for size in sizes([part.text for part in parts]))
        joined = join([part.text for part in parts], [part.apart for part in parts])
        assert " ".join(joined.split()) == " ".join(text.split())
        whole += len(parts) == 1
    assert 5 < whole < 200


def test_what_a_character_needs_is_never_too_much() -> None:
    assert split_long("abc", lambda texts: [9 * len(text) for text in texts], 2) == [
        Part("a", True),
        Part("b", False),
        Part("c", False),
    ]


def test_no_space_in_scripts_without() -> None:
    assert join(["a.", "", "b", "c"], [True, True, True, False]) == "a. bc"
    assert join(["\u4f60\u597d\u3002", "\u518d\u89c1\u3002", "ok"], [True] * 3) == (
        "\u4f60\u597d\u3002\u518d\u89c1\u3002ok"
    )
    assert joints(["\uc548\ub155.", "\uc608."], [True, True]) == [False, True]


@pytest.mark.parametrize("unit", [".", ". ", "-", " -", " ", "a,\t", '"', '."', "\u3002", 'a."('])
def test_no_text_takes_forever(unit: str) -> None:
    """A quadratic expression takes hours here."""
    text = "x" + unit * 50_000 + "x"
    parts = split_long(text, sizes, 1000)
    assert max(sizes([part.text for part in parts])) <= 1000
