"""Where training is, in plain numbers: with the learner's tensors all that a resumed run needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seq2seq import recipe
from seq2seq.training.optim import Plateau


@dataclass
class Progress:
    """Where training is.

    Attributes:
        epoch: epochs that are complete: passes over the data, or so many updates of a stream.
        position: updates made in this one.
        chunk: place in the stream where the chunk begins that is in use; None for the first.
        chunk_position: updates made from this chunk.
        pairs: what became of the pairs of a stream up to the end of the chunk in use, in its pass.
        update: updates made in all.
        seconds: spent in training, validations included, over all starts of the run.
        best: value of the early-stopping metric of the best checkpoint, which may be an average.
        best_loss: its loss on the development set.
        best_update: of the last validation that gave the best checkpoint.
        reached: best value of the metric in a validation so far, averages aside.
        reached_loss: loss on the development set at that time.
        judged_by: keys of the recipe that scores in training depend on, besides those of
            `training`, with their values.
        bad_validations: validations since then, which patience goes by.
        validated: update of the last validation.
        plateau: memory of the `plateau` schedule.
        loss_mean: running mean of the cross-entropy of updates, nats per token.
        batch_mean: running mean of their target tokens.
        spikes: updates in a row whose cross-entropy was far above the mean.
        good: update of the last good state, see `setback`.
        setbacks: times in a row that a loss or gradient was not finite.
        rate_factor: what the learning rate was lowered by for that.
        alarms: what is off and has been told.
        finished: whether training is over.
    """

    epoch: int = 0
    position: int = 0
    chunk: dict[str, Any] | None = None
    chunk_position: int = 0
    pairs: dict[str, int] | None = None
    update: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_loss: float = math.inf
    best_update: int = 0
    reached: float | None = None
    reached_loss: float = math.inf
    judged_by: dict[str, Any] = field(default_factory=dict)
    bad_validations: int = 0
    validated: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    loss_mean: float = math.inf
    batch_mean: float = 0.0
    spikes: int = 0
    good: int = 0
    setbacks: int = 0
    rate_factor: float = 1.0
    alarms: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def current_epoch(self) -> int:
        """Number of the epoch, from 1, that the last update belongs to."""
        return self.epoch + (self.position > 0)

    def record(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """A record of `metrics.jsonl` about this place in training."""
        return {
            "kind": kind,
            "update": self.update,
            "epoch": self.current_epoch,
            "minutes": round(self.seconds / 60, 3),
            **values,
            **({} if self.pairs is None else {"pairs": self.pairs}),
        }


@dataclass
class Tally:
    """Sums over the updates since the last record of `metrics.jsonl`.

    Attributes:
        objective: what was minimised.
        size: what that is divided by for a mean, see `Objective.size`.
        cross_entropy: negative log-likelihood of the references, nats.
        highest: the highest of an update, per token; shows what a mean hides.
        tokens: target tokens.
        positions: source and target positions of the batches, padding included.
        real: those that aren't padding.
        seconds: time.
        loading: part of it that was waiting for batches.
        splits: batches that were split for want of memory, their parts too.
    """

    objective: float = 0.0
    size: int = 0
    cross_entropy: float = 0.0
    highest: float = 0.0
    tokens: int = 0
    positions: int = 0
    real: int = 0
    seconds: float = 0.0
    loading: float = 0.0
    splits: int = 0

    def means(self) -> dict[str, float]:
        """What a record tells of them; there is an update at least."""
        return {
            "loss": self.objective / self.size,
            "highest_loss": self.highest,
            "perplexity": perplexity(self.cross_entropy / self.tokens),
            "tokens_per_second": self.tokens / self.seconds,
            "padding": 1 - self.real / self.positions,
            "loader_wait": self.loading / self.seconds,
            "splits": self.splits,
        }


def perplexity(loss: float) -> float:
    """Of a cross-entropy in nats per token; finite, whatever the loss."""
    return math.exp(min(loss, 100.0))


def share_done(section: recipe.Training, progress: Progress, updates_per_epoch: int) -> float:
    """Share of training that is over, by the limit that will be reached first."""
    shares = [progress.update / (section.max_epochs * updates_per_epoch)]
    if section.max_updates:
        shares.append(progress.update / section.max_updates)
    if section.max_minutes:
        shares.append(progress.seconds / (60 * section.max_minutes))
    return max(shares)


def reached_limits(section: recipe.Training, progress: Progress) -> list[str]:
    """The keys of `training` whose limits are reached; training is over when there are any."""
    so_far = {
        "max_epochs": progress.epoch,
        "max_updates": progress.update,
        "max_minutes": progress.seconds / 60,
        "early_stopping_patience": progress.bad_validations,
    }
    # No patience is for ever.
    limits = {key: getattr(section, key) or math.inf for key in so_far}
    return [key for key, limit in limits.items() if so_far[key] >= limit]
