"""What the development set is read in."""

import random
from types import SimpleNamespace

import numpy as np
from pairs import section

from seq2seq.training.validation import BATCH_SIZE, MAX_LINKS, Validator


def cut(src, tgt):
    """Batches of pairs of such lengths."""
    dev = SimpleNamespace(src_lengths=np.array(src), tgt_lengths=np.array(tgt))
    return Validator(section(), dev, lambda *_: {}).batches


def test_a_very_long_pair_makes_no_others_as_long():
    rng = random.Random(random.SystemRandom().randrange(2**31))
    src = [rng.choice((3, 40, 300, 9000)) for _ in range(200)]
    tgt = [rng.choice((1, 5, 400, 12_000)) for _ in range(200)]
    batches = cut(src, tgt)
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    for batch in batches:
        size = len(batch) * max(src[i] for i in batch) * max(tgt[i] for i in batch)
        assert len(batch) == 1 or size <= MAX_LINKS


def test_usual_pairs_are_read_in_full_batches():
    assert [len(batch) for batch in cut([200] * 130, [250] * 130)] in (
        [BATCH_SIZE, BATCH_SIZE, 2],
        [BATCH_SIZE, 2, BATCH_SIZE],
        [2, BATCH_SIZE, BATCH_SIZE],
    )
