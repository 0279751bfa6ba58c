"""Loops over time in training: one product for the gradient of a weight, not one for each step.

The gradient of a linear layer's weight is a sum over the steps of the loop. Taken step by step,
each term is a product of few rows, as large as the weight, that has to be added to the sum in
memory; that takes longer than all else in the loop. All steps side by side are one product.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Pairs = list[tuple[Tensor, Tensor]]
"""Of each call of a layer, in the order of the backward pass: its inputs (N, I) and the gradient
of its outputs (N, O)."""


def loop(num_steps: int) -> AbstractContextManager[object]:
    """What a loop of so many steps is to run in; loops within a step count as part of it."""
    return OneProduct() if num_steps > 1 and torch.is_grad_enabled() else nullcontext()


class OneProduct(TorchFunctionMode):
    """Within it, all calls of a linear layer share one product for the gradient of its weight.

    Values and gradients stay what they are, but for the rounding of the sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[int, int], tuple[Tensor, Tensor | None, _Shared]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Every function as it is, but `linear`."""
        if func is F.linear:
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not weight.requires_grad:
            return F.linear(input, weight, bias)
        key = id(weight), id(bias)
        if key not in self.known:
            # The tensors are kept so that their ids stay theirs.
            self.known[key] = weight, bias, _Shared(weight, bias)
        return self.known[key][2](input)


class _Shared:
    """A linear layer for several calls."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        device = weight.device.type
        self.dtype = weight.dtype
        if torch.is_autocast_enabled(device):
            self.dtype = torch.get_autocast_dtype(device)
        self.pairs: Pairs = []
        self.weight, self.bias = _Gather.apply(  # type: ignore[no-untyped-call]
            weight.to(self.dtype), None if bias is None else bias.to(self.dtype), self.pairs
        )

    def __call__(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = _Linear.apply(  # type: ignore[no-untyped-call]
            inputs.to(self.dtype), self.weight, self.bias, self.pairs
        )
        return outputs


class _Gather(torch.autograd.Function):
    """Gives weight and bias on; its backward pass comes after that of all who used them."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, pairs: Pairs
    ) -> tuple[Tensor, Tensor | None]:
        ctx.set_materialize_grads(False)
        ctx.pairs = pairs
        return weight.view_as(weight), None if bias is None else bias.view_as(bias)

    @staticmethod
    def backward(ctx: Any, *nothing: None) -> tuple[Tensor | None, Tensor | None, None]:
        if not ctx.pairs:
            return None, None, None
        inputs, gradients = (torch.cat(parts) for parts in zip(*ctx.pairs, strict=True))
        ctx.pairs.clear()
        of_bias = gradients.sum(dim=0) if ctx.needs_input_grad[1] else None
        return gradients.t() @ inputs, of_bias, None


class _Linear(torch.autograd.Function):
    """A linear layer that leaves the gradient of its weights to `_Gather`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, pairs: Pairs
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.pairs = pairs
        return F.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.pairs.append((inputs.flatten(0, -2), gradient.flatten(0, -2)))
        return gradient @ weight if ctx.needs_input_grad[0] else None, None, None, None
