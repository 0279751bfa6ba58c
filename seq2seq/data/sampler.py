"""Which pairs make a batch: as little padding as possible, another order each epoch."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from seq2seq.data.mixture import Mixture

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
        mixture: Draws the pairs of an epoch; without one it has each pair once.
    """

    def __init__(
        self,
        src_lengths: npt.NDArray[np.integer],
        tgt_lengths: npt.NDArray[np.integer],
        batch_size: int,
        batch_type: Literal["sentences", "tokens"],
        seed: int,
        mixture: Mixture | None = None,
    ) -> None:
        self._src = _compact(src_lengths)
        self._tgt = _compact(tgt_lengths)
        self._batch_size = batch_size
        self._batch_type = batch_type
        self._seed = seed
        self._mixture = mixture
        self._last: tuple[int, list[Ints]] | None = None

    def batches(self, epoch: int) -> list[Ints]:
        """Positions of the pairs of each batch; every pair of the epoch is in one, once."""
        if self._last is None or self._last[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            cut = self._cut_sentences if self._batch_type == "sentences" else self._cut_tokens
            pairs = (
                np.arange(len(self._src)) if self._mixture is None else self._mixture.draw(epoch)
            )
            batches = cut(rng.permutation(pairs))
            self._last = epoch, [batches[i] for i in rng.permutation(len(batches))]
        return self._last[1]

    def padding_share(self, epoch: int) -> float:
        """Share of padding among all source and target positions of an epoch's batches."""
        if not len(self._src):
            return 0.0
        batches = self.batches(epoch)
        rows, src, tgt = self.shapes(batches).T
        pairs = np.concatenate(batches)
        real = sum(int(side[pairs].sum(dtype=np.int64)) for side in (self._src, self._tgt))
        return 1 - real / int((rows * (src + tgt)).sum())

    def shapes(self, batches: Sequence[Ints]) -> Ints:
        """Pairs, source positions and target positions of each of some batches, (batches, 3)."""
        sizes = np.array([len(batch) for batch in batches])
        order, starts = np.concatenate(batches), np.cumsum(sizes) - sizes
        lengths = (side[order].astype(np.int64) for side in (self._src, self._tgt))
        return np.stack([sizes, *(np.maximum.reduceat(each, starts) for each in lengths)], axis=1)

    def _cut_sentences(self, order: Ints) -> list[Ints]:
        order = _sorted(order, self._src)
        ends = np.cumsum(np.bincount(self._src[order])).tolist()
        spans = [
            (start, start + (end - start) % self._batch_size, end)
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        none = order[:0]
        full = np.concatenate([none, *(order[cut:end] for _, cut, end in spans)])
        leftovers = np.concatenate([none, *(order[start:cut] for start, cut, _ in spans)])
        full, leftovers = (_sorted(part, self._tgt, self._src) for part in (full, leftovers))
        batches = list(full.reshape(-1, self._batch_size))
        return batches + [
            leftovers[start : start + self._batch_size]
            for start in range(0, len(leftovers), self._batch_size)
        ]

    def _cut_tokens(self, order: Ints) -> list[Ints]:
        order = _sorted(order, self._tgt, self._src)[::-1]
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


def _sorted(positions: Ints, *lengths: npt.NDArray[np.integer]) -> Ints:
    """Positions by the last of their lengths, then by the one before; others stay in order."""
    for key in lengths:
        positions = positions[np.argsort(key[positions], kind="stable")]
    return positions


def _compact(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Lengths in the smallest type: numpy sorts up to 16 bits in linear time, not larger ones."""
    return lengths.astype(np.min_scalar_type(lengths.max(initial=0)))
