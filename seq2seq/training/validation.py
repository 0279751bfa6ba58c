"""What a model is worth on the development set."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from seq2seq import recipe
from seq2seq.data.batch import load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.sampler import Sampler
from seq2seq.device import autocast, rows_within_memory
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import ALONE, World
from seq2seq.scoring import metrics
from seq2seq.training.averaging import Rank
from seq2seq.training.cross_entropy import features_loss
from seq2seq.training.diagnosis import NOTHING, count_telling, source_measures, source_use
from seq2seq.training.progress import perplexity

LOWER_IS_BETTER = ("loss", "perplexity", *metrics.LOWER_IS_BETTER)
"""Measures that say how bad a model is."""

BATCH_SIZE = 64

MAX_LINKS = 2**22
"""Pairs of a source and a target position read at a time, padding included. Development pairs may
be of any length, and one of ten thousand words must not make its neighbours as long."""


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
        translate_and_score: `bleu` and the early-stopping metric, if it isn't a loss, are among
            its scores; a language model has none.
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
        batches = Sampler(*lengths, BATCH_SIZE, "sentences", seed=0).batches(0)
        self.batches = [part for batch in batches for part in _cut(batch, *lengths)]

    def measure(self, model: Seq2Seq) -> tuple[dict[str, float], Rank]:
        """All measures by name, and what ranks the model by the early-stopping metric."""
        model.eval()
        metric = self.section.early_stopping_metric
        losses = self.losses(model)
        loss = losses.pop("loss")
        values = {
            "loss": loss,
            "perplexity": perplexity(loss),
            **self.translate_and_score(model),
            **losses,
        }
        sign = -1 if metric in LOWER_IS_BETTER else 1
        return values, (sign * values[metric], -loss)

    def loss(self, model: Seq2Seq) -> float:
        """Cross-entropy in nats per token."""
        return self.losses(model)["loss"]

    @torch.inference_mode()
    def losses(self, model: Seq2Seq) -> dict[str, float]:
        """The same as `loss`, and what `source_use` finds in some batches on the way.

        A loss that is no number is infinite here, so that any other is better.
        """
        device = next(model.parameters()).device
        sizes = [len(index) for index in self.batches]
        telling = count_telling(sizes) if model.reads_source else 0

        def measured(index: npt.NDArray[np.int64], is_telling: bool) -> tuple[float, ...]:
            batch = load_batch(self.dev, index).to(device)
            with autocast(device, self.section.precision):
                start = model.encode(batch.src_in, batch.src_lengths, batch.src)
                features, end = model.decode(batch.tgt_in, start)
            loss = float(features_loss(model, features, end, batch).cross_entropy)
            if not is_telling:
                return loss, *NOTHING
            return loss, *source_use(model, self.section.precision, batch, start, end, loss)

        def summed(place: int) -> list[float]:
            parts = rows_within_memory(
                lambda index: measured(index, place < telling),
                self.batches[place],
                device,
                warning="data.dev: memory ran out in validation; batches are split in two where it "
                "does, which takes time; leave very long pairs out",
                refusal=self._refusal,
            )
            return [sum(values) for values in zip(*parts, strict=True)]

        results = self.world.map(summed, range(len(self.batches)))
        total, *use = map(sum, zip(*results, strict=True))
        loss = math.inf if math.isnan(total) else total / int(self.dev.tgt_lengths.sum())
        return {"loss": loss, **source_measures(*use)}

    def _refusal(self, index: npt.NDArray[np.int64]) -> str:
        src, tgt = int(self.dev.src_lengths[index].max()), int(self.dev.tgt_lengths[index].max())
        return (
            f"data.dev: there is no memory for pair {self.dev.line(int(index[0])) + 1:,}, of "
            f"{src:,} source and {tgt:,} target tokens; leave it out, or lower the sizes under "
            "model"
        )


def _cut(
    batch: npt.NDArray[np.int64],
    src_lengths: npt.NDArray[np.integer],
    tgt_lengths: npt.NDArray[np.integer],
) -> Iterator[npt.NDArray[np.int64]]:
    """Parts of a batch that aren't beyond `MAX_LINKS`, unless a single pair is."""
    src, tgt = src_lengths[batch].tolist(), tgt_lengths[batch].tolist()
    start = 0
    for end in range(1, len(batch) + 1):
        if (
            end - start > 1
            and (end - start) * max(src[start:end]) * max(tgt[start:end]) > MAX_LINKS
        ):
            yield batch[start : end - 1]
            start = end - 1
    yield batch[start:]
