from typing import get_args

import numpy as np
import oracles
import pytest
import torch
from tiny import randomise, weights_of

from seq2seq.model.attention import ATTENTIONS, Memory
from seq2seq.recipe import AttentionType

LENGTHS = [4, 6, 1]
MASK = torch.arange(6) < torch.tensor(LENGTHS).unsqueeze(1)
every_kind = pytest.mark.parametrize("kind", ATTENTIONS)


def build(kind):
    """An attention of queries of 5 over values of 3, or 5 where they must be equal."""
    return randomise(ATTENTIONS[kind](5, value_size(kind)))


def value_size(kind):
    return 5 if kind == "dot" else 3


@every_kind
def test_contexts_are_those_of_the_loop(kind):
    attention = build(kind)
    query, values = torch.randn(3, 2, 5), torch.randn(3, 6, value_size(kind))
    contexts, shares = attention(query, attention.build_memory(values, MASK))
    for i, length in enumerate(LENGTHS):
        for q in range(2):
            context, weights = oracles.attend(
                kind,
                weights_of(attention),
                query[i, q].double().numpy(),
                values[i, :length].double().numpy(),
            )
            np.testing.assert_allclose(contexts[i, q].detach(), context, atol=1e-5)
            np.testing.assert_allclose(shares[i, q, :length].detach(), weights, atol=1e-5)


@every_kind
def test_padding_gets_no_weight(kind):
    attention = build(kind)
    query, values = torch.randn(3, 2, 5), torch.randn(3, 6, value_size(kind))
    contexts, shares = attention(query, attention.build_memory(values, MASK))
    assert not shares.masked_select(~MASK.unsqueeze(1)).any()
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(3, 2))
    loud = torch.where(MASK.unsqueeze(2), values, 1000.0)
    again, _ = attention(query, attention.build_memory(loud, MASK))
    torch.testing.assert_close(contexts, again)


@every_kind
def test_queries_do_not_know_each_other(kind):
    attention = build(kind)
    query, values = torch.randn(3, 4, 5), torch.randn(3, 6, value_size(kind))
    memory = attention.build_memory(values, MASK)
    together, _ = attention(query, memory)
    apart = [attention(one, memory)[0] for one in query.split(1, dim=1)]
    torch.testing.assert_close(together, torch.cat(apart, dim=1))


def test_memory_keeps_the_selected_sentences():
    memory = Memory(torch.randn(3, 6, 5), torch.randn(3, 6, 4), MASK)
    kept = memory.select(torch.tensor([2, 0]))
    for ours, theirs in zip(vars(kept).values(), vars(memory).values(), strict=True):
        assert torch.equal(ours, theirs[[2, 0]])


def test_every_kind_of_the_recipe_is_there():
    assert set(ATTENTIONS) == set(get_args(AttentionType))
