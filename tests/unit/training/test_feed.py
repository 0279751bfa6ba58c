from collections import defaultdict

import numpy as np
import pytest
import torch
from toy import toy_recipe

from seq2seq.data.batch import load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.parallel import World
from seq2seq.prepare import prepare
from seq2seq.special import PAD
from seq2seq.training.feed import Feed, owners
from seq2seq.training.progress import Progress
from seq2seq.training.source import Group, build_source

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
    group = Group(corpus, [np.arange(7, 20), np.array([3]), np.array([90, 2])], [2, 2, 2])
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


@pytest.mark.parametrize("size", [1, 2])
def test_pairs_that_come_again_in_an_epoch_are_others(tmp_path, size):
    corpora = f"data.train=[{tmp_path}/train,{tmp_path}/test]", "data.weights=[1,4]"
    recipe = toy_recipe(tmp_path, *corpora, "tokenizer.sampling=0.3")
    prepared = prepare(recipe)
    assert prepared.train.mixture is not None
    source = build_source(prepared.recipe.training, prepared.train, 1)
    feeds = [Feed(World(rank, size), CPU) for rank in range(size)]
    versions = defaultdict(list)
    for group in source.portion(Progress()).groups:
        for part in (part for feed in feeds for part in feed.load(group) if part.weight):
            for i, src in zip(part.batch.index.tolist(), part.batch.src.tolist(), strict=True):
                versions[i].append(tuple(token for token in src if token != PAD))
    often = [found for found in versions.values() if len(found) > 5]
    assert len(often) == 20
    assert sum(len(set(found)) > 1 for found in often) > 15


def test_what_was_loaded_ahead_is_what_is_asked_for(corpus):
    feed = Feed(World(), CPU)
    first, second = Group(corpus, [np.array([1, 2])], [0]), Group(corpus, [np.array([5])], [0])
    feed.load_ahead(first)
    ahead = feed.load(first)
    assert [part.batch.index.tolist() for part in ahead] == [[1, 2]]
    feed.load_ahead(first)
    assert [part.batch.index.tolist() for part in feed.load(second)] == [[5]]
    assert feed.load(first)[0] is not ahead[0]
