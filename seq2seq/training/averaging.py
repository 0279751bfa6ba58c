"""The best and the last checkpoints of a run, and the plain mean of their weights."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from seq2seq import checkpoint as checkpoints
from seq2seq import recipe
from seq2seq.checkpoint import Checkpoint, DamagedError, set_damaged_aside, without_remedy
from seq2seq.files import previous_path
from seq2seq.run import Run

logger = logging.getLogger(__name__)

Rank = tuple[float, float]
"""Value of the early-stopping metric (up is good), and negated loss for where that is equal."""

Kind = Literal["best", "last"]
"""What is averaged: the validated checkpoints of the highest rank, or of the latest updates."""


def kept_counts(section: recipe.Training) -> dict[Kind, int]:
    """How many checkpoints a recipe keeps, of each kind of which it keeps any."""
    counts: dict[Kind, int] = {"best": section.keep_best, "last": section.average_last or 1}
    return {kind: count for kind, count in counts.items() if count > 1}


def save_best(run: Run, checkpoint: Checkpoint, rank: Rank) -> None:
    """Save weights to translate with as `best`, of which the one before is kept."""
    checkpoints.save(run.checkpoint("best"), _ranked(checkpoint, rank), keep_previous=True)


def recover_best(run: Run, rank: Rank) -> Rank | None:
    """See that `best` is the checkpoint of this rank.

    A run that was killed while it saved, or goes back to the last state but one, finds a later one
    there. A damaged or lost one is taken from where else it is kept, or gives way to the next best.

    Returns:
        The rank of what is there now; None if nothing is left.
    """
    best = run.checkpoint("best")
    found = _whole([best, previous_path(best), *run.kept_checkpoints()], rank)
    if not found:
        return None
    if found.get(best) == rank:
        return rank
    same = [path for path, other in found.items() if other == rank]
    path = same[0] if same else max(found, key=found.__getitem__)
    if not same and best in found:
        path = best
    if path != best:
        if not best.exists():
            logger.warning("%s: is missing; taken from %s", best, path.name)
        checkpoints.save(best, checkpoints.load(path))
    return min(found[path], rank)


def _whole(paths: Sequence[Path], rank: Rank) -> dict[Path, Rank]:
    """Those checkpoints that are as they were saved, with their ranks; others are set aside."""
    found = {}
    for path in filter(Path.exists, paths):
        try:
            value, negated_loss = checkpoints.load(path).values.get("rank", rank)
            found[path] = value, negated_loss
        except DamagedError as error:
            logger.warning("%s; it is left out", without_remedy(error))
            set_damaged_aside(path)
    return found


def keep_checkpoint(
    run: Run, counts: Mapping[Kind, int], checkpoint: Checkpoint, rank: Rank
) -> None:
    """Save a validated checkpoint if it is one of those to keep, and drop what no longer is.

    What is there by then is all that counts, so a run that was killed in between goes on with
    the same files as an unbroken one: those of updates that it has not made yet are dropped.

    Args:
        run: the run.
        counts: checkpoints to keep, by kind.
        checkpoint: weights to translate with, and the `update` that they are of.
        rank: how good it is.
    """
    update = checkpoint.values["update"]
    for path in run.kept_checkpoints():
        if checkpoints.load_values(path)["update"] > update:
            path.unlink()
    checkpoints.save(run.kept_checkpoint(update), _ranked(checkpoint, rank))
    kept = {path for kind, count in counts.items() for path in choose_kept(run, kind, count)}
    for path in set(run.kept_checkpoints()) - kept:
        path.unlink()


def _ranked(checkpoint: Checkpoint, rank: Rank) -> Checkpoint:
    return Checkpoint(checkpoint.tensors, checkpoint.values | {"rank": list(rank)})


def choose_kept(run: Run, kind: Kind, count: int) -> list[Path]:
    """So many of the kept checkpoints: best first and of equal ones the earlier, or last first."""

    def order(path: Path) -> tuple[float, ...]:
        values = checkpoints.load_values(path)
        value, negated_loss = values["rank"]
        update = values["update"]
        return (-value, -negated_loss, update) if kind == "best" else (-update,)

    return sorted(run.kept_checkpoints(), key=order)[:count]


def mean_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights in checkpoints, one number like the other."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in checkpoints.load(path).part("model").items():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
    return {name: (tensor / len(paths)).to(torch.float32) for name, tensor in total.items()}
