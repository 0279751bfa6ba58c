"""Models made for search alone, in the number format that is fastest there.

A search step is a handful of matrix products over as many rows as there are hypotheses. With
weights in bfloat16 they take half the time, in int8 a quarter of it, or half where the CPU has AVX2
alone. What the embeddings bring to the gates of the lowest layer is the same whenever a token is
read, so it becomes a table.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.device import has_fast_bfloat16
from seq2seq.model.cells import Noise, State, unroll
from seq2seq.model.decoder import Decoder
from seq2seq.model.embedding import TiedOutput
from seq2seq.model.encoder import Encoder
from seq2seq.model.layers import MODES, FusedLayers
from seq2seq.model.lexical import LexicalOutput
from seq2seq.model.recurrent import Recurrent
from seq2seq.model.seq2seq import Seq2Seq

MAX_TABLE = 2**25
"""Entries of a table of gates, at most: 128 MiB."""

SUMS_IN_32_BITS = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Instructions that multiply bytes and sum the products without loss."""

OFFSET = 128
"""What makes levels of inputs positive."""

ROW_MULTIPLE = 16
"""oneDNN builds a kernel for each number of rows, so they are filled up to a multiple of this. One
row stays alone: with 8,000 outputs it takes 0.6 ms, and 1.7 filled up."""


class SearchLinear(nn.Module):
    """A layer (…, I) -> (…, O), float32 at both ends; each of its buffers has a row per output."""

    def rows(self, index: Tensor) -> "SearchLinear":
        """The layer that gives only these outputs."""
        part = copy.copy(self)
        part._buffers = {
            name: None if buffer is None else buffer[index]
            for name, buffer in self._buffers.items()
        }
        return part


class FloatLinear(SearchLinear):
    """A layer with weights in the format `dtype`."""

    weight: Tensor
    bias: Tensor | None
    dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(self.dtype))
        self.register_buffer("bias", None if bias is None else bias.to(self.dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, I) -> (…, O)."""
        return F.linear(inputs.to(self.dtype), self.weight, self.bias).float()


class BFloat16Linear(FloatLinear):
    """A layer in bfloat16."""

    dtype = torch.bfloat16


class Int8Linear(SearchLinear):
    """A layer whose products and sums are made in integers.

    Weights are rounded to 255 levels of the largest of their row, inputs to 255 levels of the
    largest of theirs, whichever rows are beside them (symmetric dynamic quantisation).
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    highest = 127

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        levels, scale = _quantize(weight.float(), self.highest)
        self.register_buffer("weight", levels.to(torch.int8))
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("bias", bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, I) -> (…, O)."""
        levels, scale = _quantize(inputs.float().reshape(-1, inputs.shape[-1]))
        sums = self._multiply(levels)
        bias = sums.new_zeros(1) if self.bias is None else self.bias
        return torch.addcmul(bias, sums, scale).view(*inputs.shape[:-1], -1)

    def _multiply(self, levels: Tensor) -> Tensor:
        """Levels of inputs (N, I) -> (N, O), in units of them."""
        sums = torch._int_mm(levels.to(torch.int8), self.weight.t())
        return sums.float().mul_(self.scale)


class PairedInt8Linear(Int8Linear):
    """The same for CPUs with AVX2 alone, which sum products of bytes two by two in 16 bits.

    Two products of inputs up to 255, made so by an offset, and of weights up to 63 fit in there,
    so weights have 127 levels. oneDNN then makes them exactly.
    """

    highest = 63

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self._pack()

    def rows(self, index: Tensor) -> "PairedInt8Linear":
        """The layer that gives only these outputs."""
        part = copy.copy(self)
        part._buffers = super().rows(index)._buffers
        part._pack()
        return part

    def _pack(self) -> None:
        self.packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
        self.zeros = torch.zeros(len(self.weight), dtype=torch.int32)

    def _multiply(self, levels: Tensor) -> Tensor:
        rows = len(levels)
        missing = -rows % ROW_MULTIPLE if rows > 1 else 0
        filled = F.pad(levels.add_(OFFSET), (0, 0, 0, missing))
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            filled.to(torch.uint8),
            1.0,
            OFFSET,
            self.packed,
            self.scale,
            self.zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return product[:rows]


def _quantize(rows: Tensor, highest: int = 127) -> tuple[Tensor, Tensor]:
    """Rows (N, I) -> whole levels within ±highest, (N, I), and what one is worth, (N, 1)."""
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / highest
    return (rows / scale).round_(), scale


def build_int8(weight: Tensor, bias: Tensor | None) -> Int8Linear:
    """The layer in integers that is fast on this machine."""
    capabilities = torch.cpu.get_capabilities()
    in_pairs = capabilities.get("avx2") and not any(map(capabilities.get, SUMS_IN_32_BITS))
    return (PairedInt8Linear if in_pairs else Int8Linear)(weight, bias)


Build = Callable[[Tensor, Tensor | None], SearchLinear]
"""Makes a layer from weight (O, I) and bias (O,)."""

LINEARS: dict[str, Build] = {
    "float32": FloatLinear,
    "bfloat16": BFloat16Linear,
    "int8": build_int8,
}


class SteppedLayers(nn.Module):
    """The layers of a fused call one by one and step by step, made of given linear layers.

    Args:
        layers: of one direction.
        build: makes a linear layer.
        reads_gates: whether the inputs are already what they bring to the lowest layer's gates.
    """

    def __init__(self, layers: FusedLayers, build: Build, *, reads_gates: bool) -> None:
        super().__init__()
        self.take = MODES[layers.mode][1]
        self.num_layers = layers.num_layers
        self.inputs, self.hidden = nn.ModuleList(), nn.ModuleList()
        for index, (w_ih, w_hh, b_ih, b_hh) in enumerate(layers.all_weights):
            given = reads_gates and index == 0
            self.inputs.append(nn.Identity() if given else build(w_ih.detach(), b_ih.detach()))
            self.hidden.append(build(w_hh.detach(), b_hh.detach()))

    def forward(
        self, inputs: Tensor, state: State, lengths: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all layers."""
        finals = []
        for index, (read, recur) in enumerate(zip(self.inputs, self.hidden, strict=True)):

            def step(x: Tensor, state: State, recur: nn.Module = recur) -> State:
                return self.take(x, recur(state[0]), state)

            inputs, final = unroll(step, read(inputs), tuple(part[index] for part in state), None)
            finals.append(final)
        return inputs, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))


