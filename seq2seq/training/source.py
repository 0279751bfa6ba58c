"""Where the batches of updates come from: the epochs of a corpus, or a stream.

A source has no memory of its own: where it is stands in `Progress`, which is saved and restored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seq2seq import recipe
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.mixture import count_before
from seq2seq.data.sampler import Sampler
from seq2seq.data.stream import Chunk, Stream
from seq2seq.training.progress import Progress

Ints = npt.NDArray[np.int64]

_EPOCH_BITS = 20
"""More epochs than training has; what a pair that comes again in one gets stands above them."""


@dataclass(frozen=True, eq=False)
class Group:
    """Batches of one update.

    Attributes:
        corpus: their pairs.
        batches: positions of the pairs of each.
        rounds: of all pairs of a batch or each, for what is random about an example; no pair has
            one twice.
    """

    corpus: EncodedCorpus
    batches: Sequence[Ints]
    rounds: Sequence[int | Ints]


class Portion:
    """Pairs that are shuffled and batched among themselves: an epoch's, or a chunk of a stream.

    Args:
        corpus: they.
        sampler: of that corpus.
        number: determines the batches.
        epoch: passes over the corpora before this one.
        accumulate: batches of an update.
    """

    def __init__(
        self, corpus: EncodedCorpus, sampler: Sampler, number: int, epoch: int, accumulate: int
    ) -> None:
        self.corpus = corpus
        self.sampler = sampler
        self.number = number
        self.batches = sampler.batches(number)
        rounds: list[int | Ints] = [epoch] * len(self.batches)
        if corpus.mixture is not None:
            ends = np.cumsum([len(batch) for batch in self.batches])
            again = count_before(np.concatenate(self.batches))
            rounds = list(np.split(epoch + (again << _EPOCH_BITS), ends[:-1]))
        self.groups = [
            Group(corpus, self.batches[i : i + accumulate], rounds[i : i + accumulate])
            for i in range(0, len(self.batches), accumulate)
        ]

    def group(self, batches: Sequence[Ints]) -> Group:
        """Batches of these pairs, on trial, as those of one update."""
        return Group(self.corpus, batches, [0] * len(batches))

    def shapes(self) -> Ints:
        """Pairs, source positions and target positions of each batch, (batches, 3)."""
        return self.sampler.shapes(self.batches)

    def padding_share(self) -> float:
        """Share of padding among all positions of the batches."""
        return self.sampler.padding_share(self.number)


class Source(Protocol):
    """Gives the batches of updates.

    Attributes:
        updates_per_epoch: of training, about so many where epochs differ.
        longest_src: pieces of the longest source, end mark not counted; of a stream, among those
            that it begins with.
    """

    updates_per_epoch: int
    longest_src: int

    def portion(self, progress: Progress) -> Portion:
        """What is batched together where training is."""

    def upcoming(self, progress: Progress) -> Sequence[Group]:
        """The batches of the next update and, where they are known, those of the one after it."""

    def advance(self, progress: Progress) -> None:
        """Note that an update was made."""

    def describe(self) -> str:
        """What there is, in words."""

    def close(self) -> None:
        """Be done, for now or for ever."""


def build_source(section: recipe.Training, train: EncodedCorpus | Stream, seed: int) -> Source:
    """What gives batches of a corpus or a stream."""
    if isinstance(train, Stream):
        return StreamSource(section, train, seed)
    return CorpusSource(section, train, seed)


class CorpusSource:
    """Each epoch has all pairs of a corpus, or what its mixture draws.

    Args:
        section: sizes of batches.
        corpus: the pairs.
        seed: of their order.
    """

    def __init__(self, section: recipe.Training, corpus: EncodedCorpus, seed: int) -> None:
        self.corpus = corpus
        self.sampler = _build_sampler(section, corpus, seed)
        self._accumulate = section.accumulate
        self._last: Portion | None = None
        self.updates_per_epoch = math.ceil(len(self.sampler.batches(0)) / section.accumulate)
        self.longest_src = _longest_src(corpus)

    def portion(self, progress: Progress) -> Portion:
        """See `Source`."""
        epoch = progress.epoch
        if self._last is None or self._last.number != epoch:
            self._last = Portion(self.corpus, self.sampler, epoch, epoch, self._accumulate)
        return self._last

    def upcoming(self, progress: Progress) -> Sequence[Group]:
        """See `Source`."""
        return self.portion(progress).groups[progress.position : progress.position + 2]

    def advance(self, progress: Progress) -> None:
        """See `Source`."""
        progress.position += 1
        if progress.position == len(self.portion(progress).groups):
            progress.epoch, progress.position = progress.epoch + 1, 0

    def describe(self) -> str:
        """See `Source`."""
        return f"{len(self.corpus):,} pairs"

    def close(self) -> None:
        """See `Source`."""


class StreamSource:
    """Chunks of a stream one after the other; an epoch is a number of updates.

    Args:
        section: sizes of batches and of an epoch.
        stream: the pairs.
        seed: of their order within a chunk.
    """

    def __init__(self, section: recipe.Training, stream: Stream, seed: int) -> None:
        assert section.updates_per_epoch is not None
        self.updates_per_epoch = section.updates_per_epoch
        self.longest_src = _longest_src(stream.head)
        self._section = section
        self._stream = stream
        self._seed = seed
        self._last: tuple[Chunk, Portion] | None = None

    def portion(self, progress: Progress) -> Portion:
        """See `Source`."""
        return self._at(progress)[1]

    def _at(self, progress: Progress) -> tuple[Chunk, Portion]:
        place = self._stream.start if progress.chunk is None else progress.chunk
        if self._last is None or self._last[0].place != place:
            self._last = None  # so that there are two chunks at most
            chunk = self._stream.chunk(place)
            sampler = _build_sampler(self._section, chunk.corpus, self._seed)
            accumulate = self._section.accumulate
            numbers = chunk.number, chunk.turn
            self._last = chunk, Portion(chunk.corpus, sampler, *numbers, accumulate)
        return self._last

    def upcoming(self, progress: Progress) -> Sequence[Group]:
        """See `Source`."""
        done = progress.chunk_position
        return self.portion(progress).groups[done : done + 2]

    def advance(self, progress: Progress) -> None:
        """See `Source`."""
        chunk, portion = self._at(progress)
        progress.pairs = {"pass": chunk.turn + 1, **chunk.ledger.to_dict()}
        progress.position += 1
        if progress.position == self.updates_per_epoch:
            progress.epoch, progress.position = progress.epoch + 1, 0
        progress.chunk_position += 1
        if progress.chunk_position == len(portion.groups):
            progress.chunk, progress.chunk_position = chunk.after, 0

    def describe(self) -> str:
        """See `Source`."""
        return "a stream of pairs"

    def close(self) -> None:
        """See `Source`."""
        self._last = None
        self._stream.close()


def _longest_src(corpus: EncodedCorpus) -> int:
    return int(corpus.src_lengths.max()) - 1


def _build_sampler(section: recipe.Training, corpus: EncodedCorpus, seed: int) -> Sampler:
    size = section.batch_size, section.batch_type
    return Sampler(corpus.src_lengths, corpus.tgt_lengths, *size, seed, corpus.mixture)
