"""What may go wrong in hours is tried in the first seconds, and leaves no trace."""

import logging

import torch

from seq2seq.checkpoint import try_room
from seq2seq.training.backward import sum_gradients
from seq2seq.training.feed import Part
from seq2seq.training.optim import moments_per_weight
from seq2seq.training.trainer import Trainer

logger = logging.getLogger(__name__)

NUM_LINES, MAX_LENGTH = 4, 20
"""Lines of the development set to translate, and pieces of each: a new model ends none of them."""


def rehearse(trainer: Trainer) -> None:
    """Try room for a checkpoint, the largest batches and a validation of a few lines.

    The batches are those of an epoch; of a stream, those of the chunk in use.
    Weights, random numbers and records stay as they are. What memory does not suffice for is told,
    and errors of translating and scoring come now instead of at the end of the first epoch.

    Raises:
        FileError: a checkpoint cannot be written.
        RunError: memory does not suffice for a single pair.
        SettingsError: a score needs something that is not installed.
    """
    trainer.world.once(try_room, trainer.run.checkpoint("last"), _checkpoint_size(trainer))
    for part in largest_batches(trainer):
        splits, batch = try_batch(trainer, part), part.batch
        if splits:
            logger.warning(
                "training.batch_size: there is no memory for the largest batch (%d pairs of up to "
                "%s), which will be split in two %d times; halve it and double "
                "training.accumulate for the same updates without splits",
                len(batch.index),
                batch.describe(),
                splits,
            )
            break
    trainer.validator.translate_and_score(trainer.inference_model.eval(), NUM_LINES, MAX_LENGTH)


def largest_batches(trainer: Trainer) -> list[Part]:
    """This process' parts of the batches that take most memory of those batched together now.

    What layers keep grows with source and target positions, what attention keeps with their
    product. The one with most positions comes first; as a rule it has most of both.
    """
    portion = trainer.source.portion(trainer.progress)
    rows, src, tgt = portion.shapes().T
    places = dict.fromkeys(int(size.argmax()) for size in (rows * (src + tgt), rows * src * tgt))
    return trainer.feed.load(portion.group([portion.batches[place] for place in places]))


def _checkpoint_size(trainer: Trainer) -> int:
    """Bytes of the tensors of a checkpoint, after the first update."""
    tensors = [*trainer.learner.tensors().values()]
    tensors += [p for p in trainer.model.parameters() for _ in range(_moments_to_come(trainer))]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _moments_to_come(trainer: Trainer) -> int:
    """Numbers for each weight that the update rule will keep and doesn't yet."""
    return 0 if trainer.learner.optimizer.state else moments_per_weight(trainer.section)


def try_batch(trainer: Trainer, part: Part) -> int:
    """Compute the gradients of a batch and drop them; the number of splits that it took.

    Before the first update room is left on a GPU for what the update rule will keep.
    """
    device, model = trainer.device, trainer.model
    is_gpu = device.type == "cuda"
    kept = _moments_to_come(trainer)
    with torch.random.fork_rng([device] if is_gpu else []):
        room = [torch.empty_like(p) for p in model.parameters() for _ in range(kept) if is_gpu]
        size = trainer.objective.size(part.batch)
        _, splits = sum_gradients(
            trainer.learner, trainer.objective, [part], size, trainer.progress
        )
        del room
    model.zero_grad()
    return splits
