"""Where training is, in plain numbers: with the learner's tensors all that a resumed run needs."""

import math
from dataclasses import dataclass, field

from seq2seq.training.optim import Plateau


@dataclass
class Progress:
    """Where training is.

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
        loss_mean: running mean of the cross-entropy of updates, nats per token.
        batch_mean: running mean of their target tokens.
        setbacks: times in a row that a loss or gradient was not finite.
        rate_factor: what the learning rate was lowered by for that.
        alarms: what is off and has been told.
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
    loss_mean: float = math.inf
    batch_mean: float = 0.0
    setbacks: int = 0
    rate_factor: float = 1.0
    alarms: list[str] = field(default_factory=list)
    finished: bool = False


@dataclass
class Tally:
    """Sums over the updates since the last record of `metrics.jsonl`.

    Attributes:
        objective: what was minimised.
        size: what that is divided by for a mean, see `Objective.size`.
        cross_entropy: negative log-likelihood of the references, nats.
        tokens: target tokens.
        positions: source and target positions of the batches, padding included.
        real: those that aren't padding.
        seconds: time.
    """

    objective: float = 0.0
    size: int = 0
    cross_entropy: float = 0.0
    tokens: int = 0
    positions: int = 0
    real: int = 0
    seconds: float = 0.0
