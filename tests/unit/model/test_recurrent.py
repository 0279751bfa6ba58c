from typing import get_args

import numpy as np
import oracles
import pytest
import torch
from tiny import layers_of, randomise
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq.model.dropout import Dropouts
from seq2seq.model.recurrent import NUM_STATES, RNNS, Recurrent
from seq2seq.recipe import RnnType

LENGTHS = torch.tensor([3, 7, 1, 5])
STACKS = [
    pytest.param(
        {"rnn_type": rnn_type, "num_layers": layers, "bidirectional": bidirectional},
        id=f"{rnn_type}-{layers}-{bidirectional}",
    )
    for rnn_type in RNNS
    for layers in (1, 2, 3)
    for bidirectional in (False, True)
]
SHAPES = [
    pytest.param({"rnn_type": rnn_type, "num_layers": 3} | keys, id=f"{rnn_type}-{'-'.join(keys)}")
    for rnn_type in ("lstm", "gru", "ln_gru", "ssru")
    for keys in (
        {"residual": True},
        {"residual": True, "on_top": True},
        {"residual": True, "bidirectional": True},
        {"alternating": True},
        {"alternating": True, "residual": True, "pyramid_layers": 1},
        {"pyramid_layers": 2},
        {"pyramid_layers": 1, "residual": True, "bidirectional": True},
    )
]
DEEP = [
    pytest.param(
        {"num_layers": layers, "transition_depth": 3, "bidirectional": bidirectional},
        id=f"deep-{layers}-{bidirectional}",
    )
    for layers in (1, 2)
    for bidirectional in (False, True)
]
every_stack = pytest.mark.parametrize("keys", [*STACKS, *SHAPES, *DEEP])
every_type = pytest.mark.parametrize("rnn_type", RNNS)


pytestmark = pytest.mark.usefixtures("doubles")


def build(rnn_type="gru", num_layers=2, hidden_size=3, **keys):
    scale = 0.5 if hidden_size == 3 else 0.3  # more units would be a chaotic system
    return randomise(Recurrent(rnn_type, 4, hidden_size, num_layers, **keys), scale)


def read_slowly(stack, sequence, state=None, hidden_factors=None):
    deep = any("weight_hh_1" in name for name, _ in stack.rnn.named_parameters())
    return oracles.recurrent(
        "deep_gru" if deep else stack.rnn_type,
        layers_of(stack),
        sequence.numpy(),
        state,
        alternating=stack.alternating,
        residual=stack.residual,
        on_top=stack.on_top,
        pyramid_layers=stack.pyramid_layers,
        hidden_factors=hidden_factors,
    )


def same(ours, theirs):
    np.testing.assert_allclose(ours.detach(), np.array(theirs), atol=1e-9, rtol=1e-7)


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-7)


@every_stack
def test_padded_sequences_are_read_like_the_loop_reads_each(keys):
    stack = build(**keys)
    inputs = torch.randn(len(LENGTHS), 8, 4)
    outputs, final = stack(inputs, lengths=LENGTHS)
    merged = stack.merge_directions(final)
    assert len(final) == NUM_STATES[stack.rnn_type]
    for i, length in enumerate(LENGTHS.tolist()):
        expected, states = read_slowly(stack, inputs[i, :length])
        short = int(stack.shorten(LENGTHS)[i])
        same(outputs[i, :short], expected)
        assert not outputs[i, short:].any()
        for part, values in enumerate(zip(*states, strict=True)):
            same(final[part][:, i], values)
            same(merged[part][:, i], np.array(values).reshape(stack.num_layers, -1))


@every_stack
@pytest.mark.parametrize("lengths", [LENGTHS.tolist(), [7, 8, 7, 8], [8, 8, 8, 8]], ids=str)
def test_without_cells_all_else_is_the_same(keys, lengths):
    whole, part = build(**keys), build(hidden_only=True, **keys)
    part.load_state_dict(whole.state_dict())
    found = []
    for stack in (whole, part):
        inputs = torch.linspace(-2, 2, len(lengths) * 8 * 4).view(-1, 8, 4).sin().requires_grad_()
        outputs, (hidden, *_) = stack(inputs, lengths=torch.tensor(lengths))
        (outputs.square().sum() + hidden.pow(3).sum()).backward()
        gradients = [weight.grad for weight in stack.parameters()]
        found.append([outputs, hidden, inputs.grad, *gradients])
    for expected, ours in zip(*found, strict=True):
        assert_close(ours, expected)


