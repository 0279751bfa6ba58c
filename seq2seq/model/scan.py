"""Linear recurrences, computed for all steps at once."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_scan(keep: Tensor, new: Tensor, start: Tensor) -> Tensor:
    """States (B, T, H) of s(t) = keep(t) · s(t-1) + new(t).

    The number of tensor operations grows with log T, not with T, back-propagation included.

    Args:
        keep: (B, T, H), 0 to 1.
        new: (B, T, H).
        start: s(0), (B, H).
    """
    states: Tensor = _Scan.apply(keep, new, start)  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    """The gradients of a recurrence are one too, backwards, so that no steps between are kept."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, new: Tensor, start: Tensor) -> Tensor:
        states = _double(
            keep, torch.cat((new[:, :1] + keep[:, :1] * start[:, None], new[:, 1:]), 1)
        )
        ctx.save_for_backward(keep, states, start)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keep, states, start = ctx.saved_tensors
        later = torch.cat((keep[:, 1:], torch.zeros_like(keep[:, :1])), dim=1)
        total = _double(later.flip(1), gradient.flip(1)).flip(1)
        before = torch.cat((start[:, None], states[:, :-1]), dim=1)
        return total * before, total, total[:, 0] * keep[:, 0]


def _double(keep: Tensor, new: Tensor) -> Tensor:
    """Let each step look back 1, 2, 4 … steps (Hillis & Steele 1986).

    Factors only shrink, so nothing overflows; no logarithms, so signs and zeros are no matter.
    """
    keep, states = keep.clone(), new.clone()
    distance = 1
    while distance < keep.shape[1]:
        states[:, distance:] += keep[:, distance:] * states[:, :-distance]
        keep[:, distance:] = keep[:, distance:] * keep[:, :-distance]
        distance *= 2
    return states
