"""The best checkpoints of a run, and the plain mean of their weights."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from seq2seq import checkpoint as checkpoints
from seq2seq.checkpoint import Checkpoint
from seq2seq.run import Run

Rank = tuple[float, float]
"""Value of the early-stopping metric (up is good), and negated loss for where that is equal."""


def keep_checkpoint(run: Run, limit: int, checkpoint: Checkpoint, rank: Rank) -> None:
    """Save a validated checkpoint if it is among the best ones, and drop what no longer is.

    What is there by then is all that counts, so a run that was killed in between goes on with
    the same files as an unbroken one: those of updates that it has not made yet are dropped.

    Args:
        run: the run.
        limit: checkpoints to keep.
        checkpoint: weights to translate with, and the `update` that they are of.
        rank: how good it is.
    """
    update = checkpoint.values["update"]
    for path in run.kept_checkpoints():
        if checkpoints.load_values(path)["update"] > update:
            path.unlink()
    ranked = Checkpoint(checkpoint.tensors, checkpoint.values | {"rank": list(rank)})
    checkpoints.save(run.kept_checkpoint(update), ranked)
    for path in best_checkpoints(run)[limit:]:
        path.unlink()


def best_checkpoints(run: Run) -> list[Path]:
    """The kept checkpoints, best first; of equal ones the earlier."""

    def order(path: Path) -> tuple[float, float, int]:
        values = checkpoints.load_values(path)
        value, negated_loss = values["rank"]
        return -value, -negated_loss, values["update"]

    return sorted(run.kept_checkpoints(), key=order)


def mean_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights in checkpoints, one number like the other."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in checkpoints.load(path).part("model").items():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
    return {name: (tensor / len(paths)).to(torch.float32) for name, tensor in total.items()}
