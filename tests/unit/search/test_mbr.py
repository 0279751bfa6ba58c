import math
import random

import numpy as np
import pytest

from seq2seq.recipe import Evaluation
from seq2seq.scoring.metrics import build_sentence_scorer
from seq2seq.search.mbr import expected_utilities
from seq2seq.translation.pairwise import build_pairwise


@pytest.mark.parametrize("name", ["bleu", "chrf"])
@pytest.mark.parametrize("sampled", [True, False])
def test_it_is_the_mean_over_all_pairs(name, sampled) -> None:
    rng, section = random.Random(2), Evaluation()
    score, utilities = build_sentence_scorer(name, section), build_pairwise(name, section)
    for _ in range(20):
        size = rng.randint(1, 8)
        texts = [" ".join(rng.choices("abcd", k=rng.randint(0, 5))) for _ in range(size)]
        log_probs = [rng.uniform(-900, -890) for _ in texts]
        shares = [1.0 if sampled else math.exp(value + 890) for value in log_probs]
        expected = [
            sum(
                share * score([text], [other])[0]
                for share, other in zip(shares, texts, strict=True)
            )
            / sum(shares)
            for text in texts
        ]
        found = expected_utilities(texts, None if sampled else log_probs, utilities)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_each_different_text_is_compared_once() -> None:
    seen = []

    def utilities(texts):
        seen.append(list(texts))
        return np.eye(len(texts))

    assert expected_utilities(["a", "b", "a", "a"], None, utilities) == [0.75, 0.25, 0.75, 0.75]
    assert seen == [["a", "b"]]
