import random
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import pytest

from seq2seq.data import lexicon
from seq2seq.data.lexicon import train_lexicon

SRC, TGT = 9, 11


def corpus_of(pairs):
    arrays = [[np.array(side, dtype=np.uint16) for side in pair] for pair in pairs]
    lengths = [np.array([len(pair[side]) for pair in pairs], dtype=np.int32) for side in (0, 1)]

    class Corpus(SimpleNamespace):
        def __len__(self):
            return len(arrays)

    return Corpus(
        src=lambda i: arrays[i][0],
        tgt=lambda i: arrays[i][1],
        src_lengths=lengths[0],
        tgt_lengths=lengths[1],
    )


def model_one(pairs, iterations):
    """IBM Model 1 by the book: probabilities of each target id given each source id."""
    table = defaultdict(lambda: 1.0)
    for _ in range(iterations):
        counts, totals = defaultdict(float), defaultdict(float)
        for src, tgt in pairs:
            for t in tgt:
                norm = sum(table[s, t] for s in src)
                for s in src:
                    counts[s, t] += table[s, t] / norm
                    totals[s] += table[s, t] / norm
        table = {key: count / totals[key[0]] for key, count in counts.items()}
        table = defaultdict(float, table)
    return table


def random_pairs(count):
    rng = random.Random()
    sides = [range(3, SRC), range(3, TGT)]
    return [tuple(rng.choices(ids, k=rng.randint(1, 6)) for ids in sides) for _ in range(count)]


def test_pieces_are_the_likeliest_of_model_one(monkeypatch):
    monkeypatch.setattr(lexicon, "NUM_PIECES", 4)
    pairs = random_pairs(60)
    found = train_lexicon(corpus_of(pairs), SRC, TGT)
    table = model_one(pairs, lexicon.ITERATIONS)
    assert found.pieces.shape == (SRC, 4)
    for s in range(3, SRC):
        best = sorted((p for (src, _), p in table.items() if src == s), reverse=True)[:4]
        assert [table[s, t] for t in found.pieces[s]] == pytest.approx(best)


def test_frequent_pieces_come_in_order(monkeypatch):
    monkeypatch.setattr(lexicon, "NUM_FREQUENT", 5)
    pairs = random_pairs(60)
    found = train_lexicon(corpus_of(pairs), SRC, TGT)
    counts = Counter(t for _, tgt in pairs for t in tgt)
    assert [counts[t] for t in found.frequent] == sorted(counts.values(), reverse=True)[:5]


def test_pieces_never_seen_and_short_lists_are_filled():
    found = train_lexicon(corpus_of([([3], [4]), ([5], [6]), ([5], [6])]), SRC, TGT)
    assert set(found.pieces[3]) == {4}
    assert set(found.pieces[7]) == {6}


def test_large_corpora_are_sampled_evenly(monkeypatch):
    monkeypatch.setattr(lexicon, "MAX_LINKS", 10)
    seen = []
    pairs = [([3], [4])] * 40
    corpus = corpus_of(pairs)
    read = corpus.src
    corpus.src = lambda i: (seen.append(i), read(i))[1]
    train_lexicon(corpus, SRC, TGT)
    assert seen == list(range(0, 40, 4))
