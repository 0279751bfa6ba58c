import random
from typing import get_args

import numpy as np
import pytest

from seq2seq.errors import SettingsError
from seq2seq.recipe import Decoding, Evaluation
from seq2seq.scoring.metrics import build_sentence_scorer
from seq2seq.translation.pairwise import PAIRWISE, build_pairwise


def test_every_metric_of_the_recipe_is_there() -> None:
    literal, _ = get_args(Decoding.model_fields["mbr"].annotation)
    assert set(PAIRWISE) == set(get_args(literal))


def texts(rng: random.Random) -> list[str]:
    """Texts of few words, some of them alike, blank or of words that nothing else has."""
    words = ["a", "ab", "Ab", "abc", "d.", "(e)", "\u4f60\u597d", "f,g"]
    found = [" ".join(rng.choices(words, k=rng.randint(0, 9))) for _ in range(6)]
    return [*found, found[0], "", "  ", "xyz"]


@pytest.mark.parametrize(
    "keys", [{}, {"lowercase": True}, {"tokenize": "none"}, {"tokenize": "char"}], ids=str
)
@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_every_pair_has_sacrebleus_score(name, keys) -> None:
    section, rng = Evaluation(**keys), random.Random(1)
    slow, fast = build_sentence_scorer(name, section), build_pairwise(name, section)
    for _ in range(12):
        lines = texts(rng)
        scores = fast(lines)
        for row, line in zip(scores, lines, strict=True):
            expected = slow([line] * len(lines), lines)
            np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-9)


def test_a_missing_tokeniser_is_named() -> None:
    try:
        import MeCab  # noqa: F401
    except ImportError:
        with pytest.raises(SettingsError, match=r"evaluation\.tokenize: 'ja-mecab' needs"):
            build_pairwise("bleu", Evaluation(tokenize="ja-mecab"))
