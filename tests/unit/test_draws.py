from typing import get_args

import numpy as np

from seq2seq.draws import _PURPOSES, Purpose, uniform

PLACES = np.arange(400)[:, None], np.arange(50)


def test_each_purpose_has_numbers_of_its_own():
    assert set(_PURPOSES) == set(get_args(Purpose))
    assert len(set(_PURPOSES.values())) == len(_PURPOSES)


def test_the_shape_is_that_of_all_parts():
    assert uniform(1, "sample", 2).shape == (1,)
    whole = uniform(
        1, "sample", 2, np.arange(3)[:, None, None], np.arange(4)[:, None], np.arange(5)
    )
    assert whole.shape == (3, 4, 5) and len(np.unique(whole)) == 60
    assert (uniform(1, "sample", 2, 1, 3, np.arange(2)) == whole[1, 3, :2]).all()


def splitmix(state: int) -> int:
    """The finaliser of SplitMix64 in whole numbers of Python."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = ((state ^ state >> shift) * factor) % 2**64
    return state ^ state >> 31


def test_numbers_are_those_of_the_hash():
    found = uniform(3, "src_shuffle", 5, np.array([[0], [2**59]]), np.arange(4))
    for row, line in enumerate((0, 2**59)):
        for position in range(4):
            state = 0
            for part in (3, 3, 5, line, position):
                state = splitmix(state ^ splitmix((part + 0x9E3779B97F4A7C15) % 2**64))
            assert found[row, position] == (state >> 40) / 2**24


def test_numbers_are_uniform_and_unrelated():
    rng = np.random.default_rng()
    seed, epoch = (int(number) for number in rng.integers(2**31, size=2))
    draws = uniform(seed, "src_word_dropout", epoch, *PLACES)
    assert 0 <= draws.min() < 0.001 < 0.999 < draws.max() < 1
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert abs(counts - 1000).max() < 200
    others = [
        uniform(seed + 1, "src_word_dropout", epoch, *PLACES),
        uniform(seed, "tgt_word_dropout", epoch, *PLACES),
        uniform(seed, "src_word_dropout", epoch + 1, *PLACES),
        uniform(seed, "src_word_dropout", epoch, PLACES[0] + 1, PLACES[1]),
        np.roll(draws, 1, axis=1),
    ]
    for other in others:
        assert abs(np.corrcoef(draws.ravel(), other.ravel())[0, 1]) < 0.05
