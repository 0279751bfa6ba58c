"""How many pairs of each corpus make an epoch, and which."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Mixture:
    """Draws pairs of several corpora by weight, as many an epoch as the corpora have.

    The pairs of a corpus come in a random order, all of them before any comes again, from one epoch
    into the next: a corpus that is drawn from sparingly is seen whole after some epochs. A
    corpus without pairs leaves its share to the others.

    Args:
        sizes: Pairs of each corpus, which lie one after the other.
        weights: How much of each an epoch has, in proportion.
        seed: With the epoch it determines what is drawn.

    Attributes:
        shares: Pairs that an epoch has of each corpus.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self._sizes = list(sizes)
        self._seed = seed
        present = np.where(np.array(sizes) > 0, np.array(weights, dtype=np.float64), 0)
        ends = np.round(np.cumsum(present) / present.sum() * sum(sizes))
        self.shares: list[int] = np.diff(ends, prepend=0).astype(np.int64).tolist()

    def draw(self, epoch: int) -> Ints:
        """Positions of an epoch's pairs, a function of (seed, epoch)."""
        drawn, first = [], 0
        for corpus, (size, share) in enumerate(zip(self._sizes, self.shares, strict=True)):
            start, stop = epoch * share, (epoch + 1) * share
            for turn in range(start // size, (stop - 1) // size + 1) if share else ():
                order = np.random.default_rng([self._seed, corpus, turn]).permutation(size)
                drawn.append(first + order[max(start - turn * size, 0) : stop - turn * size])
            first += size
        return np.concatenate(drawn)


def count_before(drawn: Ints) -> Ints:
    """How often each of the pairs that were drawn, (N,), stands before its place there, (N,)."""
    order = np.argsort(drawn, kind="stable")
    places = np.arange(len(drawn))
    is_first = np.diff(drawn[order], prepend=-1) != 0
    counts = np.empty_like(drawn)
    counts[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return counts


def temperature_weights(sizes: Sequence[int], temperature: float) -> list[float]:
    """Weights that are the sizes at temperature 1 and all alike when it is high.

    Arivazhagan et al. (2019), section 4.2.
    """
    return [size ** (1 / temperature) for size in sizes]
