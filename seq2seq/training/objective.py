"""What training minimises."""

from collections.abc import Callable
from typing import Protocol

from seq2seq import recipe
from seq2seq.data.batch import Batch
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.training.cross_entropy import CrossEntropy
from seq2seq.training.loss import Loss
from seq2seq.training.minimum_risk import MinimumRisk, SentenceScores
from seq2seq.training.progress import Progress


class Objective(Protocol):
    """A sum over the examples of a batch, to be minimised."""

    def size(self, batch: Batch) -> int:
        """What the sum is to be divided by for a mean."""

    def __call__(self, model: Seq2Seq, batch: Batch, progress: Progress) -> Loss:
        """The sum for a batch on the model's device; `progress` says where training is."""


OBJECTIVES: dict[str, Callable[[recipe.Training, int, SentenceScores], Objective]] = {
    "cross_entropy": lambda section, seed, _: CrossEntropy(section, seed),
    "minimum_risk": MinimumRisk,
}
