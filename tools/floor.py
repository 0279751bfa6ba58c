"""What a computation takes at least: its matrix products and nothing else.

A computation is watched once, which says what products it makes; then these are made alone, on the
very tensors. What the computation takes beyond that is spent on something other than arithmetic
that the model asks for.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = set(
    "mm addmm bmm baddbmm linear lstm gru rnn_tanh rnn_relu mkldnn_rnn_layer "
    "mkldnn_rnn_layer_backward _cudnn_rnn _cudnn_rnn_backward qlinear_pointwise _int_mm".split()
)
"""Operators that multiply matrices; a fused recurrent layer is one of them as a whole."""
REPETITIONS = 3


class Products(TorchDispatchMode):
    """Notes the products that are made while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: dict[Any, tuple[Any, Any, dict[str, Any]]] = {}
        self._counts: dict[Any, int] = {}

    def start(self) -> None:
        """Enters, where a `with` would not do."""
        super().__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Leaves again."""
        super().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Makes the call, and notes it if it is a product."""
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in PRODUCTS:
            key = func, _form(args), _form(kwargs)
            # Weights are shared, so what is kept of a call is little more than its input.
            self._calls.setdefault(key, (func, args, kwargs))
            self._counts[key] = self._counts.get(key, 0) + 1
        return func(*args, **kwargs)

    def __len__(self) -> int:
        return sum(self._counts.values())

    @torch.no_grad()
    def seconds(self) -> float:
        """What the products take alone."""
        return sum(count * _time(*self._calls[key]) for key, count in self._counts.items())


def _form(value: Any) -> Any:
    """All of an argument but the numbers in its tensors."""
    if isinstance(value, torch.Tensor):
        strides = value.stride() if value.layout == torch.strided else ()
        return value.shape, strides, value.dtype, value.device
    if isinstance(value, dict):
        return tuple((name, _form(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    return value


def _time(func: Any, args: Any, kwargs: dict[str, Any]) -> float:
    """The median time of a call, without that of the first."""
    times = []
    for _ in range(REPETITIONS + 1):
        start = time.perf_counter()
        func(*args, **kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
