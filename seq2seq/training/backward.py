"""Gradients of an update. A batch that memory doesn't suffice for is split."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.device import is_out_of_memory, release_memory
from seq2seq.errors import RunError
from seq2seq.training.feed import Part
from seq2seq.training.learner import Learner
from seq2seq.training.objective import Objective
from seq2seq.training.progress import Progress


def sum_gradients(
    learner: Learner, objective: Objective, parts: Sequence[Part], size: int, progress: Progress
) -> tuple[Tensor, int]:
    """Give the weights the gradient of the objective over batches, as if they were one batch.

    Where memory runs out, the batch at which it did is split in two and all is computed anew, as
    nobody knows how much of its gradient has arrived; and so on down to single pairs. The objective
    is a sum over pairs, so the gradient stays what it is.

    Args:
        learner: its model takes the gradients, in place of those that it has.
        objective: what to minimise.
        parts: a process' parts of the batches.
        size: what the sum is divided by.
        progress: where training is.

    Returns:
        Objective and cross-entropy, summed, (2,), on the model's device; and the number of splits.

    Raises:
        RunError: a pair alone is too much.
    """
    tried, sums = list(parts), torch.zeros(2, device=learner.device)
    while (failed := _add_gradients(learner, objective, tried, size, progress, sums)) is not None:
        release_memory(sums.device)
        batch, weight = tried[failed].batch, tried[failed].weight
        if len(batch.index) == 1:
            raise RunError(
                f"update {progress.update + 1}: there is no memory for a pair of "
                f"{batch.describe()}; lower data.max_length, or the sizes under model"
            )
        tried[failed : failed + 1] = [Part(half, weight) for half in batch.halves()]
    return sums, len(tried) - len(parts)


def _add_gradients(
    learner: Learner,
    objective: Objective,
    parts: Sequence[Part],
    size: int,
    progress: Progress,
    sums: Tensor,
) -> int | None:
    """Add up from zero; the place of the part at which memory ran out, if it did.

    What it had taken is free only when this has returned.
    """
    model = learner.model.train()
    model.zero_grad()
    sums.zero_()
    for place, part in enumerate(parts):
        try:
            loss = objective(model, part.batch, progress)
            learner.backward(loss.objective * part.weight / size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return place
        sums += part.weight * torch.stack((loss.objective.detach(), loss.cross_entropy))
    return None
