"""Which pairs make a batch: as little padding as possible, another order each epoch."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Sampler:
    """Groups pairs into batches of equal source length where it can.

    Equal lengths spare the encoder its packing. Pairs that don't fill a batch of their source
    length (the leftovers) are batched with those of similar lengths.

    Args:
        src_lengths: Source ids of each pair, shape (number of pairs,).
        tgt_lengths: Target ids of each pair, likewise.
        batch_size: Most pairs of a batch, or most target tokens with their padding; a single pair
            that is longer makes a batch of its own.
        batch_type: What `batch_size` counts.
        seed: With the epoch it determines the batches.
    """

    def __init__(
        self,
        src_lengths: npt.NDArray[np.integer],
        tgt_lengths: npt.NDArray[np.integer],
        batch_size: int,
        batch_type: Literal["sentences", "tokens"],
        seed: int,
    ) -> None:
        self._src = src_lengths
        self._tgt = tgt_lengths
        self._batch_size = batch_size
        self._batch_type = batch_type
        self._seed = seed

    def batches(self, epoch: int) -> list[Ints]:
        """Positions of the pairs of each batch; every pair is in one batch, once."""
        rng = np.random.default_rng([self._seed, epoch])
        cut = self._cut_sentences if self._batch_type == "sentences" else self._cut_tokens
        batches = cut(rng)
        return [batches[i] for i in rng.permutation(len(batches))]

    def padding_share(self, epoch: int) -> float:
        """Share of padding among all source and target positions of an epoch's batches."""
        if not len(self._src):
            return 0.0
        rows, src, tgt = self.shapes(self.batches(epoch)).T
        real = int(self._src.sum(dtype=np.int64) + self._tgt.sum(dtype=np.int64))
        return 1 - real / int((rows * (src + tgt)).sum())

    def shapes(self, batches: Sequence[Ints]) -> Ints:
        """Pairs, source positions and target positions of each of some batches, (batches, 3)."""
        sizes = np.array([len(batch) for batch in batches])
        order, starts = np.concatenate(batches), np.cumsum(sizes) - sizes
        lengths = (side[order].astype(np.int64) for side in (self._src, self._tgt))
        return np.stack([sizes, *(np.maximum.reduceat(each, starts) for each in lengths)], axis=1)

    def _cut_sentences(self, rng: np.random.Generator) -> list[Ints]:
        order = np.lexsort((rng.random(len(self._src)), self._src))
        _, starts, counts = np.unique(self._src[order], return_index=True, return_counts=True)
        position = np.arange(len(order)) - np.repeat(starts, counts)
        is_leftover = position < np.repeat(counts % self._batch_size, counts)
        full = self._by_length(order[~is_leftover], rng)
        leftovers = self._by_length(order[is_leftover], rng)
        batches = list(full.reshape(-1, self._batch_size))
        return batches + [
            leftovers[start : start + self._batch_size]
            for start in range(0, len(leftovers), self._batch_size)
        ]

    def _cut_tokens(self, rng: np.random.Generator) -> list[Ints]:
        order = self._by_length(np.arange(len(self._src)), rng)[::-1]
        src, tgt = self._src[order], self._tgt[order].astype(np.int64)
        ends = np.append(np.flatnonzero(np.diff(src)) + 1, len(src)) if len(src) else src
        batches, leftovers, start = [], [], 0
        for end in ends.tolist():
            # Longest target first: the first pair of a batch says how many fit.
            while end - start >= (rows := max(1, self._batch_size // int(tgt[start]))):
                batches.append(order[start : start + rows])
                start += rows
                if start == end:
                    break
            leftovers.append(order[start:end])
            start = end
        return batches + self._cut_leftovers(np.concatenate(leftovers or [order]))

    def _cut_leftovers(self, order: Ints) -> list[Ints]:
        lengths = self._tgt[order].tolist()
        batches, start, longest = [], 0, 0
        for end, length in enumerate(lengths):
            longest = max(longest, length)
            if end > start and longest * (end - start + 1) > self._batch_size:
                batches.append(order[start:end])
                start, longest = end, length
        return [*batches, order[start:]] if start < len(order) else batches

    def _by_length(self, positions: Ints, rng: np.random.Generator) -> Ints:
        ties = rng.random(len(positions))
        return positions[np.lexsort((ties, self._tgt[positions], self._src[positions]))]
