"""What training minimises."""

from typing import Protocol

from torch import Tensor

from seq2seq import recipe
from seq2seq.data.batch import Batch
from seq2seq.device import autocast
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import PAD
from seq2seq.training.loss import Loss, output_loss
from seq2seq.training.progress import Progress


class Objective(Protocol):
    """A sum over the examples of a batch, to be minimised."""

    def size(self, batch: Batch) -> int:
        """What the sum is to be divided by for a mean."""

    def __call__(self, model: Seq2Seq, batch: Batch, progress: Progress) -> Loss:
        """The sum for a batch on the model's device; `progress` says where training is."""


class CrossEntropy:
    """Negative log-likelihood of the references, each token after the reference up to it."""

    def __init__(self, section: recipe.Training) -> None:
        self.section = section

    def size(self, batch: Batch) -> int:
        """Target tokens."""
        return batch.num_tokens

    def __call__(self, model: Seq2Seq, batch: Batch, progress: Progress) -> Loss:
        """See `Objective`."""
        with autocast(batch.src.device, self.section.precision):
            features = model(batch.src, batch.src_lengths, batch.tgt_in)
        return features_loss(model, features, batch, self.section.label_smoothing)


def features_loss(
    model: Seq2Seq, features: Tensor, batch: Batch, label_smoothing: float = 0.0
) -> Loss:
    """Loss of features (B, T, R) for what follows at the real positions of a batch."""
    real = (batch.tgt_out != PAD).flatten().nonzero().squeeze(1)
    return output_loss(
        model.output,
        features.flatten(0, 1).index_select(0, real),
        batch.tgt_out.flatten().index_select(0, real),
        label_smoothing,
    )
