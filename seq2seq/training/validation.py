"""What a model is worth on the development set."""

import math
from collections.abc import Callable

import torch

from seq2seq import recipe
from seq2seq.data.batch import load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.sampler import Sampler
from seq2seq.device import autocast
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.training.averaging import Rank
from seq2seq.training.cross_entropy import features_loss
from seq2seq.training.diagnosis import SourceUse

LOWER_IS_BETTER = ("loss", "perplexity", "ter")
"""Measures that say how bad a model is."""

BATCH_SIZE = 64


class Validator:
    """Measures models on the development set.

    Args:
        section: settings.
        dev: development pairs, for the loss.
        translate_and_score: scores of a model on the raw development set, by name; `bleu` and the
            early-stopping metric are among them.
    """

    def __init__(
        self,
        section: recipe.Training,
        dev: EncodedCorpus,
        translate_and_score: Callable[[Seq2Seq], dict[str, float]],
    ) -> None:
        self.section = section
        self.dev = dev
        self.translate_and_score = translate_and_score
        lengths = dev.src_lengths, dev.tgt_lengths
        self.batches = Sampler(*lengths, BATCH_SIZE, "sentences", seed=0).batches(0)

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
        """The same as `loss`, and what `SourceUse` measures of some batches on the way.

        A loss that is no number is infinite here, so that any other is better.
        """
        device = next(model.parameters()).device
        total, tokens, use = 0.0, 0, SourceUse(model, self.section.precision, len(self.dev))
        for index in self.batches:
            batch = load_batch(self.dev, index).to(device)
            with autocast(device, self.section.precision):
                start = model.encode(batch.src, batch.src_lengths)
                features, end = model.decode(batch.tgt_in, start)
            loss = float(features_loss(model, features, end, batch).cross_entropy)
            if not use.has_enough:
                use.add(batch, start, end, loss)
            total += loss
            tokens += batch.num_tokens
        return {"loss": math.inf if math.isnan(total) else total / tokens, **use.measures()}


def perplexity(loss: float) -> float:
    """Of a cross-entropy in nats per token; finite, whatever the loss."""
    return math.exp(min(loss, 100.0))
