"""Gradients of an update. A batch that memory doesn't suffice for is split."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.data.batch import Batch
from seq2seq.device import is_out_of_memory, release_memory
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.training.objective import Objective
from seq2seq.training.progress import Progress


def sum_gradients(
    model: Seq2Seq, objective: Objective, batches: Sequence[Batch], size: int, progress: Progress
) -> tuple[Tensor, int]:
    """Give the weights the gradient of the objective over batches, as if they were one batch.

    Where memory runs out, the batch at which it did is split in two and all is computed anew, as
    nobody knows how much of its gradient has arrived; and so on down to single pairs. The objective
    is a sum over pairs, so the gradient stays what it is.

    Args:
        model: takes the gradients, in place of those that it has.
        objective: what to minimise.
        batches: on the CPU.
        size: what the sum is divided by.
        progress: where training is.

    Returns:
        Objective and cross-entropy, summed, (2,), on the model's device; and the number of splits.

    Raises:
        RunError: a pair alone is too much.
    """
    parts, sums = list(batches), torch.zeros(2, device=next(model.parameters()).device)
    while (failed := _add_gradients(model, objective, parts, size, progress, sums)) is not None:
        release_memory(sums.device)
        if len(parts[failed].index) == 1:
            raise RunError(
                f"update {progress.update + 1}: there is no memory for a pair of "
                f"{parts[failed].describe()}; lower data.max_length, or the sizes under model"
            )
        parts[failed : failed + 1] = parts[failed].halves()
    return sums, len(parts) - len(batches)


def _add_gradients(
    model: Seq2Seq,
    objective: Objective,
    parts: Sequence[Batch],
    size: int,
    progress: Progress,
    sums: Tensor,
) -> int | None:
    """Add up from zero; the place of the part at which memory ran out, if it did.

    What it had taken is free only when this has returned.
    """
    model.train()
    model.zero_grad()
    sums.zero_()
    for place, part in enumerate(parts):
        try:
            loss = objective(model, part.to(sums.device), progress)
            (loss.objective / size).backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return place
        sums += torch.stack((loss.objective.detach(), loss.cross_entropy))
    return None
