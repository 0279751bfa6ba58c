"""Tiny networks with weights that no part of the arithmetic can hide behind."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seq2seq import recipe
from seq2seq.device import has_bfloat16
from seq2seq.model.recurrent import Recurrent
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import EOS, PAD

SRC_VOCAB, TGT_VOCAB = 11, 9

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16"
)

DECODERS = [
    *itertools.product(("bahdanau", "luong", "dot"), ("first_layer", "input", "conditional", None)),
    *itertools.product(("coverage", "location", "monotonic"), ("first_layer", "input")),
    ("concat", "first_layer"),
    ("scaled_dot", "first_layer"),
    ("location", "conditional"),
    (None, None),
]
"""Decoders of all kinds: (attention, feeding)."""

EXTRAS: list[dict[str, object]] = [
    {"context_gate": True},
    {"deep_output": True},
    {"attention_heads": 2},
    {"attention_heads": 3, "attention": "scaled_dot", "feeding": "input"},
    {"lexical": True},
    {"copy_attention": True},
    {"context_gate": True, "deep_output": True, "feeding": "input"},
    {"context_gate": True, "feeding": "conditional"},
    {"lexical": True, "copy_attention": True, "feeding": "conditional", "attention": "coverage"},
]
"""Keys of the decoder that add something to these."""

KINDS = [{"attention": attention, "feeding": feeding} for attention, feeding in DECODERS] + EXTRAS
"""Keys of all these decoders."""


def randomise(module: nn.Module, scale: float = 0.5) -> nn.Module:
    """Fill all weights and biases, except embeddings of padding, and leave training mode."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=scale)
        for part in module.modules():
            if isinstance(part, nn.Embedding):
                part.weight[PAD] = 0
    return module.eval()


def build_section(**keys) -> recipe.Model:
    """A model section of tiny sizes; `encoder` and `decoder` override single keys of theirs."""
    encoder = {"embedding_dim": 4, "hidden_size": 3, "num_layers": 2} | keys.pop("encoder", {})
    decoder = {"embedding_dim": 4, "hidden_size": 6, "num_layers": 2} | keys.pop("decoder", {})
    return recipe.Model.model_validate({"encoder": encoder, "decoder": decoder, **keys})


def build_model(**keys) -> Seq2Seq:
    tgt_vocab = keys.pop("tgt_vocab", TGT_VOCAB)
    model = Seq2Seq(build_section(**keys), SRC_VOCAB, tgt_vocab)
    randomise(model)
    return model


def random_source(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Source ids (B, S) that end and are padded, and their lengths (B,)."""
    src = torch.full((len(lengths), max(lengths)), PAD)
    for row, length in zip(src, lengths, strict=True):
        row[: length - 1] = torch.randint(EOS + 1, SRC_VOCAB, (length - 1,))
        row[length - 1] = EOS
    return src, torch.tensor(lengths)


def random_target(rows: int, steps: int) -> Tensor:
    return torch.randint(EOS + 1, TGT_VOCAB, (rows, steps))


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


def layers_of(stack: Recurrent) -> list[list[dict[str, np.ndarray]]]:
    """Weights of each layer and direction, named as if there were no other."""
    layers = []
    for part in (stack.rnn, *stack.above):
        if isinstance(part, nn.RNNBase):
            weights = weights_of(part)
            names = [[name.split("_l") for name in names] for names in part._all_weights]
            cells = [{n: weights[f"{n}_l{rest}"] for n, rest in parts} for parts in names]
            size = stack.directions
            layers += [cells[i : i + size] for i in range(0, len(cells), size)]
        else:
            layers.append([weights_of(cell) for cell in part.cells])
    return layers
