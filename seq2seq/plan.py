"""What training a recipe will take, found out in some seconds and without beginning it."""

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from seq2seq.device import peak_memory, synchronize
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import ALONE, World
from seq2seq.prepare import Prepared
from seq2seq.recipe import Recipe
from seq2seq.train import set_up
from seq2seq.training.backward import sum_gradients
from seq2seq.training.feed import Part
from seq2seq.training.gradients import by_part
from seq2seq.training.optim import moments_per_weight
from seq2seq.training.rehearsal import largest_batches, try_batch
from seq2seq.training.source import Group
from seq2seq.training.trainer import Trainer

NUM_PROBES = 8
"""Batches that stand for all those of an epoch, from small to large."""

SECONDS = 10.0
"""Where these take less than that they are tried twice, and the second time counts."""

NUM_LINES = 64
"""Lines of the development set that stand for all of it."""

FORWARD_SHARE = 1 / 3
"""A pass without gradients, of one with them: there are two products fewer for each of three."""


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        tokens_per_second: target tokens of all processes.
        update: seconds of an update.
        epoch: seconds of an epoch's updates.
        validation: seconds of a validation; an estimate, as it depends on what a model says.
        splits: how often the largest batch had to be split for want of memory, in the process in
            which it was most.
    """

    tokens_per_second: float
    update: float
    epoch: float
    validation: float
    splits: int


@dataclass(frozen=True)
class Left:
    """What there is to do.

    Attributes:
        updates: so many, at most.
        validations: so many, at most.
        seconds: for all of it.
        limit: the key of the recipe that ends it; None where training is over.
    """

    updates: int
    validations: int
    seconds: float
    limit: str | None


@dataclass(frozen=True)
class Plan:
    """What training will take.

    Attributes:
        run: the run directory.
        device: where it trains.
        processes: that share each batch.
        parameters: by part of the network; those that are shared count once, as embeddings.
        memory: bytes of each process: weights, gradients, the update rule's moments and the moving
            average; and the most that one of them (on a GPU: its tensors) has used, with the
            largest batch.
        pairs: what became of the training pairs, in words.
        batch: `training.batch_size` in its unit, and batches of an update, in words.
        largest_batch: its shape in words.
        updates_per_epoch: updates of an epoch.
        padding: share of the positions of batches that hold no token.
        speed: what was measured.
        updates: made so far.
        seconds: spent so far.
        left: what there is to do.
    """

    run: str
    device: str
    processes: int
    parameters: dict[str, int]
    memory: dict[str, int]
    pairs: str
    batch: str
    largest_batch: str
    updates_per_epoch: int
    padding: float
    speed: Speed
    updates: int
    seconds: float
    left: Left


def plan(recipe: Recipe, world: World = ALONE) -> Plan:
    """Prepare what isn't prepared, try some updates that are thrown away, and reckon.

    Checkpoints and records of the run stay as they are. A run that has begun is planned from its
    last checkpoint on.

    Args:
        recipe: the whole recipe.
        world: the processes that are to train together; all of them plan.

    Raises:
        RunError: the run directory holds a run of another recipe, or memory doesn't suffice for a
            single pair.
        DataError: the data cannot be read.
        SettingsError: this machine has no such device.
    """
    with torch.random.fork_rng():
        prepared, trainer = set_up(recipe, world)
        trainer.restore()
        with closing(trainer.source):
            largest = largest_batches(trainer)
            splits = max(world.each(max(try_batch(trainer, part) for part in largest)))
            speed = _measure(trainer, splits)
            padding = trainer.source.portion(trainer.progress).padding_share()
    progress = trainer.progress
    return Plan(
        run=recipe.output_dir,
        device=trainer.device.type,
        processes=world.size,
        parameters=count_parts(trainer.model),
        memory=_memory(trainer),
        pairs=prepared.account,
        batch=_describe_batch(prepared),
        largest_batch=_describe_largest(largest[0], world),
        updates_per_epoch=trainer.source.updates_per_epoch,
        padding=padding,
        speed=speed,
        updates=progress.update,
        seconds=progress.seconds,
        left=reckon(trainer, speed),
    )


def count_parts(model: Seq2Seq) -> dict[str, int]:
    """Parameters by part; shared ones once."""
    return {name: sum(p.numel() for p in own) for name, own in by_part(model).items()}


def _memory(trainer: Trainer) -> dict[str, int]:
    weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer": weights * moments_per_weight(trainer.section),
        "average": weights if trainer.learner.average is not None else 0,
        "peak": max(trainer.world.each(peak_memory(trainer.device))),
    }


def _describe_largest(part: Part, world: World) -> str:
    shape = f"{len(part.batch.index):,} pairs of up to {part.batch.describe()}"
    rows = sum(world.each(part.weight * len(part.batch.index)))
    return shape if world.size == 1 else f"{rows:,} pairs; the first process has {shape}"


def _describe_batch(prepared: Prepared) -> str:
    section = prepared.recipe.training
    unit = "pairs" if section.batch_type == "sentences" else "target tokens"
    text = f"{section.batch_size:,} {unit}"
    return text if section.accumulate == 1 else f"{text}, {section.accumulate} batches an update"


def _measure(trainer: Trainer, splits: int) -> Speed:
    """Time updates of batches of all sizes, with a learning rate of zero, and a validation."""
    portion = trainer.source.portion(trainer.progress)
    batches = portion.batches
    rows, src, tgt = portion.shapes().T
    order = np.argsort(rows * (src + tgt))
    places = (np.arange(NUM_PROBES) + 0.5) * len(order) / NUM_PROBES
    chosen = [batches[order[int(place)]] for place in places]
    groups = [portion.group([index]) for index in chosen]
    times = _time(trainer, groups)
    if trainer.world.agree(times.sum()) < SECONDS:
        times = _time(trainer, groups)
    batch, step = times.mean(axis=1)
    accumulate = trainer.section.accumulate
    per_update = len(batches) / len(portion.groups)
    tokens = np.mean([portion.corpus.tgt_lengths[index].sum() for index in chosen])
    tokens_per_second = float(tokens / (batch + step / accumulate))
    return Speed(
        tokens_per_second=tokens_per_second,
        update=float(batch * accumulate + step),
        epoch=float(batch * per_update + step) * trainer.source.updates_per_epoch,
        validation=_time_validation(trainer, tokens_per_second),
        splits=splits,
    )


def _time(trainer: Trainer, groups: Sequence[Group]) -> np.ndarray:
    """Seconds of gradients and of steps, (2, batches).

    Gradients take as long as in the slowest process; its step doesn't wait for another.
    """
    times = []
    for group in groups:
        started = time.monotonic()
        parts = trainer.feed.load(group)
        size = trainer.objective.size(parts[0].batch)
        sum_gradients(trainer.learner, trainer.objective, parts, size, trainer.progress)
        synchronize(trainer.device)
        computed = time.monotonic()
        trainer.learner.step(0.0, trainer.learner.collect())
        synchronize(trainer.device)
        times.append((computed - started, time.monotonic() - computed))
    processes = np.array(trainer.world.each(times))
    return np.stack((processes[..., 0].max(axis=0), processes[..., 1].min(axis=0)))


def _time_validation(trainer: Trainer, tokens_per_second: float) -> float:
    """Seconds of a validation of a model that has learnt to end its translations."""
    lengths = trainer.validator.dev.tgt_lengths
    started = time.monotonic()
    model = trainer.inference_model.eval()
    trainer.validator.translate_and_score(model, NUM_LINES, int(np.median(lengths)))
    # Processes share the batches, of which so few lines are one.
    took = trainer.world.agree(time.monotonic() - started)
    translating = took * max(1.0, len(lengths) / NUM_LINES / trainer.world.size)
    return translating + FORWARD_SHARE * int(lengths.sum()) / tokens_per_second


def reckon(trainer: Trainer, speed: Speed) -> Left:
    """What is left at a speed, until the first of the recipe's limits."""
    section, progress = trainer.section, trainer.progress
    per_epoch = trainer.source.updates_per_epoch
    if progress.finished:
        return Left(0, 0, 0.0, None)
    left = {
        "max_epochs": per_epoch * (section.max_epochs - progress.epoch) - progress.position,
    }
    if section.max_updates is not None:
        left["max_updates"] = section.max_updates - progress.update
    every = section.validate_every or per_epoch
    if section.max_minutes is not None:
        seconds = max(0.0, 60 * section.max_minutes - progress.seconds)
        left["max_minutes"] = math.ceil(seconds / (speed.update + speed.validation / every))
    limit = min(left, key=lambda key: left[key])
    updates = max(0, left[limit])
    validations = math.ceil((progress.update + updates) / every) - progress.update // every
    return Left(
        updates,
        validations,
        updates * speed.update + validations * speed.validation,
        f"training.{limit}",
    )
