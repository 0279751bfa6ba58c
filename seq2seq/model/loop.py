"""Loops over time in training: one product for the gradient of a weight, not one for each step.

The gradient of what all steps are multiplied with, a layer's weight or the attended source, is a
sum over the steps. Taken step by step, each term is a product of few rows, as large as the weight,
that has to be added to the sum in memory; that takes longer than all else in the loop. All steps
side by side are one product.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def loop(num_steps: int) -> AbstractContextManager[object]:
    """What a loop of so many steps is to run in; loops within a step count as part of it."""
    return OneProduct() if num_steps > 1 and torch.is_grad_enabled() else nullcontext()


class OneProduct(TorchFunctionMode):
    """Within it, all products with the same weight share one for its gradient.

    That holds for linear layers and for `bmm`, whose second factor is the weight then; a view made
    anew at each step is the same weight. Values and gradients stay what they are, but for the
    rounding of the sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[object, _Shared] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Every function as it is, but for the products."""
        # No table of these two: bound methods would make a cycle, which keeps the graph alive.
        if func is F.linear:
            return self._linear(*args, **(kwargs or {}))
        if func is torch.bmm:
            return self._bmm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not weight.requires_grad:
            return F.linear(input, weight, bias)
        return self._multiply(input, weight.t(), bias)

    def _bmm(self, input: Tensor, mat2: Tensor) -> Tensor:
        if not mat2.requires_grad:
            return torch.bmm(input, mat2)
        return self._multiply(input, mat2, None)

    def _multiply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        key = weight.data_ptr(), weight.shape, weight.stride(), id(bias)
        if key not in self.known:
            self.known[key] = _Shared(weight, bias)
        return self.known[key](inputs)


class _Shared:
    """Products with one weight (…, I, O).

    Attributes:
        original: weight and bias, kept so that their places in memory stay theirs.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.original = weight, bias
        device = weight.device.type
        self.dtype = weight.dtype
        if torch.is_autocast_enabled(device):
            self.dtype = torch.get_autocast_dtype(device)
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.weight, self.bias = _Gather.apply(  # type: ignore[no-untyped-call]
            weight.to(self.dtype), None if bias is None else bias.to(self.dtype), self.pairs
        )

    def __call__(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            inputs.to(self.dtype), self.weight, self.bias, self.pairs
        )
        return outputs


class _Gather(torch.autograd.Function):
    """Gives weight (…, I, O) and bias (O,) on; its backward pass comes after those of the users."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, pairs: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor | None]:
        ctx.set_materialize_grads(False)
        ctx.pairs = pairs
        return weight.view_as(weight), None if bias is None else bias.view_as(bias)

    @staticmethod
    def backward(ctx: Any, *nothing: None) -> tuple[Tensor | None, Tensor | None, None]:
        if not ctx.pairs:
            return None, None, None
        inputs, gradients = (torch.cat(parts, dim=-2) for parts in zip(*ctx.pairs, strict=True))
        ctx.pairs.clear()
        of_bias = gradients.sum(dim=0) if ctx.needs_input_grad[1] else None
        # A layer's weight is the transpose, whose gradient is to lie in memory as it does.
        return (gradients.mT @ inputs).mT, of_bias, None


class _Product(torch.autograd.Function):
    """A product that leaves the gradient of the weight and the bias to `_Gather`.

    Inputs (…, I) times a weight (I, O) plus a bias (O,), or inputs (B, N, I) times (B, I, O).
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        pairs: list[tuple[Tensor, Tensor]],
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.pairs = pairs
        return (
            torch.bmm(inputs, weight) if weight.dim() == 3 else F.linear(inputs, weight.t(), bias)
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        rows = inputs, gradient
        if weight.dim() == 2:
            rows = inputs.flatten(0, -2), gradient.flatten(0, -2)
        ctx.pairs.append(rows)
        return gradient @ weight.mT if ctx.needs_input_grad[0] else None, None, None, None
