from typing import get_args

import numpy as np
import oracles
import pytest
import torch
from tiny import randomise, weights_of

from seq2seq.model.recurrent import NUM_STATES, RNNS, Recurrent
from seq2seq.recipe import RnnType

LENGTHS = torch.tensor([3, 7, 1, 5])
STACKS = [
    pytest.param(rnn_type, layers, bidirectional, id=f"{rnn_type}-{layers}-{bidirectional}")
    for rnn_type in RNNS
    for layers in (1, 2, 3)
    for bidirectional in (False, True)
]
every_stack = pytest.mark.parametrize(("rnn_type", "layers", "bidirectional"), STACKS)


def build(rnn_type, layers, bidirectional=False, dropout=0.0):
    return randomise(
        Recurrent(rnn_type, 4, 3, layers, bidirectional=bidirectional, dropout=dropout)
    )


@every_stack
def test_padded_sequences_are_read_like_the_loop_reads_each(rnn_type, layers, bidirectional):
    stack = build(rnn_type, layers, bidirectional)
    inputs = torch.randn(len(LENGTHS), 8, 4)
    outputs, final = stack(inputs, lengths=LENGTHS)
    merged = stack.merge_directions(final)
    assert len(final) == NUM_STATES[rnn_type]
    for i, length in enumerate(LENGTHS.tolist()):
        expected, states = oracles.recurrent(
            rnn_type,
            weights_of(stack.rnn),
            inputs[i, :length].double().numpy(),
            bidirectional=bidirectional,
        )
        np.testing.assert_allclose(outputs[i, :length].detach(), expected, atol=1e-5)
        assert not outputs[i, length:].any()
        for part, values in enumerate(zip(*states, strict=True)):
            np.testing.assert_allclose(final[part][:, i].detach(), np.array(values), atol=1e-5)
            per_layer = np.array(values).reshape(layers, -1)
            np.testing.assert_allclose(merged[part][:, i].detach(), per_layer, atol=1e-5)


@every_stack
def test_packed_is_unpadded(rnn_type, layers, bidirectional):
    stack = build(rnn_type, layers, bidirectional)
    inputs = torch.randn(len(LENGTHS), int(LENGTHS.max()), 4)
    outputs, final = stack(inputs, lengths=LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        alone, alone_final = stack(inputs[i : i + 1, :length])
        torch.testing.assert_close(outputs[i, :length], alone[0], atol=1e-6, rtol=1e-5)
        for ours, theirs in zip(final, alone_final, strict=True):
            torch.testing.assert_close(ours[:, i], theirs[:, 0], atol=1e-6, rtol=1e-5)


@every_stack
def test_padding_is_not_read(rnn_type, layers, bidirectional):
    stack = build(rnn_type, layers, bidirectional)
    inputs = torch.randn(len(LENGTHS), 8, 4)
    outputs, final = stack(inputs, lengths=LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        inputs[i, length:] = float("nan")
    again, final_again = stack(inputs, lengths=LENGTHS)
    assert torch.equal(outputs, again)
    assert all(map(torch.equal, final, final_again))


@pytest.mark.parametrize("length", [5, 4])
@pytest.mark.parametrize("rnn_type", RNNS)
def test_equal_lengths_are_like_unequal_ones(rnn_type, length):
    stack = build(rnn_type, 2, bidirectional=True)
    inputs = torch.randn(3, 5, 4)
    outputs, _ = stack(inputs, lengths=torch.tensor([length] * 3))
    expected, _ = stack(inputs[:, :length])
    torch.testing.assert_close(outputs[:, :length], expected, atol=1e-6, rtol=1e-5)
    assert not outputs[:, length:].any()


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("rnn_type", RNNS)
def test_a_run_can_be_continued(rnn_type, layers):
    stack = build(rnn_type, layers)
    inputs = torch.randn(3, 6, 4)
    start = tuple(torch.randn(layers, 3, 3) for _ in range(NUM_STATES[rnn_type]))
    outputs, final = stack(inputs, start)
    first, state = stack(inputs[:, :2], start)
    second, state = stack(inputs[:, 2:], state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), outputs)
    for ours, theirs in zip(state, final, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("rnn_type", RNNS)
def test_dropout_acts_between_layers_and_in_training(rnn_type):
    inputs = torch.randn(3, 6, 4)
    deep, shallow = build(rnn_type, 2, dropout=0.5), build(rnn_type, 1, dropout=0.5)
    assert torch.equal(deep(inputs)[0], deep(inputs)[0])
    assert not torch.equal(deep.train()(inputs)[0], deep(inputs)[0])
    assert torch.equal(shallow.train()(inputs)[0], shallow(inputs)[0])


def test_every_type_of_the_recipe_is_there():
    assert set(RNNS) == set(NUM_STATES) == set(get_args(RnnType))
