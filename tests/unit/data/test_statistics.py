import json
import random

import pytest

from seq2seq.data import statistics
from seq2seq.data.statistics import Side, Statistics, count_statistics

RNG = random.Random(4)


def sentences(count: int, alphabet: str) -> list[str]:
    words = ["".join(RNG.choices(alphabet, k=RNG.randint(1, 6))) for _ in range(50)]
    return [" ".join(RNG.choices(words, k=RNG.randint(1, 9))) for _ in range(count)]


def test_counts_are_those_of_the_text():
    src, tgt = sentences(300, "abcdef"), sentences(300, "def,")
    found = count_statistics([*zip(src, tgt, strict=True), (" ", "x"), ("x", "")])
    assert found.pairs == 300
    for side, lines in ((found.src, src), (found.tgt, tgt)):
        words = [word for line in lines for word in line.split()]
        assert side.words == len(words) / 300
        assert side.characters == sum(map(len, lines)) / 300
        assert side.distinct_words == len(set(words))
        assert side.distinct_characters == len(set("".join(lines)))
        assert side.single == sum(len(word) == 1 for word in words) / len(words)


def test_pairs_that_come_again_are_told():
    found = count_statistics([("a", "b"), ("a", "c"), ("a", "b"), ("a b", "c"), ("a", "b")])
    assert (found.pairs, found.repeated) == (5, pytest.approx(0.4))
    assert found.distinct_pairs == pytest.approx(3)


def test_of_many_pairs_all_are_counted_and_some_looked_at():
    pairs = [("a a", "b") if i < 20_000 else ("x", f"y{i}") for i in range(21_000)]
    found = count_statistics(pairs)
    assert found.pairs == 21_000
    assert found.tgt.distinct_words == 1 + 1000 / 50
    assert found.src.words == pytest.approx((2 * 20_000 + 20) / 20_020)


def test_fewer_are_looked_at_the_more_there_are(monkeypatch):
    monkeypatch.setattr(statistics, "_AND_HALF_AFTER", 30_000)
    found = count_statistics((f"x{i}", "y") for i in range(150_000))
    places = [*range(20_000), *range(20_000, 30_000, 50), *range(30_000, 60_000, 100)]
    places += [*range(60_000, 120_000, 200), *range(120_000, 150_000, 400)]
    assert found.pairs == 150_000
    assert found.src.distinct_words == len(places)


@pytest.mark.parametrize(
    ("src", "tgt", "shared"),
    [
        ("abcab", "bcabb", 1),
        ("abc", "xyz", 0),
        ("ab", "aabbccdd", 1),  # all letters of the source are letters of the target
        ("abcd", "abcx", 3 / 4),
        ("a" * 99 + "x", "x" * 99, 1 / 100),  # a letter that is rare on the other side
        ("1 2 3!", "3 2 1?", 1),
        ("!", "?", 1),
        ("a", "?", 0),
    ],
)
def test_shared_letters(src: str, tgt: str, shared: float):
    assert count_statistics([(src, tgt)]).shared_letters == pytest.approx(shared)


def test_tokens_that_stand_in_their_own_source():
    found = count_statistics([("a b c", "c a x c"), ("ab", "b a"), (" ", "a")])
    assert found.copied_words == 3 / 6
    assert found.copied_characters == 8 / 10


@pytest.mark.parametrize(
    ("line", "unspaced", "han", "units"),
    [
        ("我每天去学校。", 1, 1, "zh"),
        ("我有2台iPhone。", 3 / 10, 3 / 10, "13a"),
        ("我 每天 去 学校 。", 1, 1, "13a"),
        ("私は学校に行く", 1, 4 / 7, "char"),
        ("나는 매일 학교에 갑니다.", 0, 0, "13a"),
        ("ฉันอยากจะกินข้าว", 1, 0, "char"),
        ("ငါ ထမင်းစားချင်တယ်", 1, 0, "char"),
        ("ataatsimiinnerisa oqaluuserineqartussat", 0, 0, "13a"),
        ("abcdefghijklmnopqrstuvwxyz", 0, 0, "char"),
        ("bonjour", 0, 0, "13a"),
    ],
)
def test_what_bleu_can_count(line: str, unspaced: float, han: float, units: str):
    found = count_statistics([("a b", line)])
    assert found.tgt_unspaced == pytest.approx(unspaced)
    assert found.tgt_han == pytest.approx(han)
    assert found.tgt_units == units
    assert found.tgt_word_length == pytest.approx(len(line) / len(line.split()))


def test_nothing_to_count():
    nothing = Side(0, 0, 0, 0, 0)
    found = count_statistics([("", "a")])
    assert found == Statistics(0, nothing, nothing, 1.0, 0, 0)
    assert (found.tgt_word_length, found.tgt_units) == (0, "13a")


def test_statistics_survive_json():
    found = count_statistics(zip(sentences(40, "abc"), sentences(40, "bcd"), strict=True))
    assert Statistics.from_dict(json.loads(json.dumps(found.to_dict()))) == found
