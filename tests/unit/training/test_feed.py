import numpy as np
import pytest
import torch
from toy import toy_recipe

from seq2seq.data.batch import load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.parallel import World
from seq2seq.prepare import prepare
from seq2seq.training.feed import Feed, owners
from seq2seq.training.source import Group

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_rows_are_dealt_out_by_cost(size, rows):
    costs = np.random.default_rng().integers(1, 40, rows).astype(np.int32)
    found = owners(costs, size)
    assert found.shape == (rows,)
    assert 0 <= found.min() <= found.max() < size
    assert (np.diff(found) >= 0).all()
    if size == 1:
        return
    shares = np.bincount(found, weights=costs, minlength=size)
    # A row belongs where its middle is, so no share is off by more than its two outermost rows.
    assert abs(shares - costs.sum() / size).max() <= costs.max()


@pytest.fixture
def corpus(tmp_path) -> EncodedCorpus:
    return prepare(toy_recipe(tmp_path, "tokenizer.sampling=0.3")).train


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_make_the_batches_up(corpus, size):
    group = Group(corpus, [np.arange(7, 20), np.array([3]), np.array([90, 2])], epoch=2)
    feeds = [Feed(World(rank, size), CPU) for rank in range(size)]
    loaded = [feed.load(group) for feed in feeds]
    for index, *parts in zip(group.batches, *loaded, strict=True):
        real = [part.batch for part in parts if part.weight]
        assert {part.weight for part in parts} <= {0, 1}
        assert np.array_equal(np.concatenate([batch.index for batch in real]), index)
        whole = load_batch(corpus, index, 2)
        assert sum(batch.num_tokens for batch in real) == whole.num_tokens
        for batch in real:
            rows = np.isin(index, batch.index)
            width = batch.src.shape[1]
            assert torch.equal(batch.src, whole.src[torch.from_numpy(rows), :width])
        fillers = [part.batch for part in parts if not part.weight]
        assert all(len(batch.index) == 1 for batch in fillers)


def test_what_was_loaded_ahead_is_what_is_asked_for(corpus):
    feed = Feed(World(), CPU)
    first, second = Group(corpus, [np.array([1, 2])]), Group(corpus, [np.array([5])])
    feed.load_ahead(first)
    ahead = feed.load(first)
    assert [part.batch.index.tolist() for part in ahead] == [[1, 2]]
    feed.load_ahead(first)
    assert [part.batch.index.tolist() for part in feed.load(second)] == [[5]]
    assert feed.load(first)[0] is not ahead[0]