class BFloat16Layers(nn.Module):
    """The layers of a fused call in bfloat16, float32 at both ends."""

    def __init__(self, layers: FusedLayers) -> None:
        super().__init__()
        self.num_layers = layers.num_layers
        self.layers = copy.deepcopy(layers).bfloat16()

    def forward(
        self, inputs: Tensor, state: State, lengths: Tensor | None, noise: Noise
    ) -> tuple[Tensor, State]:
        """As all layers."""
        start = tuple(part.bfloat16() for part in state)
        outputs, final = self.layers(inputs.bfloat16(), start, lengths, noise)
        return outputs.float(), tuple(part.float() for part in final)


def for_search(model: Seq2Seq, precision: str) -> Seq2Seq:
    """A model like the given one, its matrix products in another format.

    On a GPU, where the number of kernels counts, recurrent layers stay as they are. The encoder's
    do so in int8 too, but for bfloat16 where that is fast: they read whole sentences in a call.

    Args:
        model: it stays as it is, and must do so while the other is in use.
        precision: one of `LINEARS`.
    """
    build = LINEARS[precision]
    # What isn't replaced is shared.
    model = copy.deepcopy(model, {id(own): own for own in model.parameters()}).eval()
    encoder, decoder = model.encoder, model.decoder
    device = next(model.parameters()).device
    if device.type == "cpu":
        table = _gate_table(decoder, len(model.output.weight))
        lowest = decoder.lower.rnn

        def step(layers: FusedLayers) -> SteppedLayers:
            given = table is not None and layers is lowest
            return SteppedLayers(layers, build, reads_gates=given)

        for stack in (decoder.lower, decoder.second, decoder.upper):
            if stack is not None:
                _replace_layers(stack, step)
        if table is not None:
            decoder.add_module("embedding", table)
        if precision != "float32" and has_fast_bfloat16(device) and isinstance(encoder, Encoder):
            _replace_layers(encoder.rnn, BFloat16Layers)
    _replace_linears(model, build)
    return model


def narrow(model: Seq2Seq, ids: Tensor) -> Seq2Seq:
    """A model made `for_search` that shares all weights, but predicts only tokens ids (V',)."""
    assert isinstance(model.output, SearchLinear)
    part = copy.copy(model)
    part._modules = {**model._modules, "output": model.output.rows(ids)}
    return part


def _gate_table(decoder: Decoder, num_tokens: int) -> nn.Embedding | None:
    """What each token brings to the gates of the lowest layer, if nothing else has a part in it."""
    layers = decoder.lower.rnn
    mixed = decoder.input_feeding or decoder.deep_output or decoder.context_gate is not None
    if mixed or not isinstance(layers, FusedLayers):
        return None
    weight, _, bias, _ = layers.all_weights[0]
    if num_tokens * len(weight) > MAX_TABLE:
        return None
    with torch.no_grad():
        gates = F.linear(decoder.embedding(torch.arange(num_tokens)), weight, bias)
    return nn.Embedding(num_tokens, len(weight), _weight=gates, _freeze=True)


def _replace_layers(stack: Recurrent, replace: Callable[[FusedLayers], nn.Module]) -> None:
    for parent, name in ((stack, "rnn"), *((stack.above, str(i)) for i in range(len(stack.above)))):
        layers = getattr(parent, name)
        if isinstance(layers, FusedLayers):
            parent.add_module(name, replace(layers))


def _replace_linears(parent: nn.Module, build: Build) -> None:
    """Replace all layers; those of one input or output stay in float32, nothing is gained there."""
    for name, layer in parent.named_children():
        if not isinstance(layer, nn.Linear | TiedOutput | LexicalOutput):
            _replace_linears(layer, build)
        else:
            make = build if min(layer.weight.shape) > 1 else FloatLinear
            bias = None if layer.bias is None else layer.bias.detach()
            parent.add_module(name, make(layer.weight.detach(), bias))
