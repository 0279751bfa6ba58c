import random
import re
from collections import Counter

import pytest

from seq2seq.recipe import Evaluation
from seq2seq.scoring.difference import (
    NgramChange,
    largest_changes,
    line_changes,
    ngram_changes,
    word_diff,
)
from seq2seq.scoring.metrics import Statistics, build_metrics, build_sentence_scorer


def lines(seed: int, num_lines: int = 25) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices("abcde", k=rng.randint(0, 8))) for _ in range(num_lines)]


@pytest.mark.parametrize(
    ("before", "after", "diff"),
    [
        ("a b c", "a b c", "a b c"),
        ("a b c", "a x c", "a [-b-]{+x+} c"),
        ("a b", "a b c d", "a b {+c d+}"),
        ("a b c d", "a b", "a b [-c d-]"),
        ("a b c", "b c", "[-a-] b c"),
        ("b", "a b", "{+a+} b"),
        ("", "a", "{+a+}"),
        ("a b", "", "[-a b-]"),
        ("", "", ""),
        ("Der Hund.", "Der Hund", "Der [-Hund.-]{+Hund+}"),
        ("我爱北京", "我爱南京", "我爱[-北-]{+南+}京"),
    ],
)
def test_word_diff(before: str, after: str, diff: str) -> None:
    assert word_diff(before, after) == diff


def test_a_diff_holds_both_texts() -> None:
    for before, after in zip(lines(1), lines(2), strict=True):
        diff = word_diff(before, after)
        old = re.sub(r"\{\+.*?\+\}", "", diff).replace("[-", "").replace("-]", " ")
        new = re.sub(r"\[-.*?-\]", "", diff).replace("{+", "").replace("+}", " ")
        assert (old.split(), new.split()) == (before.split(), after.split())


@pytest.mark.parametrize(("name", "sign"), [("chrf", 1), ("bleu", 1), ("wer", -1)])
def test_lines_are_ranked_by_what_they_gain(name: str, sign: int) -> None:
    references, before, after = lines(1), lines(2), lines(3)
    section = Evaluation.model_validate({"metrics": [name]})
    (metric,) = build_metrics(section, [references]).values()
    pair = Statistics(metric, before, 0), Statistics(metric, after, 0)
    changes = line_changes(*pair, fewer_is_better=sign < 0)
    assert sorted(change.line for change in changes) == list(range(25))
    gains = [change.gain for change in changes]
    assert gains == sorted(gains, reverse=True)
    assert all(change.gain == sign * (change.after - change.before) for change in changes)
    if name != "wer":
        scores = build_sentence_scorer(name, section)(after, references)
        assert [scores[change.line] for change in changes] == [c.after for c in changes]


def test_ngrams_are_counted_as_in_bleu() -> None:
    references, before, after = [lines(1), lines(4)], lines(2), lines(3)
    found = {one.words: one for one in ngram_changes(before, after, references, str.split)}
    grams = {
        tuple(words[i : i + n])
        for line in (*references[0], *references[1])
        for words in [line.split()]
        for n in range(1, 5)
        for i in range(len(words) - n + 1)
    }
    for gram in grams:
        gained = lost = 0
        for old, new, *expected in zip(before, after, *references, strict=True):
            old_count, new_count, *allowed = (
                Counter(zip(*(line.split()[i:] for i in range(len(gram))), strict=False))[gram]
                for line in (old, new, *expected)
            )
            change = min(new_count, max(allowed)) - min(old_count, max(allowed))
            gained, lost = gained + max(change, 0), lost + max(-change, 0)
        if gained or lost:
            assert found.pop(gram) == NgramChange(gram, gained, lost)
    assert not found


def test_parts_of_what_is_named_are_left_out() -> None:
    changes = [
        NgramChange(("a",), 5, 1),
        NgramChange(("a", "b"), 4, 0),
        NgramChange(("b",), 4, 0),
        NgramChange(("c",), 3, 0),
        NgramChange(("d",), 1, 3),
        NgramChange(("e",), 2, 2),
    ]
    assert largest_changes(changes, 9, 1) == [changes[1], changes[0], changes[3]]
    assert largest_changes(changes, 1, 1) == [changes[1]]
    assert largest_changes(changes, 9, -1) == [changes[4]]
