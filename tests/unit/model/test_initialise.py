import math

import pytest
import torch
from tiny import SRC_VOCAB, TGT_VOCAB, build_section
from torch import nn

from seq2seq.model.initialise import INITIALIZERS
from seq2seq.model.recurrent import RNNS, Recurrent
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.recipe import Model

SIZE = 60


def build(rnn_type="lstm", **keys):
    torch.manual_seed(5)
    sizes = {"embedding_dim": SIZE, "hidden_size": SIZE, "rnn_type": rnn_type}
    section = build_section(encoder=sizes | {"bidirectional": False}, decoder=sizes, **keys)
    return Seq2Seq(section, SRC_VOCAB, TGT_VOCAB)


def gates_of(model, kind):
    """Weights (H, ·) of each gate of each recurrent layer."""
    for name, parameter in model.named_parameters():
        if kind in name:
            yield from parameter.detach().split(SIZE)


def dense_of(model):
    return [part.weight for part in model.modules() if isinstance(part, nn.Linear)][:-1]


def assert_fits(weight, kind):
    rows, columns = weight.shape
    if kind == "orthogonal":
        small, large = sorted((rows, columns))
        assert small == large
        torch.testing.assert_close(weight @ weight.T, torch.eye(rows), atol=1e-5, rtol=1e-5)
        return
    limits = {"xavier": math.sqrt(6 / (rows + columns)), "he": math.sqrt(6 / columns)}
    limit = limits.get(kind, 0.07)
    assert 0.9 * limit < weight.abs().max() <= limit * 1.0001
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("rnn_type", RNNS)
@pytest.mark.parametrize("inner", ["orthogonal", "xavier", "he", "uniform"])
@pytest.mark.parametrize("outer", ["xavier", "he", "uniform"])
def test_weights_are_drawn_by_gate_as_asked(rnn_type, outer, inner):
    model = build(rnn_type, initializer=outer, recurrent_initializer=inner, init_range=0.07)
    for weight in gates_of(model, "weight_hh"):
        assert_fits(weight, inner)
    for weight in gates_of(model, "weight_ih"):
        assert_fits(weight, outer)
    for weight in dense_of(model):
        assert_fits(weight, outer)


def test_what_is_not_asked_for_stays():
    usual, other = build(), build(recurrent_initializer="he", initializer="he")
    scaled = ("embedding", "output", "bias")
    for (name, ours), theirs in zip(usual.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs) is any(part in name for part in scaled)


@pytest.mark.parametrize("rnn_type", ["lstm", "ln_lstm", "ssru"])
@pytest.mark.parametrize("value", [None, 0.0, 2.5])
def test_forget_gates_have_their_bias(rnn_type, value):
    model = build(rnn_type, forget_bias=value)
    expected = value if value is not None else float("lstm" in rnn_type)
    gate = 0 if rnn_type == "ssru" else 1
    found = [p for name, p in model.named_parameters() if "rnn" in name and "bias_ih" in name]
    assert found
    for bias in found:
        for index, part in enumerate(bias.split(SIZE)):
            assert part.eq(expected if index == gate else 0.0).all()


def test_deep_transitions_start_like_other_steps():
    deep = Recurrent("gru", 4, SIZE, 1, transition_depth=3)
    weights = [gate for gate in gates_of(deep, "weight_hh")]
    assert len(weights) == 9
    for weight in weights:
        assert_fits(weight, "orthogonal")


def test_every_initialiser_of_the_recipe_is_there():
    for key in ("initializer", "recurrent_initializer"):
        choices = set(Model.model_fields[key].annotation.__args__)
        assert choices <= set(INITIALIZERS)
        assert key == "initializer" or choices == set(INITIALIZERS)
