"""The training loop."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch

from seq2seq import checkpoint as checkpoints
from seq2seq import recipe
from seq2seq.checkpoint import Checkpoint
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import ALONE, World
from seq2seq.run import LONGEST_SRC, Run
from seq2seq.training import alarms, averaging
from seq2seq.training.backward import sum_gradients
from seq2seq.training.feed import Feed, Part
from seq2seq.training.gradients import by_part, gradient_norm
from seq2seq.training.learner import Learner
from seq2seq.training.log import MetricsLog, progress_line, split_line, validation_line
from seq2seq.training.objective import Objective
from seq2seq.training.optim import learning_rate
from seq2seq.training.progress import Progress, Tally, reached_limits, share_done
from seq2seq.training.seeding import seed_update
from seq2seq.training.setback import KEEP_EVERY, LastGood, describe_failure
from seq2seq.training.source import Group, Source
from seq2seq.training.state import State
from seq2seq.training.validation import Validator

logger = logging.getLogger(__name__)

Status = Literal["finished", "interrupted"]


class Trainer:
    """Trains a model until the recipe's limits, its patience or a stop signal.

    Args:
        section: settings.
        model: on its device.
        source: gives batches of training pairs.
        objective: what to minimise.
        validator: measures models on the development set.
        run: where checkpoints and records go.
        seed: of batches, dropout and everything else random.
        data_key: names the content of data and tokenizers; a run continues only on the same.
        world: the processes that train together.
        longest_src: pieces of the longest source that the first weights have been trained on.
    """

    def __init__(
        self,
        section: recipe.Training,
        model: Seq2Seq,
        source: Source,
        objective: Objective,
        validator: Validator,
        run: Run,
        seed: int,
        data_key: str = "",
        world: World = ALONE,
        longest_src: int = 0,
    ) -> None:
        self.section = section
        self.model = model
        self.world = world
        self.learner = Learner(section, model, world)
        self.objective = objective
        self.validator = validator
        self.run = run
        self.seed = seed
        self.data_key = data_key
        self.device = self.learner.device
        self.source = source
        self.longest_src = max(longest_src, source.longest_src)
        self.feed = Feed(world, self.device)
        self.log = MetricsLog(run.metrics_file)
        self.progress = Progress()
        self.tally = Tally()
        self.stop: Callable[[], bool] = lambda: False
        self.stopping = False
        self.is_saved = False
        self.good = LastGood(self.learner)
        self.norms: dict[str, Any] = {}
        self._stepping = 0.0
        self._parts = by_part(model)

    def fit(self, stop: Callable[[], bool]) -> Status:
        """Train to the end, or until `stop` says so after an update; the state is saved then.

        It is enough that it says so in one of the processes.
        """
        progress, self.stop = self.progress, stop
        if self.good.update is None:
            self.good.keep(progress, self.tally)
        if progress.update:
            self._validate_if_due()  # a run that was killed there, or has other limits now
        while not progress.finished:
            if not self._update(*self.source.upcoming(progress)):
                continue  # back at an earlier place
            self.source.advance(progress)
            self._after_update()
            if self.stopping and not progress.finished:
                self.save()
                return "interrupted"
        return "finished"

    def _update(self, group: Group, following: Group | None = None) -> bool:
        """One update of the weights from the batches of a group, as if they were one batch.

        The processes share each batch; `following` is what the next update will be made from.

        Returns:
            Whether it was made; if not, training is back at its last good state.
        """
        started = time.monotonic()
        progress, world = self.progress, self.world
        parts = self.feed.load(group)
        loading = time.monotonic() - started
        size, tokens = self._count(parts)
        update, epoch = progress.update + 1, progress.epoch
        rate = learning_rate(self.section, update, epoch, self.done, progress.plateau)
        rate *= progress.rate_factor
        seed_update(self.seed, progress.update + 1, world.rank)
        sums, splits = sum_gradients(self.learner, self.objective, parts, size, progress)
        norm = self.learner.collect()
        tracked = self._parts if (progress.update + 1) % self.section.log_every == 0 else {}
        norms = torch.stack((norm, *(gradient_norm(part) for part in tracked.values())))
        if following is not None:
            self.feed.load_ahead(following)
        # The only wait for the device in an update. All that the processes have to agree on goes
        # with it; the norms are the same in each of them.
        totals = torch.cat((sums, norms)).tolist()
        elapsed = time.monotonic() - started + self._stepping
        times = loading * world.is_first, elapsed * world.is_first
        progress.update += 1
        own = [*totals[:2], self.stop(), splits, *times]
        objective, cross_entropy, stops, split, loading, elapsed = world.total(own)
        self.stopping = stops > 0
        progress.seconds += elapsed
        if not (math.isfinite(objective) and self.learner.can_step(totals[2])):
            progress.update -= 1
            self._set_back(group, parts, objective / size, rate)
            return False
        computed = time.monotonic()
        self.learner.step(rate, norm)
        self._stepping = time.monotonic() - computed
        self.norms = {
            "gradient_norm": totals[2],
            "gradient_norms": dict(zip(tracked, totals[3:], strict=True)),
        }
        self.tally.objective += objective
        self.tally.cross_entropy += cross_entropy
        self.tally.seconds += elapsed
        self.tally.loading += loading
        self.tally.splits += int(split)
        self.tally.highest = max(self.tally.highest, cross_entropy / tokens)
        if advice := alarms.watch_loss(progress, cross_entropy / tokens, tokens):
            self._tell(progress.update, {alarms.SPIKE: advice})
        return True

    def _count(self, parts: Sequence[Part]) -> tuple[int, int]:
        """Enter the parts of all processes in the tally.

        Returns:
            What the objective is to be divided by, and target tokens.
        """
        counts = [0, 0, 0, 0]
        for part in parts:
            batch = part.batch
            positions = batch.src.numel() + batch.tgt_out.numel()
            real = int(batch.src_lengths.sum()) + batch.num_tokens
            own = self.objective.size(batch), batch.num_tokens, positions, real
            counts = [count + part.weight * one for count, one in zip(counts, own, strict=True)]
        size, tokens, positions, real = map(int, self.world.total(counts))
        tally = self.tally
        tally.size += size
        tally.tokens += tokens
        tally.positions += positions
        tally.real += real
        return size, tokens

    def _set_back(self, group: Group, parts: Sequence[Part], loss: float, rate: float) -> None:
        """Go back to the last good state, since an update failed."""
        progress, batches = self.progress, [part.batch for part in parts]
        failed = progress.update + 1
        failure = describe_failure(self.learner, batches, group.corpus, rate, loss)
        text = self.good.set_back(progress, self.tally, failure)
        # With the first update at the lower rate, since who resumes after that has that rate.
        self._tell(progress.update + 1, {alarms.NOT_FINITE: text}, failed)

    def _tell(self, update: int, found: Mapping[str, str], failed: int | None = None) -> None:
        self.world.once(alarms.tell, self.log, update, found, failed)

    def _after_update(self) -> None:
        """Record, validate and save where it is time to."""
        section, progress = self.section, self.progress
        if progress.update % section.log_every == 0:
            self._record()
        if self._validate_if_due():
            return
        is_save = section.save_every is not None and progress.update % section.save_every == 0
        if is_save or progress.update % KEEP_EVERY == 0:
            self.good.keep(progress, self.tally)
        if is_save:
            self.save()

    def _validate_if_due(self) -> bool:
        """Validate and save where it is time to, and see whether training is over."""
        section, progress = self.section, self.progress
        every = section.validate_every
        due = progress.position == 0 if every is None else progress.update % every == 0
        new = progress.validated < progress.update
        if not (due and new) and not reached_limits(section, progress):
            return False
        if not self.is_saved:
            self.save()  # so that `best` never stands alone
        if new:
            self._validate()
        progress.finished = bool(reached_limits(section, progress))
        if progress.finished:
            for kind, count in averaging.kept_counts(section).items():
                if kind == "last" or section.average_best:
                    self.average(kind, count)
        self.good.keep(progress, self.tally)
        self.save()
        return True

    def _record(self) -> None:
        progress, tally = self.progress, self.tally
        done = min(self.done, 1.0)
        record = {
            "kind": "train",
            "update": progress.update,
            "epoch": progress.current_epoch,
            "minutes": round(progress.seconds / 60, 3),
            "done": done,
            **tally.means(),
            "learning_rate": self.learner.optimizer.param_groups[0]["lr"],
            **self.norms,
            "eta_seconds": progress.seconds * (1 / done - 1),
        }
        self.world.once(self.log.write, record)
        logger.info(progress_line(record), extra={"progress": True})
        if tally.splits:
            logger.warning(split_line(record))
        self.tally = Tally()
        off = alarms.read_loss(progress.loss_mean, self.model.output.bias.shape[0])
        self._tell(progress.update, alarms.news(progress, off, [alarms.DIVERGED]))

    def _validate(self) -> None:
        started = time.monotonic()
        progress, model = self.progress, self.inference_model
        values, rank = self.validator.measure(model)
        is_best = _is_above(rank, progress.best, progress.best_loss)
        # Not by averages, which are made where training has come to an end: it may go on.
        has_improved = _is_above(rank, progress.reached, progress.reached_loss)
        if has_improved:
            progress.reached, progress.reached_loss = rank[0], -rank[1]
        progress.validated = progress.update
        progress.bad_validations = 0 if has_improved else progress.bad_validations + 1
        falls = progress.plateau.validated(self.section, has_improved)
        progress.seconds += self.world.agree(time.monotonic() - started)
        record = progress.record("validation", values)
        weights = self._weights_of(model, record)
        if counts := averaging.kept_counts(self.section):
            self.world.once(averaging.keep_checkpoint, self.run, counts, weights, rank)
        if is_best:
            progress.best_update = progress.update
            self._save_best(weights, rank)
        self.world.once(self.log.write, record)
        logger.info(validation_line(record, is_best))
        done = 1.0 if reached_limits(self.section, progress) else self.done
        if alarms.is_settled(progress.update, done):
            off = alarms.read_signs(values)
            self._tell(progress.update, alarms.news(progress, off, alarms.SIGNS))
        if falls and self.section.reload_best:
            self.learner.restart(checkpoints.load(self.run.checkpoint("best")))

    def average(self, kind: averaging.Kind, count: int) -> bool:
        """Average the weights of kept checkpoints; if that is better than `best`, it becomes it.

        Returns:
            Whether it is better, by what picks the best checkpoint.
        """
        paths = averaging.choose_kept(self.run, kind, count)
        model = copy.deepcopy(self.inference_model)
        checkpoints.load_weights(model, averaging.mean_weights(paths))
        values, rank = self.validator.measure(model)
        is_best = _is_above(rank, self.progress.best, self.progress.best_loss)
        updates = sorted(checkpoints.load_values(path)["update"] for path in paths)
        record = self.progress.record("average", {**values, "updates": updates})
        if is_best:
            self._save_best(self._weights_of(model, record), rank)
        self.world.once(self.log.write, record)
        line = validation_line(record, is_best)
        logger.info("mean of the %s %d checkpoints:  %s", kind, len(paths), line)
        return is_best

    def _weights_of(self, model: Seq2Seq, record: dict[str, Any]) -> Checkpoint:
        """Weights to translate with."""
        values = {**record, LONGEST_SRC: self.longest_src}
        return Checkpoint(checkpoints.weights_of(model), values)

    def _save_best(self, weights: Checkpoint, rank: averaging.Rank) -> None:
        self.progress.best, self.progress.best_loss = rank[0], -rank[1]
        self.world.once(averaging.save_best, self.run, weights, rank)

    @property
    def done(self) -> float:
        """Share of training that is over."""
        return share_done(self.section, self.progress, self.source.updates_per_epoch)

    @property
    def inference_model(self) -> Seq2Seq:
        """The weights to translate with: the average, if one is kept."""
        return self.learner.inference_model

    def save(self) -> None:
        """Save everything that `resume` needs."""
        state = State(self.learner.tensors(), self.progress, self.tally)
        values = {"data_key": self.data_key, LONGEST_SRC: self.longest_src, **self.learner.values()}
        self.world.once(self.good.save, self.run.checkpoint("last"), state, values)
        self.is_saved = True

    def resume(self) -> bool:
        """Go back to the last checkpoint, if there is one; whether there was.

        Records of what comes after it are dropped.

        Raises:
            RunError: it was made on other data, or is lost where others are left.
        """
        self.world.once(self.run.drop_partial_checkpoints)
        if not self.restore(set_aside=True):
            if self.run.is_trained:
                raise RunError(
                    f"{self.run.checkpoint('last')}: is missing, so training cannot go on; take "
                    "a copy of it back, or give another output_dir to train anew"
                )
            self.world.once(self.log.truncate, -1)
            self.world.copy_weights(self.model.parameters())
            return False
        self.world.once(self.log.truncate, self.progress.update)
        self.is_saved = True
        self._recover_best()
        known = self.run.checkpoint("last"), self.progress, self.tally
        self.world.in_turn(lambda: self.good.recover(*known))
        return True

    def restore(self, *, set_aside: bool = False) -> bool:
        """Go back as `resume` does, but leave the run as it is on disk.

        Except that a damaged checkpoint is renamed, where it is to be `set_aside`.
        """
        last = self.run.checkpoint("last")
        saved = self.world.in_turn(lambda: checkpoints.load_last(last, set_aside=set_aside))
        if saved is None:
            return False
        if saved.values["data_key"] != self.data_key:
            raise RunError(
                f"{self.run.path}: the data, the tokenizer or the first weights have changed since "
                "this run was trained; give another output_dir to train anew"
            )
        self.learner.restore(saved)
        state = State.unpack(saved)
        self.progress, self.tally = state.progress, state.tally
        if not reached_limits(self.section, self.progress):
            self.progress.finished = False
        return True

    def _recover_best(self) -> None:
        """Have the best checkpoint that this state knows, or measure this state if it is lost."""
        progress = self.progress
        if progress.best is None:
            return
        best = progress.best, -progress.best_loss
        rank = self.world.in_turn(lambda: averaging.recover_best(self.run, best))
        if rank is not None:
            progress.best, progress.best_loss = rank[0], -rank[1]
        elif progress.validated == progress.update:
            progress.best = progress.reached = None
            progress.validated, progress.finished = 0, False
        else:
            progress.best = None


def _is_above(rank: averaging.Rank, best: float | None, loss: float) -> bool:
    """Of equal BLEU, as on a small development set that is solved, the lower loss is better."""
    return best is None or rank > (best, -loss)
