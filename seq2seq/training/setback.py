"""What follows when a loss or a gradient is not finite: back to the last good state, more slowly.

The update is not applied. Weights, the update rule's memory and the place in the data become those
of the last good state, the learning rate is halved for the rest of training, and all is said. A
state is taken to be good after every `KEEP_EVERY` updates and after each checkpoint that the recipe
makes, so a run that was killed in between goes back to the same state as an unbroken one.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from seq2seq.checkpoint import Checkpoint
from seq2seq.data.batch import Batch
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.errors import RunError
from seq2seq.training.alarms import is_spike
from seq2seq.training.gradients import first_not_finite
from seq2seq.training.learner import Learner
from seq2seq.training.progress import Progress, Tally

KEEP_EVERY = 500
"""Updates between copies of the state. A copy goes to main memory, which takes about the time of a
few per cent of an update on a CPU and that of some updates on a GPU: far less than 1 % of 500."""

RATE_FACTOR = 0.5
"""What the learning rate is multiplied by each time."""

MAX_SETBACKS = 5
"""Setbacks in a row, without a new good state between them, that end training."""

SHOWN_PAIRS = 5


@dataclass(frozen=True)
class _State:
    tensors: dict[str, Tensor]
    progress: Progress
    tally: Tally


class LastGood:
    """The last good state of training, in main memory."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._state: _State | None = None

    @property
    def update(self) -> int:
        """When it was."""
        return 0 if self._state is None else self._state.progress.update

    def keep(self, progress: Progress, tally: Tally) -> None:
        """Take the present state for good, unless the loss is far above that of the one before."""
        if self._state is not None:
            if is_spike(progress.loss_mean, self._state.progress.loss_mean):
                return
            progress.setbacks = 0
        tensors = self.learner.tensors()
        self._state = _State(
            {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()},
            copy.deepcopy(progress),
            copy.deepcopy(tally),
        )

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
