"""Recurrent cells that torch has no fused call for, and layers made of them.

A cell is one layer in one direction: it takes inputs (B, T, I), the state before them, each (B, H),
which steps are real (B, T) if not all are, and the noise of its direction; it gives outputs
(B, T, H) and the state after the last real step. Weights are named as torch names them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.model.initialise import init_recurrent, set_forget_bias
from seq2seq.model.loop import loop
from seq2seq.model.scan import linear_scan

State = tuple[Tensor, ...]
"""Recurrent state, each (L, B, H): (hidden,), (hidden, cell) of an LSTM, (cell,) of an SSRU."""

Step = Callable[[Tensor, Tensor, State], State]
"""What the input brings to the gates and what the hidden state does, (B, G·H) each, and the state
-> the next one."""

Run = Callable[[Tensor, State, Tensor | None, "Noise"], tuple[Tensor, State]]
"""What a cell does."""


@dataclass(frozen=True)
class Noise:
    """What a layer drops in training; the same for all steps of a sequence.

    Attributes:
        inputs: factor (B, 1, I) of what comes from the layer below.
        hidden: factor of the hidden state where the layer reads it, (B, H) per direction.
        weights: what stands for a recurrent weight, by the weight's `id`.
    """

    inputs: Tensor | None = None
    hidden: tuple[Tensor, ...] = ()
    weights: Mapping[int, Tensor] = field(default_factory=dict)

    def of_direction(self, index: int) -> "Noise":
        """What concerns one direction."""
        return Noise(None, self.hidden[index : index + 1], self.weights)

    def weight(self, weight: Tensor) -> Tensor:
        """The weight, or what stands for it."""
        return self.weights.get(id(weight), weight)

    def read(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Hidden state (B, H) -> its part in the gates, (B, G·H)."""
        for factor in self.hidden:
            hidden = hidden * factor
        return F.linear(hidden, self.weight(weight), bias)


def tanh_step(x: Tensor, h: Tensor, state: State) -> State:
    """A plain recurrent network (Elman 1990)."""
    return (torch.tanh(x + h),)


def relu_step(x: Tensor, h: Tensor, state: State) -> State:
    """A plain recurrent network of rectified units (Le et al. 2015)."""
    return (torch.relu(x + h),)


