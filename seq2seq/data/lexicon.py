"""Which target pieces a source piece gives, learnt from the training pairs.

IBM Model 1 (Brown et al. 1993, section 4.2) on a sample of the pairs. It knows nothing of order,
but its first few dozen pieces hold nearly all that a translation needs, and search that looks at
nothing else is faster (Jean et al. 2015, section 4.1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seq2seq.data.encoding import EncodedCorpus

Ints = npt.NDArray[np.int64]

MAX_LINKS = 2**23
"""Pairs of a source and a target piece to learn from, at most."""

NUM_PIECES, NUM_FREQUENT = 50, 1000
ITERATIONS = 4


@dataclass(frozen=True)
class Lexicon:
    """Candidates for translations.

    Attributes:
        pieces: (V_src, `NUM_PIECES`) target ids for each source id, the likeliest first; where
            there are fewer, the last is repeated.
        frequent: (`NUM_FREQUENT`,) the most frequent target ids, or all if there are fewer.
    """

    pieces: Ints
    frequent: Ints


def train_lexicon(corpus: EncodedCorpus, src_size: int, tgt_size: int) -> Lexicon:
    """Learn from encoded pairs, or from as many of them, spread evenly, as `MAX_LINKS` allows.

    Args:
        corpus: at least one pair.
        src_size: V of the source.
        tgt_size: V of the target.
    """
    num_links = int(corpus.src_lengths.astype(np.int64) @ corpus.tgt_lengths.astype(np.int64))
    step = max(1, math.ceil(num_links / MAX_LINKS))
    keys, targets = _links(corpus, range(0, len(corpus), step), tgt_size)
    starts = np.flatnonzero(np.diff(targets, prepend=-1))
    counts = np.bincount(keys[starts] % tgt_size, minlength=tgt_size)
    links, place = np.unique(keys, return_inverse=True)
    sources, probabilities = links // tgt_size, np.ones(len(links))
    for _ in range(ITERATIONS):
        shares = probabilities[place]
        shares /= np.bincount(targets, shares)[targets]
        expected = np.bincount(place, shares)
        probabilities = expected / np.bincount(sources, expected)[sources]
    frequent = np.argsort(-counts, kind="stable")[:NUM_FREQUENT]
    pieces = _best(sources, links % tgt_size, probabilities, src_size, int(frequent[0]))
    return Lexicon(pieces, frequent)


def _links(corpus: EncodedCorpus, index: Sequence[int], tgt_size: int) -> tuple[Ints, Ints]:
    """All pairs of a source and a target piece in one pair of sentences.

    Returns:
        Source id · V + target id of each, target by target, and the number of the target.
    """
    keys, numbers, count = [], [], 0
    for i in index:
        src, tgt = corpus.src(i).astype(np.int64) * tgt_size, corpus.tgt(i)
        keys.append((src + tgt[:, None]).ravel())
        numbers.append(np.repeat(np.arange(count, count + len(tgt)), len(src)))
        count += len(tgt)
    return np.concatenate(keys), np.concatenate(numbers)


def _best(
    sources: Ints, targets: Ints, probabilities: npt.NDArray[np.float64], size: int, filler: int
) -> Ints:
    """The likeliest targets of each source, (size, `NUM_PIECES`)."""
    order = np.lexsort((targets, -probabilities, sources))
    sources, targets = sources[order], targets[order]
    counts = np.bincount(sources, minlength=size)
    starts = np.cumsum(counts) - counts
    rank = np.minimum(np.arange(NUM_PIECES), np.maximum(counts - 1, 0)[:, None])
    place = np.minimum(starts[:, None] + rank, len(targets) - 1)
    return np.where(counts[:, None] > 0, targets[place], filler)
