"""The batch size that a GPU's memory has room for."""

from collections.abc import Callable

import torch

from seq2seq.device import memory_share, release_memory
from seq2seq.training.rehearsal import largest_batches, try_batch
from seq2seq.training.trainer import Trainer

MEMORY_SHARE = 0.8
"""Of a GPU's memory, at most. The rest is for batches of later epochs and for validations."""

MIN_UPDATES = 100
"""Updates of an epoch, at least: a small corpus in large batches is hardly learnt from."""


def double_while(fits: Callable[[int], bool], size: int, most: int) -> int:
    """The last of size, 2 size, 4 size and so on that fits and isn't above `most`.

    The first is taken for granted; `fits` is asked about the others until one doesn't.
    """
    while 2 * size <= most and fits(2 * size):
        size *= 2
    return size


def fits_memory(trainer: Trainer) -> bool:
    """Whether the largest batches of a trainer's first epoch leave some of a GPU's memory free."""
    release_memory(trainer.device)
    torch.cuda.reset_peak_memory_stats(trainer.device)
    splits = sum(try_batch(trainer, part) for part in largest_batches(trainer))
    return splits == 0 and memory_share(trainer.device) <= MEMORY_SHARE
