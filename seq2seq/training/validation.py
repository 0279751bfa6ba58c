"""What a model is worth on the development set."""

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from seq2seq import metrics, recipe
from seq2seq.data.batch import load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.sampler import Sampler
from seq2seq.device import autocast
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import ALONE, World
from seq2seq.training.averaging import Rank
from seq2seq.training.cross_entropy import features_loss

LOWER_IS_BETTER = ("loss", "perplexity", *metrics.LOWER_IS_BETTER)
"""Measures that say how bad a model is."""

BATCH_SIZE = 64


class DevScorer(Protocol):
    """Scores of a model on the raw development set, by name."""

    def __call__(
        self, model: Seq2Seq, num_lines: int | None = None, max_length: int | None = None
    ) -> dict[str, float]:
        """Translate all or the first so many lines, with so many pieces each at most."""


class Validator:
    """Measures models on the development set.

    Args:
        section: settings.
        dev: development pairs, for the loss.
        translate_and_score: `bleu` and the early-stopping metric are among its scores.
        world: the processes that share the pairs.
    """

    def __init__(
        self,
        section: recipe.Training,
        dev: EncodedCorpus,
        translate_and_score: DevScorer,
        world: World = ALONE,
    ) -> None:
        self.section = section
        self.dev = dev
        self.translate_and_score = translate_and_score
        self.world = world
        lengths = dev.src_lengths, dev.tgt_lengths
        self.batches = Sampler(*lengths, BATCH_SIZE, "sentences", seed=0).batches(0)

    def measure(self, model: Seq2Seq) -> tuple[dict[str, float], Rank]:
        """All measures by name, and what ranks the model by the early-stopping metric."""
        model.eval()
        metric, loss = self.section.early_stopping_metric, self.loss(model)
        values = {
            "loss": loss,
            "perplexity": perplexity(loss),
            **self.translate_and_score(model),
        }
        sign = -1 if metric in LOWER_IS_BETTER else 1
        return values, (sign * values[metric], -loss)

    @torch.inference_mode()
    def loss(self, model: Seq2Seq) -> float:
        """Cross-entropy in nats per token."""
        device = next(model.parameters()).device

        def summed(index: npt.NDArray[np.int64]) -> float:
            batch = load_batch(self.dev, index).to(device)
            with autocast(device, self.section.precision):
                decoded = model.decode(batch.tgt_in, model.encode(batch.src, batch.src_lengths))
            return float(features_loss(model, *decoded, batch).cross_entropy)

        return sum(self.world.map(summed, self.batches)) / int(self.dev.tgt_lengths.sum())


def perplexity(loss: float) -> float:
    """Of a cross-entropy in nats per token; finite, whatever the loss."""
    return math.exp(min(loss, 100.0))
