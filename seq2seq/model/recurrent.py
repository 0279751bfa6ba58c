"""Stacks of recurrent layers behind one interface."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.model.cells import CELLS, DeepGRU, Noise, State
from seq2seq.model.dropout import Dropout, Dropouts
from seq2seq.model.layers import CellLayer, FusedLayers, real_steps, reverse

FUSED = {"rnn_tanh": "RNN_TANH", "rnn_relu": "RNN_RELU", "gru": "GRU", "lstm": "LSTM"}
"""Kinds of cell that torch has a fused call for, and its name for them."""

RNNS: dict[str, Callable[..., FusedLayers | CellLayer]] = {
    **{name: partial(FusedLayers, mode) for name, mode in FUSED.items()},
    **{name: partial(CellLayer, build) for name, build in CELLS.items()},
}
"""Layers by kind of cell, from the size of their input and H."""

NUM_STATES = dict.fromkeys(RNNS, 1) | {"lstm": 2, "ln_lstm": 2}


class Recurrent(nn.Module):
    """Recurrent layers over (B, T, input_size).

    They run in one fused call if torch has one for their kind and nothing is to happen between
    them; otherwise one layer after the other.

    Args:
        rnn_type: kind of cell, one of `RNNS`.
        input_size: features of each step.
        hidden_size: units of each layer, per direction.
        num_layers: how many.
        bidirectional: whether each layer reads in both directions.
        alternating: whether every second layer reads backwards (Zhou et al. 2016).
        residual: whether a layer adds what it reads to what it gives (He et al. 2016).
        on_top: whether the inputs begin with the outputs of a layer below, so that `residual` has
            them in the lowest layer too (as Wu et al. 2016 have it above the attention).
        transition_depth: steps that a GRU takes for each input.
        pyramid_layers: of the layers above the lowest, how many read two steps as one and so halve
            the length (Chan et al. 2016).
        dropouts: `hidden` between layers, `recurrent` and `weight` within them.
        hidden_only: whether the final state lacks the cells of LSTM layers in fused calls.

    Attributes:
        output_size: features per step, both directions together.
        reduction: steps of the inputs that one of the outputs stands for.
    """

    def __init__(
        self,
        rnn_type: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bidirectional: bool = False,
        alternating: bool = False,
        residual: bool = False,
        on_top: bool = False,
        transition_depth: int = 1,
        pyramid_layers: int = 0,
        dropouts: Dropouts | None = None,
        hidden_only: bool = False,
    ) -> None:
        super().__init__()
        assert transition_depth == 1 or rnn_type == "gru", rnn_type
        dropouts = dropouts or Dropouts()
        self.rnn_type = rnn_type
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.directions = 2 if bidirectional else 1
        self.output_size = hidden_size * self.directions
        self.alternating = alternating
        self.residual, self.on_top = residual, on_top
        self.pyramid_layers = pyramid_layers
        self.reduction = 2**pyramid_layers
        self.dropout = Dropout(dropouts.hidden, locked=dropouts.locked)
        self.recurrent_dropout = Dropout(dropouts.recurrent)
        self.weight_dropout = Dropout(dropouts.weight)
        apart = alternating or residual or pyramid_layers or dropouts.locked or dropouts.recurrent
        build = RNNS[rnn_type]
        if transition_depth > 1:
            build = partial(CellLayer, partial(DeepGRU, depth=transition_depth))
        elif rnn_type in FUSED:
            build = partial(build, hidden_only=hidden_only)
            if not apart:
                build = partial(build, num_layers=num_layers, dropout=dropouts.hidden)
        self.rnn = build(input_size, hidden_size, bidirectional=bidirectional)
        sizes = [self.output_size * (2 if self._joins(i) else 1) for i in range(1, num_layers)]
        self.above = nn.ModuleList(
            build(size, hidden_size, bidirectional=bidirectional)
            for size in (sizes if self.rnn.num_layers == 1 else [])
        )

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        noise: Sequence[Noise] | None = None,
    ) -> tuple[Tensor, State]:
        """Run over a batch of sequences.

        Args:
            inputs: (B, T, input_size).
            state: where to start, each (L·directions, B, H); zeros if not given.
            lengths: (B,) on the CPU: steps beyond them are not read, so that the backward
                direction starts and the final state stays at the last real step.
            noise: what `draw` gave, if one sequence is run in several calls.

        Returns:
            (B, T, output_size), zero beyond the lengths, and the final state, (L·directions, B, H).
            T is halved, and so are the lengths, by each of the `pyramid_layers`.
        """
        layers = [self.rnn, *self.above]
        if noise is None:
            noise = self.draw(inputs)
        if state is None:
            shape = self.num_layers * self.directions, len(inputs), self.hidden_size
            state = (inputs.new_zeros(shape),) * NUM_STATES[self.rnn_type]
        if self.on_top and lengths is not None:
            inputs = inputs.masked_fill(~real_steps(inputs, lengths).unsqueeze(2), 0.0)
        starts = zip(*(part.chunk(len(layers)) for part in state), strict=True)
        finals = []
        for index, (layer, start) in enumerate(zip(layers, starts, strict=True)):
            below = inputs
            if index:
                factor = noise[index].inputs
                inputs = (
                    self.dropout(inputs) if factor is None else inputs * factor.to(inputs.dtype)
                )
            if self._joins(index):
                inputs, lengths = join_pairs(inputs, lengths)
            if lengths is not None and int(lengths.min()) == inputs.shape[1]:
                lengths = None
            backwards = self.alternating and index % 2 == 1
            if backwards:
                inputs = reverse(inputs, lengths)
            inputs, final = layer(inputs, start, lengths, noise[index])
            if backwards:
                inputs = reverse(inputs, lengths)
            if self.residual and (index or self.on_top) and not self._joins(index):
                inputs = inputs + below[..., : self.output_size]
            finals.append(final)
        if not self.above:
            return inputs, finals[0]
        return inputs, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def draw(self, like: Tensor) -> tuple[Noise, ...]:
        """What each layer drops in training on a batch of sequences such as (B, T, ·)."""
        return tuple(self._draw(index, like) for index in range(1 + len(self.above)))

    def _draw(self, index: int, like: Tensor) -> Noise:
        batch = len(like)
        inputs, hidden, weights = None, None, {}
        if index and self.dropout.locked:
            inputs = self.dropout.draw(like.new_empty(batch, 1, self.output_size))
        if self.recurrent_dropout.probability:
            shape = self.directions, batch, self.hidden_size
            hidden = self.recurrent_dropout.draw(like.new_empty(shape))
        if self.weight_dropout.probability:
            layer = self.above[index - 1] if index else self.rnn
            for name, weight in layer.named_parameters():
                factor = self.weight_dropout.draw(weight) if "weight_hh" in name else None
                if factor is not None:
                    weights[id(weight)] = weight * factor
        return Noise(inputs, () if hidden is None else tuple(hidden), weights)

    def _joins(self, index: int) -> bool:
        """Whether a layer reads two steps as one."""
        return 0 < index <= self.pyramid_layers

    def shorten(self, lengths: Tensor) -> Tensor:
        """Lengths of the outputs for inputs of these lengths."""
        for _ in range(self.pyramid_layers):
            lengths = (lengths + 1) // 2
        return lengths

    def merge_directions(self, state: State) -> State:
        """Join the directions of each layer: each (L·directions, B, H) -> (L, B, output_size)."""
        if self.directions == 1:
            return state
        return tuple(torch.cat((part[0::2], part[1::2]), dim=-1) for part in state)


def join_pairs(inputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Make one step of two, (B, T, M) -> (B, T/2, 2·M); a step of zeros joins an odd last one."""
    inputs = F.pad(inputs, (0, 0, 0, inputs.shape[1] % 2))
    return inputs.reshape(len(inputs), -1, 2 * inputs.shape[2]), (
        None if lengths is None else (lengths + 1) // 2
    )
