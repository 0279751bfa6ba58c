"""Gradients of an update. A batch that memory doesn't suffice for is split."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.device import within_memory
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
    sums = torch.zeros(2, device=learner.device)
    model = learner.model

    def begin() -> None:
        model.train()
        model.zero_grad()
        sums.zero_()

    def add(part: Part) -> None:
        loss = objective(model, part.batch, progress)
        learner.backward(loss.objective * part.weight / size)
        sums.add_(part.weight * torch.stack((loss.objective.detach(), loss.cross_entropy)))

    def halve(part: Part) -> list[Part]:
        if len(part.batch.index) == 1:
            raise RunError(
                f"update {progress.update + 1}: there is no memory for a pair of "
                f"{part.batch.describe()}; lower data.max_length, or the sizes under model"
            )
        return [Part(half, part.weight) for half in part.batch.halves()]

    made = within_memory(add, parts, halve, sums.device, anew=begin)
    return sums, len(made) - len(parts)
