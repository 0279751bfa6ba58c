"""Stacks of recurrent layers behind one interface."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

State = tuple[Tensor, ...]
"""Recurrent state, each (L, B, H): (hidden,) of a GRU, (hidden, cell) of an LSTM."""

RNNS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
NUM_STATES = {"gru": 1, "lstm": 2}


class Recurrent(nn.Module):
    """GRU or LSTM layers over (B, T, input_size), all steps in one fused call.

    Attributes:
        output_size: features per step, both directions together.
    """

    def __init__(
        self,
        rnn_type: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rnn_type = rnn_type
        self.directions = 2 if bidirectional else 1
        self.output_size = hidden_size * self.directions
        self.rnn = RNNS[rnn_type](
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier input weights and orthogonal recurrent weights for each gate, zero biases.

        The forget gates of an LSTM start open, with bias 1 (Jozefowicz et al. 2015).
        """
        hidden = self.rnn.hidden_size
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
                if self.rnn_type == "lstm" and name.startswith("bias_ih"):
                    nn.init.ones_(parameter.data[hidden : 2 * hidden])
                continue
            for gate in torch.split(parameter.data, hidden):
                if name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate)
                else:
                    nn.init.xavier_uniform_(gate)

    def forward(
        self, inputs: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Run over a batch of sequences.

        Args:
            inputs: (B, T, input_size).
            state: where to start, each (L, B, H); zeros if not given.
            lengths: (B,) on the CPU: steps beyond them are not read, so that the backward
                direction starts and the final state stays at the last real step. The sequences
                are packed only if lengths differ: a fused call over equal ones is faster.

        Returns:
            (B, T, output_size), zero beyond the lengths, and the final state, (L·directions, B, H).
        """
        hx = None if state is None else (state[0] if len(state) == 1 else state)
        steps = inputs.shape[1]
        if lengths is None or int(lengths.min()) == steps:
            outputs, final = self.rnn(inputs, hx)
        else:
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            result, final = self.rnn(packed, hx)
            assert isinstance(result, PackedSequence)
            outputs, _ = pad_packed_sequence(result, batch_first=True, total_length=steps)
        return outputs, final if isinstance(final, tuple) else (final,)

    def merge_directions(self, state: State) -> State:
        """Join the directions of each layer: each (L·directions, B, H) -> (L, B, output_size)."""
        if self.directions == 1:
            return state
        return tuple(torch.cat((part[0::2], part[1::2]), dim=-1) for part in state)


def init_linear(layer: nn.Linear) -> nn.Linear:
    """Xavier weights and zero bias (Glorot & Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
