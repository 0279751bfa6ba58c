import random
from collections.abc import Iterator

import pytest

from seq2seq.errors import DataError
from seq2seq.translation.requests import Wish, read_wishes
from seq2seq.translation.wishes import read_in_step, split_phrases


@pytest.mark.parametrize("before", [0, 3])
def test_texts_are_read_in_step(before: int) -> None:
    rng, read = random.Random(before), [0, 0, 0]

    def lines(place: int, first: int, last: int) -> Iterator[str]:
        for number in range(first, last):
            read[place] += 1
            yield f"{place}.{number}"

    texts = [("a", lines(0, before, 9)), ("b", lines(1, 0, 9)), ("b", lines(2, 0, 9))]
    own = read_in_step(texts[0], texts[1:], before)
    for number in range(before, 9):
        row = {place: next(own[place]) for place in rng.sample(range(3), 3)}
        assert row == {place: f"{place}.{number}" for place in range(3)}
        assert read == [number + 1 - before, number + 1, number + 1]
    assert [next(each, None) for each in own] == [None] * 3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((2, 3), "a: has no line 3, but b goes on; the two must match line by line"),
        ((3, 2), "b: has no line 3, but a goes on; the two must match line by line"),
        ((0, 1), "a: has no line 1, but b goes on; the two must match line by line"),
    ],
)
def test_texts_of_different_length(sizes: tuple[int, int], message: str) -> None:
    (text, other) = [(name, iter(["x"] * n)) for name, n in zip("ab", sizes, strict=True)]
    first, _ = read_in_step(text, [other], 0)
    with pytest.raises(DataError) as caught:
        list(first)
    assert str(caught.value) == message


def test_phrases_stand_between_tabs() -> None:
    assert split_phrases(" a b\t\t c \t") == ["a b", "c"]
    assert split_phrases("") == split_phrases("\t \t") == []


def test_wishes_of_lines() -> None:
    rows = list(read_wishes(["a", "b"], ["x", ""], None, [[], ["y", "z"]], 3))
    assert rows == [("a", Wish(4, "x", banned=[])), ("b", Wish(5, banned=["y", "z"]))]
    assert list(read_wishes(iter("ab"), None, None, None, 0)) == [("a", Wish(1)), ("b", Wish(2))]
    with pytest.raises(ValueError, match="shorter"):
        list(read_wishes(["a", "b"], ["x"], None, None, 0))
    with pytest.raises(TypeError, match="one text"):
        list(read_wishes(["a"], None, ["x"], None, 0))


def test_of_a_line_in_parts_the_first_has_the_beginning() -> None:
    wish, rest = Wish(2, "x ", banned=["y"]), Wish(2, banned=["y"])
    assert [wish.of_parts(num) for num in range(4)] == [
        [],
        [wish],
        [wish, rest],
        [wish, rest, rest],
    ]
