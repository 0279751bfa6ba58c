"""Gradients of weights in loops over time."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq.model import cells, decoder, layers, memory
from seq2seq.model.loop import loop
from tests.tiny import (
    KINDS,
    SRC_VOCAB,
    TGT_VOCAB,
    build_model,
    needs_bfloat16,
)

LOOPS = cells, decoder, memory


def gradients(model, *, steps=6):
    torch.manual_seed(3)
    src = torch.randint(4, SRC_VOCAB, (3, 4))
    tgt = torch.randint(4, TGT_VOCAB, (3, steps))
    features = model(src, torch.tensor([4, 4, 4]), tgt)
    (features.float().sin() * torch.arange(1.0, 1 + features.shape[-1])).sum().backward()
    return {name: part.grad for name, part in model.named_parameters() if part.grad is not None}


def step_by_step(monkeypatch):
    """As torch does it without further ado."""
    for module in LOOPS:
        monkeypatch.setattr(module, "loop", lambda num_steps: nullcontext())
    monkeypatch.setattr(layers, "_is_one_step", lambda inputs: False)


@pytest.mark.parametrize("rnn_type", ["lstm", "gru", "ln_gru"])
@pytest.mark.parametrize("keys", KINDS, ids=str)
def test_gradients_are_those_of_the_plain_loop(keys, rnn_type, monkeypatch):
    keys = {"num_layers": 2, "rnn_type": rnn_type} | keys
    models = [build_model(decoder=keys).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    here = gradients(models[0])
    step_by_step(monkeypatch)
    there = gradients(models[1])
    assert here.keys() == there.keys()
    for name, gradient in there.items():
        torch.testing.assert_close(here[name], gradient, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("feeding", ["input", "conditional"])
def test_noise_within_the_loop_is_in_the_gradients(feeding, monkeypatch):
    noise = {"locked_dropout": True, "dropout": 0.3, "recurrent_dropout": 0.3}
    keys = {"decoder": {"feeding": feeding, "num_layers": 2}, "weight_dropout": 0.4, **noise}
    models = [build_model(**keys).double().train() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    here = gradients(models[0])
    step_by_step(monkeypatch)
    for name, gradient in gradients(models[1]).items():
        torch.testing.assert_close(here[name], gradient, rtol=1e-9, atol=1e-9, msg=name)


class ProductsOf(TorchDispatchMode):
    """Counts the matrix products of some shapes."""

    def __init__(self, *shapes):
        super().__init__()
        self.shapes, self.count = shapes, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if "mm" in func.__name__ and tuple(result.shape) in self.shapes:
            self.count += 1
        return result


@pytest.mark.parametrize("feeding", ["input", "conditional"])
@pytest.mark.parametrize("steps", [2, 9])
def test_each_weight_takes_one_product_however_long_the_loop(feeding, steps):
    model = build_model(decoder={"feeding": feeding, "num_layers": 1, "hidden_size": 7})
    weight = model.decoder.lower.rnn.weight_hh_l0
    with ProductsOf(tuple(weight.shape)) as products:
        gradients(model, steps=steps)
    # The second transition of a conditional decoder has such a weight too.
    assert products.count == {"input": 1, "conditional": 2}[feeding]


@pytest.mark.parametrize("feeding", ["input", "conditional"])
@pytest.mark.parametrize("steps", [2, 9])
def test_so_do_keys_and_values(feeding, steps):
    model = build_model(decoder={"feeding": feeding, "num_layers": 1})
    with ProductsOf((3, 4, 6), (3, 6, 4)) as products:
        gradients(model, steps=steps)
    assert products.count == 2


def test_views_of_a_weight_are_the_same_weight_and_others_are_not():
    weight, inputs = nn.Parameter(torch.randn(5, 8)), torch.randn(4, 3)
    with loop(2), ProductsOf((5, 3)) as products:
        parts = weight[:, :3], weight[:, :3], weight[:, 3:6]
        sum(F.linear(inputs, part) for part in parts).sum().backward()
    assert products.count == 2
    columns = torch.cat((2 * inputs.sum(0), inputs.sum(0), torch.zeros(2)))
    torch.testing.assert_close(weight.grad, columns.expand(5, 8))


def test_a_layer_that_is_not_trained_has_no_gradient():
    layer = nn.Linear(3, 2).requires_grad_(False)
    inputs = torch.randn(4, 3, requires_grad=True)
    with loop(2):
        outputs = layer(inputs) + F.linear(inputs, layer.weight)
    outputs.sum().backward()
    torch.testing.assert_close(inputs.grad, 2 * layer.weight.sum(0).expand(4, 3))
    assert layer.weight.grad is None


def test_what_no_gradient_comes_to_is_no_hindrance():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    inputs = torch.randn(2, 4, 3)
    with loop(2):
        unused, used = second(inputs), first(inputs)
    del unused
    used.sum().backward()
    assert second.weight.grad is None
    torch.testing.assert_close(first.weight.grad, inputs.sum((0, 1)).expand(3, 3))


def test_two_backward_passes_give_twice_the_gradient():
    layer, inputs = nn.Linear(3, 2), torch.randn(4, 3)
    with loop(2):
        outputs = (layer(inputs) + layer(2 * inputs)).sum()
    outputs.backward(retain_graph=True)
    once = layer.weight.grad.clone()
    outputs.backward()
    torch.testing.assert_close(layer.weight.grad, 2 * once)


def test_nothing_outlives_its_graph():
    gc.disable()
    try:
        keys = torch.randn(2, 3, 4, requires_grad=True) * 1
        kept = weakref.ref(keys)
        with loop(2):
            total = sum(torch.bmm(torch.ones(2, 1, 3), keys).sum() for _ in range(2))
        total.backward()
        del keys, total
        assert kept() is None
    finally:
        gc.enable()


@needs_bfloat16
def test_autocast_reaches_into_the_loop():
    layer, inputs = nn.Linear(64, 32), torch.randn(8, 64)
    with torch.autocast("cpu", torch.bfloat16):
        plain = layer(inputs)
        with loop(2):
            looped = layer(inputs)
    assert looped.dtype == torch.bfloat16
    assert torch.equal(plain, looped)
    looped.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