def gru_step(x: Tensor, h: Tensor, state: State) -> State:
    """A GRU (Cho et al. 2014), gates in torch's order: reset, update, new."""
    reset_x, update_x, new_x = x.chunk(3, dim=-1)
    reset_h, update_h, new_h = h.chunk(3, dim=-1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (new + update * (state[0] - new),)


def lstm_step(
    x: Tensor, h: Tensor, state: State, seen: Callable[[Tensor], Tensor] = lambda cell: cell
) -> State:
    """An LSTM (Hochreiter & Schmidhuber 1997), gates in torch's order: input, forget, new, output.

    `seen` is what the output gate lets out of the cell.
    """
    enter, forget, new, leave = (x + h).chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * state[1] + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(seen(cell)), cell


def unroll(
    step: Callable[[Tensor, State], State], x: Tensor, state: State, real: Tensor | None
) -> tuple[Tensor, State]:
    """Take one step after the other over x (B, T, G·H); the state stays at steps not real."""
    outputs = []
    with loop(x.shape[1]):
        for t, one in enumerate(x.unbind(1)):
            after = step(one, state)
            if real is not None:
                here = real[:, t : t + 1]
                after = tuple(torch.where(here, *both) for both in zip(after, state, strict=True))
            state = after
            outputs.append(state[0])
    return torch.stack(outputs, dim=1).to(x.dtype), state


class LayerNormCell(nn.Module):
    """A looped cell whose input and hidden state are normalised on their way to the gates.

    Layer normalisation as Ba et al. (2016, equations 20 to 25) place it.

    Args:
        input_size: I.
        hidden_size: H.
        groups: how many gates at a time are normalised together.
        step: what the gates do.
        forget_gate: which of the gates forgets, if one does.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        groups: Sequence[int],
        step: Step,
        forget_gate: int | None = None,
    ) -> None:
        super().__init__()
        rows = sum(groups) * hidden_size
        self.hidden_size = hidden_size
        self.forget_gate = forget_gate
        self.step = step
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        self.input_norm = _GroupedNorm([n * hidden_size for n in groups])
        self.hidden_norm = _GroupedNorm([n * hidden_size for n in groups])
        init_recurrent(self)
        set_forget_bias(self, 1.0)

    def forward(
        self, inputs: Tensor, state: State, real: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all cells."""

        def step(x: Tensor, state: State) -> State:
            read = self.hidden_norm(noise.read(state[0], self.weight_hh, None))
            return self.step(x, read + self.bias_hh, state)

        x = self.input_norm(F.linear(inputs, self.weight_ih)) + self.bias_ih
        return unroll(step, x, state, real)


class _GroupedNorm(nn.Module):
    """Normalises parts of the last dimension, each by itself."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.norms = nn.ModuleList([nn.LayerNorm(size, bias=False) for size in sizes])

    def forward(self, gates: Tensor) -> Tensor:
        parts = zip(self.norms, torch.split(gates, self.sizes, dim=-1), strict=True)
        return torch.cat([norm(part) for norm, part in parts], dim=-1)


class _NormedLSTMStep(nn.Module):
    """An LSTM's step that normalises what the output gate lets out."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.cell_norm = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, h: Tensor, state: State) -> State:
        return lstm_step(x, h, state, self.cell_norm)


def build_ln_lstm(input_size: int, hidden_size: int) -> LayerNormCell:
    """A layer-normalised LSTM (Ba et al. 2016, equations 20 to 22)."""
    return LayerNormCell(input_size, hidden_size, [4], _NormedLSTMStep(hidden_size), forget_gate=1)


def build_ln_gru(input_size: int, hidden_size: int) -> LayerNormCell:
    """A layer-normalised GRU (Ba et al. 2016, equations 23 to 25)."""
    return LayerNormCell(input_size, hidden_size, [2, 1], gru_step)


class DeepGRU(nn.Module):
    """A GRU that takes several steps per input, the further ones without input.

    Deep transition (Pascanu et al. 2014), as Miceli Barone et al. (2017) use it.
    """

    def __init__(self, input_size: int, hidden_size: int, depth: int) -> None:
        super().__init__()
        rows = 3 * hidden_size
        self.hidden_size = hidden_size
        self.depth = depth
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        for level in range(depth):
            for name, shape in {
                "weight_hh": (rows, hidden_size),
                "bias_ih": (rows,),
                "bias_hh": (rows,),
            }.items():
                self.register_parameter(f"{name}_{level}", nn.Parameter(torch.empty(shape)))
        init_recurrent(self)

    def forward(
        self, inputs: Tensor, state: State, real: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all cells."""
        (bias, *weights), *deeper = [
            [getattr(self, f"{name}_{level}") for name in ("bias_ih", "weight_hh", "bias_hh")]
            for level in range(self.depth)
        ]

        def step(x: Tensor, state: State) -> State:
            state = gru_step(x, noise.read(state[0], *weights), state)
            for nothing, *others in deeper:
                state = gru_step(nothing, noise.read(state[0], *others), state)
            return state

        return unroll(step, F.linear(inputs, self.weight_ih, bias), state, real)


class ParallelCell(nn.Module):
    """A cell whose gates see the input only, so that all steps are computed at once.

    The cell c(t) = f(t) · c(t-1) + (1 - f(t)) · activate(W x(t) + b) with the forget gate
    f(t) = sigmoid(V x(t) + d), and the output is emit(c(t)).
    """

    forget_gate = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activate: Callable[[Tensor], Tensor],
        emit: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.activate, self.emit = activate, emit
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))
        init_recurrent(self)

    def forward(
        self, inputs: Tensor, state: State, real: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all cells; there is nothing recurrent that noise could change."""
        gates = F.linear(inputs, self.weight_ih, self.bias_ih)
        forget, new = gates.to(self.weight_ih.dtype).chunk(2, dim=-1)
        keep, new = torch.sigmoid(forget), torch.sigmoid(-forget) * self.activate(new)
        if real is not None:
            padding = ~real.unsqueeze(2)
            keep, new = keep.masked_fill(padding, 1.0), new.masked_fill(padding, 0.0)
        states = linear_scan(keep, new, state[0])
        return self.emit(states).to(gates.dtype), (states[:, -1],)


def build_ssru(input_size: int, hidden_size: int) -> ParallelCell:
    """The simpler simple recurrent unit (Kim et al. 2019): its output is the rectified cell."""
    return ParallelCell(input_size, hidden_size, nn.Identity(), torch.relu)


def build_mingru(input_size: int, hidden_size: int) -> ParallelCell:
    """The minimal GRU of Feng et al. (2024), with the positive new states of its appendix B."""
    return ParallelCell(input_size, hidden_size, _positive, nn.Identity())


def _positive(values: Tensor) -> Tensor:
    return torch.where(values >= 0, values + 0.5, torch.sigmoid(values))


CELLS: dict[str, Callable[[int, int], LayerNormCell | ParallelCell]] = {
    "ln_lstm": build_ln_lstm,
    "ln_gru": build_ln_gru,
    "ssru": build_ssru,
    "mingru": build_mingru,
}
"""Cells by the name of their `rnn_type`, from I and H."""
