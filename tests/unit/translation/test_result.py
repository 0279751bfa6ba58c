import random

import numpy as np
import pytest

from seq2seq.data.sentences import Part, join
from seq2seq.translation.result import (
    TranslatedHypothesis,
    Translation,
    join_translations,
    one_line,
)


def random_part(rng: random.Random) -> tuple[Part, Translation]:
    """A part of a line of which every word is aligned with every word of its translation."""
    src, tgt = (
        " ".join(rng.choices(["ab", "c", "\u4f60\u3002"], k=rng.randint(0, 3))) for _ in range(2)
    )
    links = [(i, j) for j in range(len(tgt.split())) for i in range(len(src.split()))]
    size, width = rng.randint(1, 4), rng.randint(1, 4)
    hypotheses = [
        TranslatedHypothesis(
            tgt,
            -rng.random(),
            -rng.random(),
            ["x"] * size,
            [-1.0] * (size + 1),
            np.full((size, width), rng.random(), dtype=np.float32),
            links,
        )
        for _ in range(rng.randint(1, 3))
    ]
    return Part(src, rng.random() < 0.6), Translation(0, src, hypotheses, ["s"] * width)


def test_links_of_the_whole_join_the_words_that_those_of_the_parts_join() -> None:
    rng, glued = random.Random(6), 0
    for _ in range(300):
        parts, found = zip(*(random_part(rng) for _ in range(rng.randint(2, 4))), strict=True)
        apart = [part.apart for part in parts]
        src = join([part.text for part in parts], apart)
        whole = join_translations(7, src, parts, found)
        assert (whole.line, whole.src) == (7, src)
        best = whole.hypotheses[0]
        words, expected = best.text.split(), []
        for part, one in zip(parts, found, strict=True):
            own, theirs = part.text.split(), one.text.split()
            expected += [(own[i], theirs[j]) for i, j in one.hypotheses[0].alignment]
        # A part may begin within a word.
        assert len(best.alignment) == len(expected)
        for (i, j), (own, theirs) in zip(best.alignment, expected, strict=True):
            assert own in src.split()[i]
            assert theirs in words[j]
        glued += len(words) < sum(len(one.text.split()) for one in found)
    assert 50 < glued < 290


def test_sums_and_blocks() -> None:
    rng = random.Random(8)
    for _ in range(50):
        parts, found = zip(*(random_part(rng) for _ in range(3)), strict=True)
        whole = join_translations(0, "", parts, found)
        assert len(whole.hypotheses) == max(len(one.hypotheses) for one in found)
        assert whole.src_tokens == [token for one in found for token in one.src_tokens]
        for rank, joined in enumerate(whole.hypotheses):
            own = [one.hypotheses[min(rank, len(one.hypotheses) - 1)] for one in found]
            assert joined.score == pytest.approx(sum(one.score for one in own))
            assert joined.log_prob == pytest.approx(sum(one.log_prob for one in own))
            assert len(joined.log_probs) == len(joined.tokens) + 1
            assert sum(joined.log_probs) == pytest.approx(sum(sum(one.log_probs) for one in own))
            assert joined.attention.shape == (len(joined.tokens), len(whole.src_tokens))
            row = column = 0
            for one in own:
                rows, columns = one.attention.shape
                block = joined.attention[row : row + rows, column : column + columns]
                np.testing.assert_array_equal(block, one.attention)
                row, column = row + rows, column + columns
            assert joined.attention.sum() == pytest.approx(sum(one.attention.sum() for one in own))


def test_blank_parts_and_no_parts_are_blank() -> None:
    blank = Translation(0, "", [TranslatedHypothesis("", 0.0, 0.0, [])])
    assert join_translations(3, " ", [], []) == Translation(3, " ", blank.hypotheses)
    two = [Part("", True), Part("", True)]
    assert join_translations(3, " ", two, [blank, blank]) == Translation(3, " ", blank.hypotheses)


def test_one_line() -> None:
    assert one_line("a\tb\r\nc\u2028d") == "a b  c\u2028d"
