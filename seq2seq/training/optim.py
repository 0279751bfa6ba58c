"""Update rules and learning-rate schedules."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from seq2seq import recipe


def build_optimizer(
    section: recipe.Training, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """The update rule of the recipe, fused into one kernel where torch has it."""
    rate, decay = section.learning_rate, section.weight_decay
    parameters = list(parameters)
    if section.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=rate, betas=section.betas, weight_decay=decay, fused=True
        )
    if section.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, lr=rate, betas=section.betas, weight_decay=decay, fused=True
        )
    if section.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=section.momentum, weight_decay=decay, fused=True
        )
    return torch.optim.Adadelta(parameters, lr=rate, weight_decay=decay)


def clip_gradients(section: recipe.Training, parameters: Iterable[nn.Parameter]) -> None:
    """Clip by global norm or by value, as the recipe says."""
    if section.clip_grad_norm:
        nn.utils.clip_grad_norm_(parameters, section.clip_grad_norm)
    elif section.clip_grad_value:
        nn.utils.clip_grad_value_(parameters, section.clip_grad_value)


@dataclass
class Plateau:
    """Memory of the `plateau` schedule: the factor so far and validations without improvement."""

    factor: float = 1.0
    bad_validations: int = 0

    def validated(self, section: recipe.Training, improved: bool) -> None:
        """Take note of a validation."""
        self.bad_validations = 0 if improved else self.bad_validations + 1
        if self.bad_validations > section.decay_patience:
            self.factor *= section.decay
            self.bad_validations = 0


def learning_rate(
    section: recipe.Training, update: int, epoch: int, done: float, plateau: Plateau
) -> float:
    """Learning rate of an update.

    Args:
        section: the schedule and its settings.
        update: number of the update, from 1.
        epoch: number of the pass over the data, from 0.
        done: share of training that is over, 0 to 1.
        plateau: memory of the `plateau` schedule.
    """
    peak, warmup = section.learning_rate, section.warmup_updates
    if update <= warmup:
        return peak * update / warmup
    factor = 1.0
    if section.schedule == "plateau":
        factor = plateau.factor
    elif section.schedule == "exponential":
        factor = section.decay**epoch
    elif section.schedule == "inverse_sqrt":
        factor = math.sqrt(max(warmup, 1) / update)
    elif section.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return max(peak * factor, min(section.min_learning_rate, peak))


def build_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights.

    The decay rises towards its final value over the first updates, so that the average is of use
    from the start: it is at most (1 + n) / (10 + n) at update n.
    """

    def average(
        averages: tuple[Tensor, ...] | list[Tensor],
        weights: tuple[Tensor, ...] | list[Tensor],
        num_averaged: Tensor | int,
    ) -> None:
        count = int(num_averaged)
        share = 1 - min(decay, (1 + count) / (10 + count))
        _lerp(averages, weights, share)

    return AveragedModel(model, multi_avg_fn=average)


@torch.no_grad()
def _lerp(averages: Sequence[Tensor], weights: Sequence[Tensor], share: float) -> None:
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, share)
