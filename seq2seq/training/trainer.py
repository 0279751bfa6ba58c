"""The training loop."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seq2seq import checkpoint as checkpoints
from seq2seq import recipe
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.batch import Batch, load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.sampler import Sampler
from seq2seq.device import autocast
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.run import Run
from seq2seq.special import PAD
from seq2seq.training.log import MetricsLog, progress_line, validation_line
from seq2seq.training.loss import Loss, output_loss
from seq2seq.training.optim import (
    Plateau,
    build_average,
    build_optimizer,
    clip_gradients,
    learning_rate,
)
from seq2seq.training.pointer_loss import pointer_loss

logger = logging.getLogger(__name__)

Status = Literal["finished", "interrupted"]
Group = Sequence[npt.NDArray[np.int64]]
"""Batches of one update."""


@dataclass
class Progress:
    """Where training is; with the tensors all that a resumed run needs.

    Attributes:
        epoch: passes over the data that are complete.
        position: updates made in this pass.
        update: updates made in all.
        seconds: spent in training, validations included, over all starts of the run.
        best: best value of the early-stopping metric so far.
        best_loss: loss on the development set at that time.
        best_update: when that was.
        bad_validations: validations since then.
        validated: update of the last validation.
        plateau: memory of the `plateau` schedule.
        finished: whether training is over.
    """

    epoch: int = 0
    position: int = 0
    update: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_loss: float = math.inf
    best_update: int = 0
    bad_validations: int = 0
    validated: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    finished: bool = False


@dataclass
class Tally:
    """Sums over the updates since the last record of `metrics.jsonl`."""

    objective: float = 0.0
    cross_entropy: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


class Trainer:
    """Trains a model until the recipe's limits, its patience or a stop signal.

    Args:
        section: settings.
        model: on its device.
        train: training pairs.
        dev: development pairs, for the loss.
        translate_and_score: BLEU of a model on the raw development set.
        run: where checkpoints and records go.
        seed: of batches, dropout and everything else random.
        data_key: names the content of data and tokenizers; a run continues only on the same.
    """

    def __init__(
        self,
        section: recipe.Training,
        model: Seq2Seq,
        train: EncodedCorpus,
        dev: EncodedCorpus,
        translate_and_score: Callable[[Seq2Seq], float],
        run: Run,
        seed: int,
        data_key: str = "",
    ) -> None:
        self.section = section
        self.model = model
        self.average = build_average(model, section.ema_decay) if section.ema_decay else None
        self.train = train
        self.dev = dev
        self.translate_and_score = translate_and_score
        self.run = run
        self.data_key = data_key
        self.device = next(model.parameters()).device
        self.sampler = _sampler(train, section.batch_size, section.batch_type, seed)
        self.optimizer = build_optimizer(section, model.parameters())
        self.log = MetricsLog(run.metrics_file)
        self.progress = Progress()
        self.tally = Tally()
        self.updates_per_epoch = math.ceil(len(self.sampler.batches(0)) / section.accumulate)
        torch.manual_seed(seed)

    def fit(self, stop: Callable[[], bool]) -> Status:
        """Train to the end, or until `stop` says so after an update; the state is saved then."""
        progress = self.progress
        while not progress.finished:
            groups = self._groups(progress.epoch)
            for group in groups[progress.position :]:
                self._update(group)
                progress.position += 1
                if progress.position == len(groups):
                    progress.epoch, progress.position = progress.epoch + 1, 0
                self._after_update()
                if progress.finished:
                    break
                if stop():
                    self.save()
                    return "interrupted"
        return "finished"

    def _groups(self, epoch: int) -> list[Group]:
        batches, size = self.sampler.batches(epoch), self.section.accumulate
        return [batches[i : i + size] for i in range(0, len(batches), size)]

    def _update(self, group: Group) -> None:
        """One update of the weights from the batches of a group, as if they were one batch."""
        started = time.monotonic()
        progress = self.progress
        self.model.train()
        batches = [load_batch(self.train, index, progress.epoch) for index in group]
        tokens = sum(batch.num_tokens for batch in batches)
        rate = learning_rate(
            self.section, progress.update + 1, progress.epoch, self._done(), progress.plateau
        )
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(2)
        for batch in batches:
            loss = self._loss(self.model, batch, self.section.label_smoothing)
            (loss.objective / tokens).backward()  # type: ignore[no-untyped-call]
            sums += torch.stack((loss.objective.detach(), loss.cross_entropy)).cpu()
        clip_gradients(self.section, self.model.parameters())
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        progress.update += 1
        objective, cross_entropy = sums.tolist()
        if not math.isfinite(objective):
            raise RunError(
                f"update {progress.update}: the loss is {objective}; lower "
                "training.learning_rate, or set training.clip_grad_norm"
            )
        elapsed = time.monotonic() - started
        progress.seconds += elapsed
        self.tally.objective += objective
        self.tally.cross_entropy += cross_entropy
        self.tally.tokens += tokens
        self.tally.seconds += elapsed

    def _loss(self, model: Seq2Seq, batch: Batch, label_smoothing: float = 0.0) -> Loss:
        batch = batch.to(self.device)
        with autocast(self.device, self.section.precision):
            features, state = model.decode(batch.tgt_in, model.encode(batch.src, batch.src_lengths))
        real = (batch.tgt_out != PAD).flatten().nonzero().squeeze(1)
        chosen = features.flatten(0, 1).index_select(0, real)
        targets = batch.tgt_out.flatten().index_select(0, real)
        if model.copying is None:
            return output_loss(model.output, chosen, targets, label_smoothing)
        assert state.weights is not None
        parts = model.copying.score(features, state.weights, batch.src, batch.tgt_out)
        generate, copied = (part.flatten().index_select(0, real) for part in parts)
        return pointer_loss(model.output, chosen, targets, generate, copied, label_smoothing)

    def _done(self) -> float:
        """Share of training that is over, by the limit that will be reached first."""
        section, progress = self.section, self.progress
        shares = [progress.update / (section.max_epochs * self.updates_per_epoch)]
        if section.max_updates:
            shares.append(progress.update / section.max_updates)
        if section.max_minutes:
            shares.append(progress.seconds / (60 * section.max_minutes))
        return max(shares)

    def _is_over(self) -> bool:
        section, progress = self.section, self.progress
        patience = section.early_stopping_patience
        return (
            progress.epoch >= section.max_epochs
            or (section.max_updates is not None and progress.update >= section.max_updates)
            or (section.max_minutes is not None and progress.seconds >= 60 * section.max_minutes)
            or (patience > 0 and progress.bad_validations >= patience)
        )

    def _after_update(self) -> None:
        """Record, validate and save where it is time to."""
        section, progress = self.section, self.progress
        if progress.update % section.log_every == 0:
            self._record()
        every = section.validate_every
        due = progress.position == 0 if every is None else progress.update % every == 0
        over = self._is_over()
        if due or (over and progress.validated < progress.update):
            self._validate()
            progress.finished = self._is_over()
            self.save()
        elif section.save_every and progress.update % section.save_every == 0:
            self.save()

    def _record(self) -> None:
        progress, tally = self.progress, self.tally
        done = min(self._done(), 1.0)
        record = {
            "kind": "train",
            "update": progress.update,
            "epoch": progress.epoch + 1,
            "minutes": round(progress.seconds / 60, 3),
            "done": done,
            "loss": tally.objective / tally.tokens,
            "perplexity": _perplexity(tally.cross_entropy / tally.tokens),
            "tokens_per_second": tally.tokens / tally.seconds,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "eta_seconds": progress.seconds * (1 / done - 1),
        }
        self.log.write(record)
        logger.info(progress_line(record), extra={"progress": True})
        self.tally = Tally()

    def _validate(self) -> None:
        started = time.monotonic()
        progress, metric = self.progress, self.section.early_stopping_metric
        model = self.inference_model
        model.eval()
        loss = self._dev_loss(model)
        values = {
            "loss": loss,
            "perplexity": _perplexity(loss),
            "bleu": self.translate_and_score(model),
        }
        value = values[metric] if metric == "bleu" else -values[metric]
        # Equal BLEU, as on a small development set that is solved: the lower loss is better.
        is_best = progress.best is None or (value, -loss) > (progress.best, -progress.best_loss)
        progress.validated = progress.update
        progress.bad_validations = 0 if is_best else progress.bad_validations + 1
        progress.plateau.validated(self.section, is_best)
        progress.seconds += time.monotonic() - started
        record = {
            "kind": "validation",
            "update": progress.update,
            "epoch": progress.epoch + (progress.position > 0),
            "minutes": round(progress.seconds / 60, 3),
            **values,
        }
        if is_best:
            progress.best, progress.best_loss = value, loss
            progress.best_update = progress.update
            weights = checkpoints.weights_of(model)
            checkpoints.save(self.run.checkpoint("best"), Checkpoint(weights, record))
        self.log.write(record)
        logger.info(validation_line(record, is_best))

    @property
    def inference_model(self) -> Seq2Seq:
        """The weights to translate with: the average, if one is kept."""
        model = self.model if self.average is None else self.average.module
        assert isinstance(model, Seq2Seq)
        return model

    @torch.inference_mode()
    def _dev_loss(self, model: Seq2Seq) -> float:
        """Cross-entropy of the development set in nats per token."""
        total, tokens = 0.0, 0
        for index in _sampler(self.dev, 64, "sentences", 0).batches(0):
            batch = load_batch(self.dev, index)
            total += float(self._loss(model, batch).cross_entropy)
            tokens += batch.num_tokens
        return total / tokens

    def save(self) -> None:
        """Save everything that `resume` needs."""
        tensors = checkpoints.weights_of(self.model)
        if self.average is not None:
            tensors |= checkpoints.weights_of(self.inference_model, "average")
            tensors["averaged"] = self.average.n_averaged
        tensors |= checkpoints.optimizer_tensors(self.optimizer)
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        values: dict[str, Any] = {
            "progress": asdict(self.progress),
            "tally": asdict(self.tally),
            "data_key": self.data_key,
        }
        path = self.run.checkpoint("last")
        checkpoints.save(path, Checkpoint(tensors, values), keep_previous=True)

    def resume(self) -> bool:
        """Go back to the last checkpoint, if there is one; whether there was.

        Raises:
            RunError: it was made on other data.
        """
        saved = checkpoints.load_last(self.run.checkpoint("last"))
        if saved is None:
            self.log.truncate(-1)
            return False
        if saved.values["data_key"] != self.data_key:
            raise RunError(
                f"{self.run.path}: the data or the tokenizer have changed since this run was "
                "trained; give another output_dir to train anew"
            )
        checkpoints.load_weights(self.model, saved.part("model"))
        if self.average is not None:
            checkpoints.load_weights(self.average.module, saved.part("average"))
            self.average.n_averaged.copy_(saved.tensors["averaged"])
        checkpoints.load_optimizer(self.optimizer, saved.part("optimizer"))
        torch.set_rng_state(saved.tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in saved.tensors:
            torch.cuda.set_rng_state(saved.tensors["random.cuda"], self.device)
        progress = dict(saved.values["progress"])
        self.progress = Progress(**progress | {"plateau": Plateau(**progress["plateau"])})
        self.tally = Tally(**saved.values["tally"])
        self.log.truncate(self.progress.update)
        return True


def _sampler(corpus: EncodedCorpus, size: int, kind: Any, seed: int) -> Sampler:
    return Sampler(corpus.src_lengths, corpus.tgt_lengths, size, kind, seed)


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 100.0))


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
