"""A state of training, and how it is saved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from seq2seq.checkpoint import Checkpoint
from seq2seq.training.optim import Plateau
from seq2seq.training.progress import Progress, Tally


@dataclass(frozen=True)
class State:
    """All that training goes on from.

    Attributes:
        tensors: of the learner.
        progress: where training is.
        tally: of the updates since the last record.
    """

    tensors: dict[str, Tensor]
    progress: Progress
    tally: Tally

    def pack(self, values: Mapping[str, Any]) -> Checkpoint:
        """A checkpoint of it, with some more values."""
        own = {"progress": asdict(self.progress), "tally": asdict(self.tally)}
        return Checkpoint(self.tensors, {**own, **values})

    @classmethod
    def unpack(cls, saved: Checkpoint) -> "State":
        """The state of a checkpoint."""
        progress = dict(saved.values["progress"])
        # Earlier versions took averages for what had been reached.
        progress = {"reached": progress["best"], "reached_loss": progress["best_loss"]} | progress
        plateau = Plateau(**progress["plateau"])
        return cls(
            saved.tensors,
            Progress(**progress | {"plateau": plateau}),
            Tally(**saved.values["tally"]),
        )
