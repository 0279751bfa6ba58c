"""What follows when a loss or a gradient is not finite: back to the last good state, more slowly.

The update is not applied. Weights, the update rule's memory and the place in the data become those
of the last good state, the learning rate is halved for the rest of training, and all is said. A
state is taken to be good after every `KEEP_EVERY` updates and with each checkpoint that the recipe
makes. A checkpoint of another state, as a stop makes it, comes after that of the good one, which
stays as the generation before it; so whether a run was killed, stopped or unbroken, it goes back to
the same state.
"""

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seq2seq import checkpoint as checkpoints
from seq2seq.checkpoint import Checkpoint, DamagedError, without_remedy
from seq2seq.data.batch import Batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.errors import RunError
from seq2seq.files import previous_path
from seq2seq.training.alarms import is_spike
from seq2seq.training.gradients import first_not_finite, is_finite
from seq2seq.training.learner import Learner
from seq2seq.training.progress import Progress, Tally
from seq2seq.training.state import State

logger = logging.getLogger(__name__)

KEEP_EVERY = 500
"""Updates between copies of the state. A copy goes to main memory, which takes about the time of a
few per cent of an update on a CPU and that of some updates on a GPU: far less than 1 % of 500."""

RATE_FACTOR = 0.5
"""What the learning rate is multiplied by each time."""

MAX_SETBACKS = 5
"""Setbacks in a row, without a new good state between them, that end training."""

SHOWN_PAIRS = 5


class LastGood:
    """The last good state of training, in main memory."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._state: State | None = None
        self._is_newest = False

    @property
    def update(self) -> int | None:
        """When it was; None before there is one."""
        return None if self._state is None else self._state.progress.update

    def keep(self, progress: Progress, tally: Tally) -> None:
        """Take the present state for good.

        Unless the loss is far above that of the one before, or the weights have ceased to be
        finite, which only the next update would notice.
        """
        if self._state is not None:
            is_off = progress.spikes or is_spike(progress.loss_mean, self._state.progress.loss_mean)
            if is_off or not is_finite(self.learner.model):
                return
            progress.setbacks = 0
        progress.good = progress.update
        tensors = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self.learner.tensors().items()
        }
        self._state = State(tensors, copy.deepcopy(progress), copy.deepcopy(tally))
        self._is_newest = False

    def save(self, path: Path, present: State, values: Mapping[str, Any]) -> None:
        """Save the present state, and before it the good one, unless that is the same or there.

        Args:
            path: of the newest checkpoint; the one before it is kept.
            present: what training is to go on from.
            values: that go with it.
        """
        is_good = present.progress.update == present.progress.good
        states = [present]
        if self._state is not None and not (is_good or self._is_newest):
            states.insert(0, self._state)
        for state in states:
            checkpoints.save(path, state.pack(values), keep_previous=True)
        self._is_newest = is_good

    def recover(self, path: Path, progress: Progress, tally: Tally) -> None:
        """Have the good state of a present one that was loaded from the checkpoint at `path`.

        Where it is lost, the present one has to do.
        """
        previous = previous_path(path)
        if progress.good != progress.update and previous.exists():
            try:
                found = State.unpack(checkpoints.load(previous))
            except DamagedError as error:
                logger.warning("%s; it is left out", without_remedy(error))
            else:
                if found.progress.update == progress.good:
                    self._state, self._is_newest = found, False
                    return
        self.keep(progress, tally)
        self._is_newest = True

    def set_back(self, progress: Progress, tally: Tally, failure: str) -> str:
        """Make it the present one again, at a lower rate; time that was spent stays spent.

        Args:
            progress: where training is, before the update that failed.
            tally: of the updates before it.
            failure: what has happened, where and on what.

        Returns:
            This, and what was done about it, in a line.

        Raises:
            RunError: it has happened too often in a row.
        """
        if progress.setbacks == MAX_SETBACKS:
            raise RunError(
                f"update {progress.update + 1:,}: {failure}; given up after {MAX_SETBACKS} "
                f"attempts at ever lower rates from update {self.update:,} on; train anew in "
                "another output_dir with a lower training.learning_rate or training.clip_grad_norm"
            )
        assert self._state is not None
        # The optimiser may take what it is given for its own.
        tensors = {name: tensor.clone() for name, tensor in self._state.tensors.items()}
        self.learner.restore(Checkpoint(tensors, {}))
        lasting = {
            "seconds": progress.seconds,
            "setbacks": progress.setbacks + 1,
            "rate_factor": progress.rate_factor * RATE_FACTOR,
        }
        vars(progress).update(vars(copy.deepcopy(self._state.progress)) | lasting)
        vars(tally).update(vars(self._state.tally))
        return (
            f"{failure}; not applied: training goes on from update {progress.update:,} with "
            f"{progress.rate_factor:g} times the learning rate of the recipe"
        )


def describe_failure(
    learner: Learner, batches: Sequence[Batch], train: EncodedCorpus, rate: float, loss: float
) -> str:
    """What failed in an update, where that began, at which rate and on which pairs.

    Args:
        learner: with the weights and gradients of that update.
        batches: what it was made from.
        train: their corpus.
        rate: the learning rate.
        loss: what was minimised, per unit.
    """
    what = "the gradient is not finite" if math.isfinite(loss) else f"the loss is {loss}"
    batches = [batch.to(learner.device) for batch in batches]
    first = first_not_finite(learner.model, batches)
    lines = sorted(train.line(i) + 1 for batch in batches for i in batch.index.tolist())
    shown = ", ".join(f"{line:,}" for line in lines[:SHOWN_PAIRS])
    more = f" and {len(lines) - SHOWN_PAIRS} more" if len(lines) > SHOWN_PAIRS else ""
    return (
        f"{what}; it began in {first}, at learning rate {rate:.2g}, on training pairs {shown}{more}"
    )
