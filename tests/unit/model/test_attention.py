from typing import get_args

import numpy as np
import oracles
import pytest
import torch
from tiny import randomise, weights_of

from seq2seq.model import monotonic
from seq2seq.model.attention import ATTENTIONS, MultiHeadAttention, build_attention
from seq2seq.model.memory import Memory
from seq2seq.model.monotonic import MonotonicAttention, stopping
from seq2seq.recipe import AttentionType

LENGTHS = [4, 6, 1]
MASK = torch.arange(6) < torch.tensor(LENGTHS).unsqueeze(1)
STEPS = 4
every_kind = pytest.mark.parametrize("kind", ATTENTIONS)


def build(kind):
    """An attention of queries of 5 over values of 3, or 5 where they must be equal."""
    return randomise(ATTENTIONS[kind](5, value_size(kind)), scale=1.0)


def value_size(kind):
    return 5 if kind in ("dot", "scaled_dot") else 3


def attend(attention, query, values, mask=MASK):
    memory = attention.build_memory(values, mask)
    rows = torch.arange(len(values)).repeat_interleave(len(query) // len(values))
    past = attention.start(memory)
    return attention(query, memory, None if past is None else past[rows])


@every_kind
@pytest.mark.parametrize("width", [1, 2])
def test_contexts_are_those_of_the_loop(kind, width):
    attention = build(kind)
    query, values = torch.randn(3 * width, STEPS, 5), torch.randn(3, 6, value_size(kind))
    found = attend(attention, query, values)
    for row, queries in enumerate(query.double().numpy()):
        length = LENGTHS[row // width]
        real, past = values[row // width, :length].double().numpy(), None
        for t, one in enumerate(queries):
            context, weights, past = oracles.attend(kind, weights_of(attention), one, real, past)
            np.testing.assert_allclose(found.contexts[row, t].detach(), context, atol=1e-5)
            np.testing.assert_allclose(found.weights[row, t, :length].detach(), weights, atol=1e-5)
        if found.past is not None:
            np.testing.assert_allclose(found.past[row, :length].detach(), past, atol=1e-5)


@pytest.mark.parametrize("kind", ["luong", "scaled_dot"])
@pytest.mark.parametrize("heads", [2, 3])
def test_heads_are_those_of_the_loop(kind, heads):
    attention = randomise(build_attention(kind, 6, 5, heads))
    assert isinstance(attention, MultiHeadAttention)
    query, values = torch.randn(6, STEPS, 6), torch.randn(3, 6, 5)
    found = attend(attention, query, values)
    for row, queries in enumerate(query.double().numpy()):
        length = LENGTHS[row // 2]
        real = values[row // 2, :length].double().numpy()
        for t, one in enumerate(queries):
            context, weights = oracles.attend_with_heads(
                weights_of(attention), heads, kind == "scaled_dot", one, real
            )
            np.testing.assert_allclose(found.contexts[row, t].detach(), context, atol=1e-5)
            np.testing.assert_allclose(found.weights[row, t, :length].detach(), weights, atol=1e-5)
            assert not found.weights[row, t, length:].any()


@pytest.mark.parametrize("kind", [*ATTENTIONS, "heads"])
def test_padding_gets_no_weight(kind):
    attention = randomise(build_attention("luong", 5, 3, 5)) if kind == "heads" else build(kind)
    query, values = torch.randn(3, STEPS, 5), torch.randn(3, 6, value_size(kind))
    found = attend(attention, query, values)
    assert not found.weights.masked_select(~MASK.unsqueeze(1)).any()
    if kind != "monotonic":
        torch.testing.assert_close(found.weights.sum(dim=-1), torch.ones(3, STEPS))
    loud = torch.where(MASK.unsqueeze(2), values, 1000.0)
    torch.testing.assert_close(attend(attention, query, loud).contexts, found.contexts)
    wider = torch.nn.functional.pad(values, (0, 0, 0, 2))
    again = attend(attention, query, wider, torch.nn.functional.pad(MASK, (0, 2)))
    torch.testing.assert_close(again.contexts, found.contexts)


@every_kind
def test_queries_know_only_what_is_remembered(kind):
    attention = build(kind)
    query, values = torch.randn(3, STEPS, 5), torch.randn(3, 6, value_size(kind))
    memory = attention.build_memory(values, MASK)
    past, apart = attention.start(memory), []
    for one in query.split(1, dim=1):
        found = attention(one, memory, past)
        past = found.past
        apart.append(found.contexts)
    torch.testing.assert_close(attend(attention, query, values).contexts, torch.cat(apart, dim=1))


@pytest.mark.parametrize("spread", [1.0, 8.0, 60.0])
def test_monotonic_weights_in_training_are_those_of_all_walks(spread):
    scores = spread * torch.randn(7, 6)
    past = torch.softmax(torch.randn(7, 6), dim=-1)
    found = stopping(scores, past)
    for row in range(7):
        probabilities = oracles.sigmoid(scores[row].double().numpy())
        expected = oracles.stopping_shares(probabilities, past[row].double().numpy())
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_monotonic_attention_learns_at_any_scores():
    scores = (200 * torch.randn(9, 20)).requires_grad_()
    past = torch.softmax(torch.randn(9, 20), dim=-1).requires_grad_()
    (stopping(scores, past) * torch.randn(9, 20)).sum().backward()
    assert scores.grad.isfinite().all() and past.grad.isfinite().all()
    assert past.grad.any()


def test_sure_monotonic_attention_looks_in_training_where_it_looks_later(monkeypatch):
    monkeypatch.setattr(monotonic, "NOISE", 0.0)
    attention = randomise(MonotonicAttention(5, 3))
    with torch.no_grad():
        attention.scale.fill_(1e7)
    query, values = torch.randn(3, STEPS, 5), torch.randn(3, 6, 3)
    later = attend(attention, query, values)
    training = attend(attention.train(), query, values)
    torch.testing.assert_close(training.weights, later.weights, atol=1e-3, rtol=1e-3)


def test_noise_is_for_training():
    attention, values = build("monotonic"), torch.randn(3, 6, 3)
    query = torch.randn(3, STEPS, 5)
    assert torch.equal(*(attend(attention, query, values).weights for _ in range(2)))
    attention.train()
    assert not torch.equal(*(attend(attention, query, values).weights for _ in range(2)))


def test_coverage_knows_no_fertility_too_small_to_divide_by():
    attention = build("coverage")
    query, values = torch.randn(3, STEPS, 5), torch.randn(3, 6, 3, requires_grad=True)
    with torch.no_grad():
        attention.fertility.bias.fill_(-200)
    found = attend(attention, query, values)
    assert found.contexts.isfinite().all()
    found.contexts.sum().backward()
    assert values.grad.isfinite().all()


def test_memory_keeps_the_selected_sentences():
    memory = Memory(torch.randn(3, 6, 5), torch.randn(3, 6, 4), MASK, embeddings=torch.randn(3, 6))
    kept = memory.select(torch.tensor([2, 0]))
    assert kept.tokens is None
    for name in ("keys", "values", "mask", "embeddings"):
        assert torch.equal(getattr(kept, name), getattr(memory, name)[[2, 0]])


def test_every_kind_of_the_recipe_is_there():
    assert set(ATTENTIONS) == set(get_args(AttentionType))
