import random

import numpy as np
import pytest

from seq2seq.data.mixture import Mixture
from seq2seq.data.sampler import Sampler

KINDS = ["sentences", "tokens"]


def make_lengths(count: int, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    src = [1 + min(int(rng.expovariate(0.1)), 80) for _ in range(count)]
    tgt = [max(1, round(length * rng.uniform(0.8, 1.25))) for length in src]
    return np.array(src, dtype=np.int32), np.array(tgt, dtype=np.int32)


def cost(batch: np.ndarray, tgt: np.ndarray, kind: str) -> int:
    return len(batch) * (int(tgt[batch].max()) if kind == "tokens" else 1)


def as_lists(batches) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 63, 500, 3000])
@pytest.mark.parametrize("size", [1, 7, 64, 400])
def test_every_pair_once_in_batches_within_the_size(kind, count, size):
    rng = random.Random()
    src, tgt = make_lengths(count, rng)
    batches = Sampler(src, tgt, size, kind, rng.randrange(1000)).batches(rng.randrange(9))
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(count))
    for batch in batches:
        assert len(batch)
        assert cost(batch, tgt, kind) <= size or len(batch) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_a_function_of_seed_and_epoch(kind):
    src, tgt = make_lengths(2000, random.Random(3))
    sampler = Sampler(src, tgt, 64, kind, 5)
    first = as_lists(sampler.batches(1))
    np.random.seed(0)
    sampler.batches(2)
    assert as_lists(sampler.batches(1)) == first
    assert as_lists(Sampler(src, tgt, 64, kind, 5).batches(1)) == first
    assert as_lists(sampler.batches(2)) != first
    assert as_lists(Sampler(src, tgt, 64, kind, 6).batches(1)) != first


@pytest.mark.parametrize(("kind", "size"), [("sentences", 64), ("tokens", 1000)])
def test_most_pairs_are_among_their_equals(kind, size):
    src, tgt = make_lengths(20_000, random.Random())
    sampler = Sampler(src, tgt, size, kind, 1)
    equal = sum(len(b) for b in sampler.batches(0) if len(set(src[b].tolist())) == 1)
    assert equal > 0.8 * len(src)
    assert sampler.padding_share(0) < 0.1


def test_full_batches_of_one_length_leave_less_than_a_batch_of_each():
    rng = random.Random()
    src, tgt = make_lengths(5000, rng)
    mixed = [b for b in Sampler(src, tgt, 32, "sentences", 1).batches(0) if np.ptp(src[b])]
    left = np.unique(src[np.concatenate(mixed)], return_counts=True)[1]
    assert left.max() < 32


def test_pairs_meet_others_in_the_next_epoch():
    src = tgt = np.full(640, 9, dtype=np.int32)
    sampler = Sampler(src, tgt, 64, "sentences", 1)
    sets = [{frozenset(b) for b in as_lists(sampler.batches(epoch))} for epoch in (0, 1)]
    assert not sets[0] & sets[1]


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_those_of_the_padded_batches(kind):
    src, tgt = make_lengths(300, random.Random())
    sampler = Sampler(src, tgt, 50, kind, 2)
    batches = sampler.batches(0)
    expected = [[len(b), int(src[b].max()), int(tgt[b].max())] for b in batches]
    assert sampler.shapes(batches).tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_padding_share_is_what_padding_takes(kind):
    src, tgt = make_lengths(700, random.Random())
    sampler = Sampler(src, tgt, 50, kind, 2)
    cells = sum(len(b) * (int(src[b].max()) + int(tgt[b].max())) for b in sampler.batches(3))
    assert sampler.padding_share(3) == pytest.approx(1 - (src.sum() + tgt.sum()) / cells)
    mixed = Sampler(src, tgt, 50, kind, 2, Mixture([600, 100], [1, 9], seed=2))
    pairs = np.concatenate(mixed.batches(3))
    cells = sum(len(b) * (int(src[b].max()) + int(tgt[b].max())) for b in mixed.batches(3))
    assert mixed.padding_share(3) == pytest.approx(1 - (src[pairs] + tgt[pairs]).sum() / cells)
