"""Update rules and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from seq2seq import recipe


@dataclass(frozen=True)
class Rule:
    """An update rule of torch.

    Attributes:
        kind: its class.
        keys: recipe keys that it takes, beside learning rate and weight decay.
        settings: what the recipe doesn't say; `fused` is one kernel for all weights.
    """

    kind: type[torch.optim.Optimizer]
    keys: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


_FUSED, _DECOUPLED = {"fused": True}, {"decoupled_weight_decay": True}

OPTIMIZERS = {
    "adam": Rule(torch.optim.Adam, ("betas", "eps"), _FUSED),
    "adamw": Rule(torch.optim.AdamW, ("betas", "eps"), _FUSED),
    "radam": Rule(torch.optim.RAdam, ("betas", "eps"), _DECOUPLED),
    "nadam": Rule(torch.optim.NAdam, ("betas", "eps"), _DECOUPLED),
    "adamax": Rule(torch.optim.Adamax, ("betas", "eps")),
    "sgd": Rule(torch.optim.SGD, ("momentum",), _FUSED),
    "adadelta": Rule(torch.optim.Adadelta, ("eps",)),
}


def build_optimizer(
    section: recipe.Training, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """The update rule of the recipe; only matrices decay."""
    rule, parameters = OPTIMIZERS[section.optimizer], list(parameters)
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if section.weight_decay:
        decayed = [p for p in parameters if is_matrix(p)]
        others = [p for p in parameters if not is_matrix(p)]
        groups = [{"params": decayed, "weight_decay": section.weight_decay}, {"params": others}]
    given = {key: getattr(section, key) for key in rule.keys}
    if given.get("eps", 0) is None:
        del given["eps"]
    build: Callable[..., torch.optim.Optimizer] = rule.kind
    return build(
        groups, lr=section.learning_rate, **{"weight_decay": 0.0} | given | dict(rule.settings)
    )


def moments_per_weight(section: recipe.Training) -> int:
    """Numbers that the update rule keeps for each weight, as it does from its first step on."""
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros_like(weight)
    optimizer = build_optimizer(section, [weight])
    optimizer.step()
    return sum(kept.shape == weight.shape for kept in optimizer.state[weight].values())


def is_matrix(parameter: Tensor) -> bool:
    """Whether to decay a parameter: a bias or a gain has no size to be kept small."""
    return parameter.dim() > 1


@torch.no_grad()
def shrink(parameters: Iterable[nn.Parameter], amount: float) -> None:
    """Move each entry of the matrices towards zero by an amount, and no further than zero.

    After a gradient step with this times the learning rate it is the proximal step of an L1
    penalty (ISTA; Beck & Teboulle 2009, equation 2.6).
    """
    for parameter in filter(is_matrix, parameters):
        parameter.copy_(F.softshrink(parameter, amount))


def clip_gradients(
    section: recipe.Training, parameters: Iterable[nn.Parameter], norm: Tensor
) -> None:
    """Clip by global norm, which is known already, or by value, as the recipe says."""
    if section.clip_grad_norm:
        nn.utils.clip_grads_with_norm_(parameters, section.clip_grad_norm, norm)
    elif section.clip_grad_value:
        nn.utils.clip_grad_value_(parameters, section.clip_grad_value)


@dataclass
class Plateau:
    """Memory of the `plateau` schedule: the factor so far and validations without improvement."""

    factor: float = 1.0
    bad_validations: int = 0

    def validated(self, section: recipe.Training, improved: bool) -> bool:
        """Take note of a validation; whether the learning rate falls."""
        self.bad_validations = 0 if improved else self.bad_validations + 1
        falls = self.bad_validations > section.decay_patience
        if falls:
            self.factor *= section.decay
            self.bad_validations = 0
        return falls


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
