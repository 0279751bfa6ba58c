import random
from collections import Counter

import numpy as np
import pytest

from seq2seq.data.mixture import Mixture, count_before, temperature_weights
from seq2seq.data.sampler import Sampler

SIZES = (900, 100, 7)


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 0.5), (0.01, 0.3, 9), SIZES])
def test_shares_follow_the_weights_and_fill_the_epoch(weights):
    mixture = Mixture(SIZES, weights, 1)
    assert sum(mixture.shares) == sum(SIZES) == len(mixture.draw(3))
    for share, weight in zip(mixture.shares, weights, strict=True):
        assert share == pytest.approx(sum(SIZES) * weight / sum(weights), abs=1)
    for epoch in (0, 1, 5):
        corpora = np.searchsorted(np.cumsum(SIZES), mixture.draw(epoch), side="right")
        assert np.bincount(corpora, minlength=3).tolist() == mixture.shares


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 40, 0.2)])
def test_all_pairs_of_a_corpus_come_before_any_comes_again(weights):
    mixture = Mixture(SIZES, weights, random.randrange(99))
    counts: Counter[int] = Counter()
    starts = np.cumsum([0, *SIZES])
    for epoch in range(12):
        counts.update(mixture.draw(epoch).tolist())
        for start, stop, share in zip(starts, starts[1:], mixture.shares, strict=False):
            seen = [counts[i] for i in range(start, stop)]
            assert sum(seen) == share * (epoch + 1)
            assert max(seen) - min(seen) <= 1


def test_what_was_there_before_is_counted():
    drawn = np.random.default_rng().integers(0, 9, 200)
    expected = [np.count_nonzero(drawn[:i] == pair) for i, pair in enumerate(drawn)]
    assert count_before(drawn).tolist() == expected


def test_draws_are_a_function_of_seed_and_epoch():
    mixture = Mixture(SIZES, (1, 2, 3), 5)
    third = mixture.draw(3).tolist()
    assert Mixture(SIZES, (1, 2, 3), 5).draw(3).tolist() == third
    assert Mixture(SIZES, (1, 2, 3), 6).draw(3).tolist() != third
    assert mixture.draw(4).tolist() != third


def test_a_corpus_without_pairs_leaves_its_share():
    assert Mixture((10, 0, 10), (1, 8, 3), 1).shares == [5, 0, 15]


def test_temperature_goes_from_the_sizes_to_equality():
    assert Mixture(SIZES, temperature_weights(SIZES, 1), 1).shares == list(SIZES)
    assert temperature_weights((81, 16, 1), 4) == pytest.approx([3, 2, 1])
    assert temperature_weights(SIZES, 1e9) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(("kind", "size"), [("sentences", 16), ("tokens", 300)])
def test_batches_hold_what_is_drawn(kind, size):
    rng = np.random.default_rng()
    src, tgt = rng.integers(1, 30, (2, sum(SIZES)))
    mixture = Mixture(SIZES, (1, 1, 1), 4)
    sampler = Sampler(src, tgt, size, kind, 4, mixture)
    for epoch in (0, 2):
        batches = sampler.batches(epoch)
        assert Counter(np.concatenate(batches).tolist()) == Counter(mixture.draw(epoch).tolist())
        most = [len(b) * (tgt[b].max() if kind == "tokens" else 1) for b in batches]
        assert max(most) <= size