@every_stack
def test_together_is_alone(keys):
    stack = build(**keys)
    inputs = torch.randn(len(LENGTHS), int(LENGTHS.max()), 4)
    outputs, final = stack(inputs, lengths=LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        alone, alone_final = stack(inputs[i : i + 1, :length])
        assert_close(outputs[i, : alone.shape[1]], alone[0])
        for ours, theirs in zip(final, alone_final, strict=True):
            assert_close(ours[:, i], theirs[:, 0])


@every_stack
def test_padding_is_not_read(keys):
    stack = build(**keys)
    inputs = torch.randn(len(LENGTHS), 8, 4)
    outputs, final = stack(inputs, lengths=LENGTHS)
    for i, length in enumerate(LENGTHS.tolist()):
        inputs[i, length:] = float("nan")
    again, final_again = stack(inputs.requires_grad_(), lengths=LENGTHS)
    assert torch.equal(outputs, again)
    assert all(map(torch.equal, final, final_again))
    again.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in stack.parameters())
    for i, length in enumerate(LENGTHS.tolist()):
        assert not inputs.grad[i, length:].any()


@pytest.mark.parametrize("length", [5, 4])
@every_type
def test_equal_lengths_are_like_unequal_ones(rnn_type, length):
    stack = build(rnn_type, 2, bidirectional=True)
    inputs = torch.randn(3, 5, 4)
    outputs, _ = stack(inputs, lengths=torch.tensor([length] * 3))
    expected, _ = stack(inputs[:, :length])
    assert_close(outputs[:, :length], expected)
    assert not outputs[:, length:].any()


FORWARD = [keys for keys in (*STACKS, *DEEP) if not keys.values[0]["bidirectional"]]


@pytest.mark.parametrize("keys", [*FORWARD, *(k for k in SHAPES if "on_top" in k.values[0])])
def test_a_run_starts_anywhere_and_can_be_continued(keys):
    stack = build(**keys)
    inputs = torch.randn(3, 6, 4)
    start = tuple(torch.randn(stack.num_layers, 3, 3) for _ in range(NUM_STATES[stack.rnn_type]))
    outputs, final = stack(inputs, start)
    for i in range(3):
        state = list(zip(*(part[:, i].numpy() for part in start), strict=True))
        expected, _ = read_slowly(stack, inputs[i], state)
        same(outputs[i], expected)
    state, pieces = start, []
    for piece in inputs.split([2, 1, 1, 2], dim=1):
        output, state = stack(piece, state)
        pieces.append(output)
    assert_close(torch.cat(pieces, dim=1), outputs)
    for ours, theirs in zip(state, final, strict=True):
        assert_close(ours, theirs)


