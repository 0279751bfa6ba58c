"""What a process gets of the batches of an update."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from seq2seq.data.batch import Batch, load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.parallel import World
from seq2seq.training.source import Group

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A process' part of a batch.

    Attributes:
        batch: its pairs, on the device.
        weight: what they count. A process that gets no pair of a batch takes one for 0, so that all
            processes have gradients of the same parameters.
    """

    batch: Batch
    weight: int


class Feed:
    """Loads a process' parts of batches.

    Args:
        world: the processes that share a batch.
        device: where to.
    """

    def __init__(self, world: World, device: torch.device) -> None:
        self.world = world
        self.device = device
        self._ahead: tuple[Group, list[Part]] | None = None

    def load(self, group: Group) -> list[Part]:
        """The parts of an update's batches."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is group:
            return ahead[1]
        return [
            self._part(group.corpus, index, np.broadcast_to(rounds, index.shape))
            for index, rounds in zip(group.batches, group.rounds, strict=True)
        ]

    def load_ahead(self, group: Group) -> None:
        """Load what will be asked for next, while the device is busy."""
        self._ahead = group, self.load(group)

    def _part(self, corpus: EncodedCorpus, index: Ints, rounds: Ints) -> Part:
        costs = corpus.src_lengths[index] + corpus.tgt_lengths[index]
        own = np.flatnonzero(owners(costs, self.world.size) == self.world.rank)
        rows = own if len(own) else np.zeros(1, dtype=np.int64)
        batch = load_batch(corpus, index[rows], rounds[rows])
        return Part(batch.to(self.device), min(1, len(own)))


def owners(costs: npt.NDArray[np.integer], size: int) -> Ints:
    """Which of so many processes gets each row, so that all have about the same cost.

    Each gets rows that follow one another: batches are sorted by length, so each part has less
    padding than the whole, or none if the whole has none.

    Args:
        costs: of the rows, positive.
        size: processes.
    """
    ends = np.cumsum(costs, dtype=np.int64)
    middles: Ints = (2 * ends - costs) * size // (2 * ends[-1])
    return middles
