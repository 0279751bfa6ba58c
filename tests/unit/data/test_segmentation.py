import itertools
import math
import random
from collections import Counter

import pytest

from seq2seq.data.segmentation import BpeDropout, UnigramSampler, split_words

SCORES = {
    piece: -rank / 4
    for rank, piece in enumerate(
        "ab bc abc cd abcd aa aab baa bb abab cdab a b c d".split(), start=1
    )
}


def bpe_by_definition(word: str, amount: float, draw) -> list[str]:
    """Provilkov et al. (2020), algorithm 1: each step looks at all merges afresh."""
    symbols = list(word)
    while True:
        merges = sorted(
            (-SCORES[left + right], i)
            for i, (left, right) in enumerate(itertools.pairwise(symbols))
            if left + right in SCORES
        )
        for _, i in merges:
            if draw() >= amount:
                symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
                break
        else:
            return symbols


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_bpe_dropout_follows_the_definition_draw_by_draw(amount):
    rng = random.Random()
    segmenter = BpeDropout(SCORES)
    for _ in range(300):
        word = "".join(rng.choices("abcdx", k=rng.randrange(12)))
        seed = rng.random()
        expected = bpe_by_definition(word, amount, random.Random(seed).random)
        assert segmenter.segment(word, amount, random.Random(seed).random) == expected


def all_segmentations(word: str):
    for cuts in itertools.product([False, True], repeat=len(word) - 1):
        ends = [i for i, cut in enumerate(cuts, start=1) if cut] + [len(word)]
        yield tuple(word[i:j] for i, j in itertools.pairwise([0, *ends]))


@pytest.mark.parametrize("amount", [0.2, 1.0])
@pytest.mark.parametrize("word", ["abcd", "aabbc", "axb", "x" * 3, "a"])
def test_unigram_sampler_draws_with_the_stated_probabilities(word, amount):
    unknown = min(SCORES.values()) - 10
    weights = {}
    for pieces in all_segmentations(word):
        if all(piece in SCORES or len(piece) == 1 for piece in pieces):
            weights[pieces] = math.exp(amount * sum(SCORES.get(p, unknown) for p in pieces))
    total, draws = sum(weights.values()), 4000
    segmenter, draw = UnigramSampler(SCORES), random.Random(amount).random
    found = Counter(tuple(segmenter.segment(word, amount, draw)) for _ in range(draws))
    assert found.keys() <= weights.keys()
    for pieces, weight in weights.items():
        share = weight / total
        deviation = math.sqrt(share * (1 - share) / draws)
        assert abs(found[pieces] / draws - share) <= 6 * deviation + 5 / draws


def test_words_keep_their_space_and_join_to_the_text():
    for text in ("\u2581a\u2581bc", "a\u2581b", "\u2581\u2581a", "", "\u2581"):
        assert "".join(split_words(text)) == text
    assert split_words("\u2581a\u2581bc") == ["\u2581a", "\u2581bc"]
