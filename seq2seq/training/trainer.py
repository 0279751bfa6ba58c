"""The training loop."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seq2seq import checkpoint as checkpoints
from seq2seq import recipe
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.batch import load_batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.sampler import Sampler
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.run import Run
from seq2seq.training import averaging
from seq2seq.training.learner import Learner
from seq2seq.training.log import MetricsLog, progress_line, validation_line
from seq2seq.training.objective import Objective
from seq2seq.training.optim import Plateau, learning_rate
from seq2seq.training.progress import Progress, Tally
from seq2seq.training.validation import Validator, perplexity

logger = logging.getLogger(__name__)

Status = Literal["finished", "interrupted"]
Group = Sequence[npt.NDArray[np.int64]]
"""Batches of one update."""


class Trainer:
    """Trains a model until the recipe's limits, its patience or a stop signal.

    Args:
        section: settings.
        model: on its device.
        train: training pairs.
        objective: what to minimise.
        validator: measures models on the development set.
        run: where checkpoints and records go.
        seed: of batches, dropout and everything else random.
        data_key: names the content of data and tokenizers; a run continues only on the same.
    """

    def __init__(
        self,
        section: recipe.Training,
        model: Seq2Seq,
        train: EncodedCorpus,
        objective: Objective,
        validator: Validator,
        run: Run,
        seed: int,
        data_key: str = "",
    ) -> None:
        self.section = section
        self.model = model
        self.learner = Learner(section, model)
        self.train = train
        self.objective = objective
        self.validator = validator
        self.run = run
        self.data_key = data_key
        self.device = self.learner.device
        self.sampler = Sampler(
            train.src_lengths,
            train.tgt_lengths,
            section.batch_size,
            section.batch_type,
            seed,
            train.mixture,
        )
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
        size = sum(self.objective.size(batch) for batch in batches)
        rate = learning_rate(
            self.section, progress.update + 1, progress.epoch, self._done(), progress.plateau
        )
        self.model.zero_grad()
        sums = torch.zeros(2, device=self.device)
        for batch in batches:
            loss = self.objective(self.model, batch.to(self.device), progress)
            (loss.objective / size).backward()  # type: ignore[no-untyped-call]
            sums += torch.stack((loss.objective.detach(), loss.cross_entropy))
        self.learner.step(rate)
        progress.update += 1
        objective, cross_entropy = sums.tolist()
        if not math.isfinite(objective):
            raise RunError(
                f"update {progress.update}: the loss is {objective}; lower "
                "training.learning_rate, or set training.clip_grad_norm"
            )
        elapsed = time.monotonic() - started
        progress.seconds += elapsed
        tally = self.tally
        tally.objective += objective
        tally.size += size
        tally.cross_entropy += cross_entropy
        tally.seconds += elapsed
        for batch in batches:
            tally.tokens += batch.num_tokens
            tally.positions += batch.src.numel() + batch.tgt_out.numel()
            tally.real += int(batch.src_lengths.sum()) + batch.num_tokens

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
            if progress.finished and section.average_best:
                self.average_best()
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
            "loss": tally.objective / tally.size,
            "perplexity": perplexity(tally.cross_entropy / tally.tokens),
            "tokens_per_second": tally.tokens / tally.seconds,
            "padding": 1 - tally.real / tally.positions,
            "learning_rate": self.learner.optimizer.param_groups[0]["lr"],
            "eta_seconds": progress.seconds * (1 / done - 1),
        }
        self.log.write(record)
        logger.info(progress_line(record), extra={"progress": True})
        self.tally = Tally()

    def _validate(self) -> None:
        started = time.monotonic()
        progress, model = self.progress, self.inference_model
        values, rank = self.validator.measure(model)
        is_best = self._is_best(rank)
        progress.validated = progress.update
        progress.bad_validations = 0 if is_best else progress.bad_validations + 1
        falls = progress.plateau.validated(self.section, is_best)
        progress.seconds += time.monotonic() - started
        record = self._record_of("validation", values)
        weights = Checkpoint(checkpoints.weights_of(model), record)
        if self.section.keep_best > 1:
            averaging.keep_checkpoint(self.run, self.section.keep_best, weights, rank)
        if is_best:
            progress.best_update = progress.update
            self._save_best(weights, rank)
        self.log.write(record)
        logger.info(validation_line(record, is_best))
        if falls and self.section.reload_best:
            self.learner.restart(checkpoints.load(self.run.checkpoint("best")))

    def average_best(self, limit: int | None = None) -> bool:
        """Average the weights of the best checkpoints; if that is better yet, it becomes `best`.

        Returns:
            Whether it is better, by what picks the best checkpoint; `limit` of None takes all.
        """
        paths = averaging.best_checkpoints(self.run)[:limit]
        model = copy.deepcopy(self.inference_model)
        checkpoints.load_weights(model, averaging.mean_weights(paths))
        values, rank = self.validator.measure(model)
        is_best = self._is_best(rank)
        updates = sorted(checkpoints.load_values(path)["update"] for path in paths)
        record = self._record_of("average", {**values, "updates": updates})
        if is_best:
            self._save_best(Checkpoint(checkpoints.weights_of(model), record), rank)
        self.log.write(record)
        logger.info("mean of %d checkpoints:  %s", len(paths), validation_line(record, is_best))
        return is_best

    def _is_best(self, rank: averaging.Rank) -> bool:
        """Of equal BLEU, as on a small development set that is solved, the lower loss is better."""
        progress = self.progress
        return progress.best is None or rank > (progress.best, -progress.best_loss)

    def _save_best(self, weights: Checkpoint, rank: averaging.Rank) -> None:
        self.progress.best, self.progress.best_loss = rank[0], -rank[1]
        checkpoints.save(self.run.checkpoint("best"), weights)

    def _record_of(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        progress = self.progress
        return {
            "kind": kind,
            "update": progress.update,
            "epoch": progress.epoch + (progress.position > 0),
            "minutes": round(progress.seconds / 60, 3),
            **values,
        }

    @property
    def inference_model(self) -> Seq2Seq:
        """The weights to translate with: the average, if one is kept."""
        return self.learner.inference_model

    def save(self) -> None:
        """Save everything that `resume` needs."""
        values: dict[str, Any] = {
            "progress": asdict(self.progress),
            "tally": asdict(self.tally),
            "data_key": self.data_key,
        }
        path = self.run.checkpoint("last")
        checkpoints.save(path, Checkpoint(self.learner.tensors(), values), keep_previous=True)

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
                f"{self.run.path}: the data, the tokenizer or the first weights have changed since "
                "this run was trained; give another output_dir to train anew"
            )
        self.learner.restore(saved)
        progress = dict(saved.values["progress"])
        self.progress = Progress(**progress | {"plateau": Plateau(**progress["plateau"])})
        self.tally = Tally(**saved.values["tally"])
        self.log.truncate(self.progress.update)
        return True


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