@every_type
def test_bfloat16_is_as_good_as_it_can_be(rnn_type):
    stack = build(rnn_type, 2, 8, bidirectional=True).float()
    inputs = torch.randn(len(LENGTHS), 8, 4, dtype=torch.float32)
    expected, _ = stack(inputs, lengths=LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = stack(inputs, lengths=LENGTHS)
    torch.testing.assert_close(outputs.float(), expected, atol=0.1, rtol=0.05)


@every_type
@pytest.mark.parametrize("locked", [False, True])
def test_dropout_acts_between_layers_and_in_training(rnn_type, locked):
    inputs = torch.randn(3, 6, 4)
    dropouts = Dropouts(hidden=0.5, locked=locked)
    deep, shallow = (build(rnn_type, n, 8, dropouts=dropouts) for n in (2, 1))
    assert torch.equal(deep(inputs)[0], deep(inputs)[0])
    assert not torch.equal(deep.train()(inputs)[0], deep(inputs)[0])
    assert torch.equal(shallow.train()(inputs)[0], shallow(inputs)[0])


NOISES = {
    "locked": Dropouts(hidden=0.5, locked=True),
    "recurrent": Dropouts(recurrent=0.5),
    "weight": Dropouts(weight=0.5),
}
every_noise = pytest.mark.parametrize("dropouts", NOISES.values(), ids=NOISES)
NOISY = [
    pytest.param({"rnn_type": rnn_type}, id=rnn_type)
    for rnn_type in RNNS
    if rnn_type not in ("ssru", "mingru")
] + [pytest.param({"transition_depth": 2}, id="deep")]
every_noisy_type = pytest.mark.parametrize("keys", NOISY)


@every_noise
@every_noisy_type
def test_noise_stays_over_calls_and_ends_with_training(keys, dropouts):
    stack, plain = (build(**keys, hidden_size=8, dropouts=d) for d in (dropouts, None))
    inputs = torch.randn(3, 6, 4)
    outputs, _ = stack.train()(inputs)
    assert not torch.equal(outputs, stack(inputs)[0])
    noise, state, pieces = stack.draw(inputs), None, []
    whole, _ = stack(inputs, noise=noise)
    for piece in inputs.split(1, dim=1):
        output, state = stack(piece, state, noise=noise)
        pieces.append(output)
    assert_close(torch.cat(pieces, dim=1), whole)
    with torch.no_grad():
        for ours, theirs in zip(plain.parameters(), stack.parameters(), strict=True):
            ours.copy_(theirs)
    assert_close(stack.eval()(inputs)[0], plain(inputs)[0])


@pytest.mark.parametrize("bidirectional", [False, True])
@every_noisy_type
def test_recurrent_dropout_drops_what_is_read_of_the_hidden_state(keys, bidirectional):
    keys = keys | {"bidirectional": bidirectional, "dropouts": Dropouts(recurrent=0.5)}
    stack = build(**keys).train()
    inputs = torch.randn(len(LENGTHS), 8, 4)
    noise = stack.draw(inputs)
    outputs, final = stack(inputs, lengths=LENGTHS, noise=noise)
    factors = torch.stack([factor for layer in noise for factor in layer.hidden])
    assert {0.0, 2.0} == set(factors.unique().tolist())
    for i, length in enumerate(LENGTHS.tolist()):
        factor = factors[:, i].numpy()
        expected, states = read_slowly(stack, inputs[i, :length], hidden_factors=factor)
        same(outputs[i, :length], expected)
        for part, values in enumerate(zip(*states, strict=True)):
            same(final[part][:, i], values)


@pytest.mark.parametrize("bidirectional", [False, True])
@every_noisy_type
def test_weight_dropout_drops_recurrent_weights_and_their_gradients(keys, bidirectional):
    keys = keys | {"bidirectional": bidirectional, "hidden_size": 8}
    stack = build(**keys, dropouts=Dropouts(weight=0.5)).train()
    inputs = torch.randn(len(LENGTHS), 8, 4)
    noise = stack.draw(inputs)
    outputs, _ = stack(inputs, lengths=LENGTHS, noise=noise)
    outputs.square().sum().backward()
    plain, dropped = build(**keys), {k: v for layer in noise for k, v in layer.weights.items()}
    with torch.no_grad():
        for ours, theirs in zip(plain.parameters(), stack.parameters(), strict=True):
            ours.copy_(dropped.pop(id(theirs), theirs))
    assert not dropped
    expected, _ = plain(inputs, lengths=LENGTHS)
    assert_close(outputs, expected)
    expected.square().sum().backward()
    names = [name for name, _ in stack.named_parameters() if "weight_hh" in name]
    for name in names:
        ours, theirs = stack.get_parameter(name), plain.get_parameter(name)
        kept = theirs != 0
        assert_close(theirs[kept], 2 * ours[kept])
        assert 0.2 < kept.float().mean() < 0.8
        torch.testing.assert_close(
            ours.grad, torch.where(kept, 2 * theirs.grad, 0.0), atol=1e-9, rtol=1e-7
        )


@pytest.mark.parametrize("rnn_type", ["lstm", "ln_lstm", "ssru"])
def test_locked_dropout_drops_units_of_a_layer_at_all_steps(rnn_type):
    stack = build(rnn_type, 2, dropouts=Dropouts(hidden=0.5, locked=True)).train()
    lower, upper = (Recurrent(rnn_type, size, 3, 1) for size in (4, 3))
    lower.rnn, upper.rnn = stack.rnn, stack.above[0]
    inputs = torch.randn(50, 6, 4)
    noise = stack.draw(inputs)
    factor = noise[1].inputs
    assert factor.shape == (50, 1, 3) and {0.0, 2.0} == set(factor.unique().tolist())
    assert_close(stack(inputs, noise=noise)[0], upper(lower(inputs)[0] * factor)[0])


class Counter(TorchDispatchMode):
    """Counts tensor operations."""

    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def count_operations(stack, steps):
    inputs = torch.randn(2, steps, 4, requires_grad=True)
    with Counter() as counter:
        stack(inputs)[0].sum().backward()
    return counter.calls


@pytest.mark.parametrize("rnn_type", ["ssru", "mingru"])
def test_parallel_cells_double_their_view_instead_of_going_step_by_step(rnn_type):
    stack = build(rnn_type, 2, bidirectional=True)
    counts = [count_operations(stack, steps) for steps in (64, 128, 256)]
    assert counts[2] - counts[1] == counts[1] - counts[0]


def test_every_type_of_the_recipe_is_there():
    assert set(RNNS) == set(NUM_STATES) == set(get_args(RnnType))
