"""Recurrent layers of one direction or both, behind one interface.

A layer takes inputs (B, T, I), a state, each (L·directions, B, H), real lengths (B,) on the CPU, or
None if all are T, and noise. It gives outputs (B, T, directions·H), zero beyond the lengths, and
the state after the last real step of each direction.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seq2seq.model.cells import (
    Noise,
    Run,
    State,
    Step,
    gru_step,
    lstm_step,
    relu_step,
    tanh_step,
    unroll,
)
from seq2seq.model.initialise import init_recurrent, set_forget_bias

MODES: dict[str, tuple[Callable[..., tuple[Tensor, ...]], Step]] = {
    "RNN_TANH": (torch.rnn_tanh, tanh_step),
    "RNN_RELU": (torch.rnn_relu, relu_step),
    "GRU": (torch.gru, gru_step),
    "LSTM": (torch.lstm, lstm_step),
}
"""What torch calls a cell: the call that runs all steps, and one step."""


class FusedLayers(nn.RNNBase):
    """Layers that torch runs over all steps in one call.

    Noise in the hidden state has no place in that call, and there is nothing to fuse in a single
    step; then each layer runs step by step.

    Args:
        mode: what torch calls the cell.
        input_size: features of each step.
        hidden_size: units of each layer, per direction.
        num_layers: how many.
        bidirectional: whether each layer reads in both directions.
        dropout: probability, between layers.
        hidden_only: whether the final state lacks the cell of an LSTM. On a CPU that saves half of
            the time where lengths differ: sequences needn't be packed then, which oneDNN's LSTM
            doesn't know.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        hidden_only: bool = False,
    ) -> None:
        super().__init__(
            mode,
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.forget_gate = 1 if mode == "LSTM" else None
        self.hidden_only = hidden_only
        init_recurrent(self)
        set_forget_bias(self, 1.0)

    def forward(
        self, inputs: Tensor, state: State, lengths: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all layers."""
        outputs, final = self._run(inputs, state, lengths, noise)
        return outputs, final[:1] if self.hidden_only else final

    def _run(
        self, inputs: Tensor, state: State, lengths: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """Sequences are packed only if lengths differ, as that takes longer."""
        if noise.hidden or _is_one_step(inputs):
            return self._one_by_one(self._build_loop, inputs, state, lengths, noise)
        if lengths is None:
            return self._call((inputs,), state, noise, True)
        if self.hidden_only and self.mode == "LSTM" and inputs.device.type == "cpu":
            return self._one_by_one(self._build_padded, inputs, state, lengths, noise)
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        data, sizes, order, back = packed
        assert order is not None and back is not None
        start = tuple(part.index_select(1, order) for part in state)
        result, final = self._call((data, sizes), start, noise)
        outputs, _ = pad_packed_sequence(
            PackedSequence(result, sizes, order, back),
            batch_first=True,
            total_length=inputs.shape[1],
        )
        return outputs, tuple(part.index_select(1, back) for part in final)

    def _call(
        self, inputs: Sequence[Tensor], state: State, noise: Noise, *batch_first: bool
    ) -> tuple[Tensor, State]:
        weights = [noise.weight(weight) for layer in self.all_weights for weight in layer]
        with _quiet_about_copies() if noise.weights else nullcontext():
            outputs, *final = MODES[self.mode][0](
                *inputs,
                state if len(state) > 1 else state[0],
                weights,
                True,
                self.num_layers,
                self.dropout,
                self.training,
                self.bidirectional,
                *batch_first,
            )
        return outputs, tuple(final)

    def _one_by_one(
        self,
        build_run: Callable[[Sequence[Tensor]], Run],
        inputs: Tensor,
        state: State,
        lengths: Tensor | None,
        noise: Noise,
    ) -> tuple[Tensor, State]:
        """Layers and directions one after the other."""
        runs = [build_run(weights) for weights in self.all_weights]
        directions = len(runs) // self.num_layers
        finals = []
        for first in range(0, len(runs), directions):
            part = slice(first, first + directions)
            if first:
                inputs = F.dropout(inputs, self.dropout, self.training)
            start = tuple(each[part] for each in state)
            inputs, final = run_directions(runs[part], inputs, start, lengths, noise)
            finals.append(final)
        return inputs, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _build_loop(self, weights: Sequence[Tensor]) -> Run:
        w_ih, w_hh, b_ih, b_hh = weights
        take = MODES[self.mode][1]

        def run(
            inputs: Tensor, state: State, real: Tensor | None, noise: Noise
        ) -> tuple[Tensor, State]:
            def step(x: Tensor, state: State) -> State:
                return take(x, noise.read(state[0], w_hh, b_hh), state)

            return unroll(step, F.linear(inputs, w_ih, b_ih), state, real)

        return run

    def _build_padded(self, weights: Sequence[Tensor]) -> Run:
        """An LSTM that reads the padding too, which stands behind all that counts."""

        def run(
            inputs: Tensor, state: State, real: Tensor | None, noise: Noise
        ) -> tuple[Tensor, State]:
            assert real is not None
            outputs, *_ = torch.lstm(
                inputs,
                tuple(part.to(inputs.dtype).unsqueeze(0) for part in state),
                [noise.weight(weight) for weight in weights],
                True,
                1,
                0.0,
                self.training,
                False,
                True,
            )
            last = real.sum(dim=1).sub(1).view(-1, 1, 1).expand(-1, 1, outputs.shape[2])
            return outputs, (outputs.gather(1, last).squeeze(1),)

        return run


def _is_one_step(inputs: Tensor) -> bool:
    """Whether this is a step of a loop in training on the CPU (see `loop`), or as good as one.

    torch's own call would take products for the gradients of its weights there; on a GPU, where
    the number of kernels counts, it is the faster one.
    """
    return inputs.shape[1] == 1 and torch.is_grad_enabled() and inputs.device.type == "cpu"


@contextmanager
def _quiet_about_copies() -> Iterator[None]:
    """On a GPU torch warns of copying weights that don't lie side by side, as new ones can't."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single")
        yield


class CellLayer(nn.Module):
    """One layer of cells that know nothing of directions."""

    def __init__(
        self,
        build_cell: Callable[[int, int], nn.Module],
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.num_layers = 1
        directions = 2 if bidirectional else 1
        self.cells = nn.ModuleList([build_cell(input_size, hidden_size) for _ in range(directions)])

    def forward(
        self, inputs: Tensor, state: State, lengths: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all layers."""
        return run_directions(list(self.cells), inputs, state, lengths, noise)


def run_directions(
    runs: Sequence[Run], inputs: Tensor, state: State, lengths: Tensor | None, noise: Noise
) -> tuple[Tensor, State]:
    """Run a forward cell and, if there is a second one, a backward cell, as a layer does."""
    real = None
    if lengths is not None:
        real = real_steps(inputs, lengths)
        inputs = inputs.masked_fill(~real.unsqueeze(2), 0.0)
    outputs, finals = [], []
    for index, run in enumerate(runs):
        # Sums over many steps want float32, in bfloat16 training too.
        start = tuple(
            part[index].to(torch.promote_types(part.dtype, torch.float32)) for part in state
        )
        # The backward cell reads a reversed sequence.
        read = reverse(inputs, lengths) if index else inputs
        output, final = run(read, start, real, noise.of_direction(index))
        outputs.append(reverse(output, lengths) if index else output)
        finals.append(final)
    joined = torch.cat(outputs, dim=-1)
    if real is not None:
        joined = joined.masked_fill(~real.unsqueeze(2), 0.0)
    return joined, tuple(torch.stack(part) for part in zip(*finals, strict=True))


def real_steps(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Mask (B, T) of sequences (B, T, ·)."""
    steps = torch.arange(sequences.shape[1], device=sequences.device)
    return steps < lengths.to(sequences.device).unsqueeze(1)


def reverse(sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse the real steps of each sequence (B, T, ·); padding stays behind them."""
    if lengths is None:
        return sequences.flip(1)
    steps = torch.arange(sequences.shape[1], device=sequences.device)
    last = lengths.to(sequences.device).unsqueeze(1) - 1
    index = torch.where(steps <= last, last - steps, steps)
    return sequences.gather(1, index.unsqueeze(2).expand_as(sequences))
