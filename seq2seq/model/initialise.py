"""First weights."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from seq2seq import recipe

INITIALIZERS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "xavier": lambda weight, limit: nn.init.xavier_uniform_(weight),
    "he": lambda weight, limit: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "uniform": lambda weight, limit: nn.init.uniform_(weight, -limit, limit),
    "orthogonal": lambda weight, limit: nn.init.orthogonal_(weight),
}
"""What fills a weight; the number is the limit of `uniform`."""


def init_linear(layer: nn.Linear) -> nn.Linear:
    """Xavier weights and zero bias (Glorot & Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def init_recurrent(layer: nn.Module) -> None:
    """Xavier input weights and orthogonal recurrent weights for each gate, zero biases.

    Args:
        layer: with a `hidden_size` and parameters named as torch names them.
    """
    for name, parameter in layer.named_parameters(recurse=False):
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
        kind = "orthogonal" if name.startswith("weight_hh") else "xavier"
        for gate in _gates(layer, name, parameter):
            INITIALIZERS[kind](gate, 0.0)


def set_forget_bias(layer: nn.Module, value: float) -> None:
    """Set the bias of the forget gate, in each layer and direction, if there is such a gate.

    With 1 it starts open (Jozefowicz et al. 2015).
    """
    gate = getattr(layer, "forget_gate", None)
    for name, parameter in layer.named_parameters(recurse=False):
        if gate is not None and name.startswith("bias_ih"):
            nn.init.constant_(torch.split(parameter.data, _hidden_size(layer))[gate], value)


def redraw(model: nn.Module, kept: Iterable[Tensor], section: recipe.Model) -> None:
    """Fill weights anew where the recipe wants others than those each layer starts with.

    Args:
        model: all layers.
        kept: weights with a scale of their own.
        section: the initialisers.
    """
    scaled = {id(parameter) for parameter in kept}
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            recurrent = name.startswith("weight_hh")
            kind = section.recurrent_initializer if recurrent else section.initializer
            usual = "orthogonal" if recurrent else "xavier"
            if kind == usual or parameter.dim() < 2 or id(parameter) in scaled:
                continue
            for gate in _gates(layer, name, parameter) or [parameter.data]:
                INITIALIZERS[kind](gate, section.init_range)
        if section.forget_bias is not None:
            set_forget_bias(layer, section.forget_bias)


def _gates(layer: nn.Module, name: str, parameter: Tensor) -> Sequence[Tensor]:
    """The parts of a recurrent layer's weight, (H, ·) each; none of other parameters."""
    if name.startswith(("weight_ih", "weight_hh")):
        return torch.split(parameter.data, _hidden_size(layer))
    return ()


def _hidden_size(layer: nn.Module) -> int:
    size = layer.hidden_size
    assert isinstance(size, int)
    return size
