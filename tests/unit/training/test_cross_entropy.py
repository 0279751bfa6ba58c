from dataclasses import fields, replace
from typing import get_args

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
from pairs import gradients, gradients_of, make_batch, same, section
from tiny import DECODERS, SRC_VOCAB, build_model, needs_bfloat16

from seq2seq.recipe import Training
from seq2seq.special import EOS, PAD
from seq2seq.training.cross_entropy import CrossEntropy
from seq2seq.training.progress import Progress
from seq2seq.training.teacher_forcing import TEACHER_FORCING_DECAYS, forcing_ratio


def test_it_is_the_sum_over_real_tokens():
    model, batch = build_model(), make_batch()
    loss = CrossEntropy(section(), 1)(model, batch, Progress())
    smoothed = plain = 0.0
    for row in range(3):
        length = int((batch.tgt_out[row] != PAD).sum())
        alone = model(
            batch.src[row : row + 1, : batch.src_lengths[row]],
            batch.src_lengths[row : row + 1],
            batch.tgt_in[row : row + 1, :length],
        )
        logits = model.output(alone[0]).detach().double().numpy()
        part = oracles.smoothed_loss(logits, batch.tgt_out[row, :length].tolist(), 0.1)
        smoothed, plain = smoothed + part[0], plain + part[1]
    assert loss.objective.item() == pytest.approx(smoothed, rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(plain, rel=1e-5)


def test_r_drop_of_two_equal_passes_is_the_plain_loss():
    model, batch = build_model(dropout=0), make_batch()
    plain, plain_gradients = gradients(CrossEntropy(section(), 1), model, batch)
    twin, twin_gradients = gradients(CrossEntropy(section(r_drop=5), 1), model, batch)
    assert twin.objective.item() == pytest.approx(plain.objective.item(), rel=1e-5)
    assert twin.cross_entropy.item() == pytest.approx(plain.cross_entropy.item(), rel=1e-5)
    same(twin_gradients, plain_gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("locked", [False, True])
def test_r_drop_adds_the_divergence_of_two_dropouts(locked, copies):
    keys = {"decoder": {"copy_attention": copies}, "tgt_vocab": SRC_VOCAB}
    model = build_model(dropout=0.5, locked_dropout=locked, **keys).train()
    batch = make_batch()
    values = {}
    for weight in (0.0001, 1, 2):
        torch.manual_seed(3)
        values[weight] = CrossEntropy(section(r_drop=weight), 1)(model, batch, Progress())
    nats = {loss.cross_entropy.item() for loss in values.values()}
    assert len(nats) == 1
    first, second = (values[w].objective.item() - values[0.0001].objective.item() for w in (1, 2))
    assert 0 < second == pytest.approx(2 * first, rel=1e-2)


@pytest.mark.parametrize("copies", [False, True])
def test_predictions_are_learnt_from_as_if_they_were_read(copies):
    model = build_model(decoder={"copy_attention": copies}, tgt_vocab=SRC_VOCAB)
    batch, steps = make_batch(), []
    state = model.encode(batch.src, batch.src_lengths)
    for tokens in batch.tgt_in.T:
        log_probs, state = model.step(tokens, state)
        steps.append(log_probs.argmax(dim=1))
    predicted = torch.stack(steps, dim=1)
    read = batch.tgt_in.clone()
    for row, step in (batch.tgt_in > EOS).nonzero().tolist():
        read[row, step] = predicted[row, step - 1]
    assert not torch.equal(read, batch.tgt_in)
    ours, our_gradients = gradients(CrossEntropy(section(teacher_forcing=0), 1), model, batch)
    by_hand = replace(batch, tgt_in=read)
    theirs, their_gradients = gradients(CrossEntropy(section(), 1), model, by_hand)
    assert ours.objective.item() == pytest.approx(theirs.objective.item(), rel=1e-5)
    same(our_gradients, their_gradients, atol=1e-5, rtol=1e-4)


@needs_bfloat16
def test_all_weights_learn_from_predictions_in_bfloat16():
    settings = section(teacher_forcing=0.5, precision="bfloat16")
    _, found = gradients(CrossEntropy(settings, 1), build_model(), make_batch())
    assert all(gradient.any() for gradient in found.values())


def test_what_is_read_is_a_function_of_seed_update_and_example():
    model, batch = build_model(), make_batch()
    seen = []
    decode = model.decode

    def read(seed=1, update=0, rows=(0, 1, 2)):
        rows = list(rows)
        part = replace(
            batch,
            src=batch.src[rows],
            src_in=batch.src_in[rows],
            src_lengths=batch.src_lengths[rows],
            tgt_in=batch.tgt_in[rows],
            tgt_out=batch.tgt_out[rows],
            index=batch.index[rows],
            num_tokens=int((batch.tgt_out[rows] != PAD).sum()),
        )
        CrossEntropy(section(teacher_forcing=0.5), seed)(model, part, Progress(update=update))
        return seen[-1]

    model.decode = lambda tokens, state: seen.append(tokens) or decode(tokens, state)
    whole = read()
    assert torch.equal(read(), whole)
    assert torch.equal(read(rows=(2, 0)), whole[[2, 0]])
    assert not torch.equal(read(seed=2), whole) and not torch.equal(read(update=1), whole)
    assert torch.equal(whole == PAD, batch.tgt_in == PAD)


def test_the_ratio_is_kept():
    # A model whose predictions are no tokens of the references, so that each can be told.
    model, batch = build_model(), make_batch((3,) * 200, (9,) * 200)
    with torch.no_grad():
        model.output.bias[EOS] = 99
    tokens, seen, decode = batch.tgt_in, [], model.decode
    model.decode = lambda tokens, state: seen.append(tokens) or decode(tokens, state)
    CrossEntropy(section(teacher_forcing=0.3), 1)(model, batch, Progress())
    kept = (seen[-1] == tokens)[:, 1:]
    assert kept.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert (seen[-1][:, 1:][~kept] == EOS).all()


@pytest.mark.parametrize(
    ("decay", "formula"),
    [
        ("linear", lambda u: 1 - u),
        ("exponential", lambda u: np.exp(-5 * u)),
        ("inverse_sigmoid", lambda u: 1 / (1 + np.exp(12 * u - 6))),
        (None, lambda u: 0),
    ],
)
def test_the_ratio_falls_as_the_recipe_says(decay, formula):
    keys = {"teacher_forcing_decay": decay, "teacher_forcing_updates": 50}
    settings = section(teacher_forcing=0.4, **keys)
    for update in (0, 10, 25, 49):
        expected = 0.4 + 0.6 * formula(update / 50)
        assert forcing_ratio(settings, update) == pytest.approx(expected)
    assert forcing_ratio(settings, 50) == forcing_ratio(settings, 500) == 0.4
    assert {forcing_ratio(section(), update) for update in (0, 1, 10**5)} == {1.0}


def test_the_recipe_names_all_decays():
    literal, _ = get_args(Training.model_fields["teacher_forcing_decay"].annotation)
    assert tuple(TEACHER_FORCING_DECAYS) == get_args(literal)


def without_past(state):
    """A decoder state of the same numbers, all but the source made again without gradient."""

    def made_again(part):
        if isinstance(part, tuple):
            return tuple(map(made_again, part))
        return None if part is None else torch.tensor(part.tolist())

    names = {field.name for field in fields(state)} - {"memory"}
    return replace(state, **{name: made_again(getattr(state, name)) for name in names})


every_decoder = pytest.mark.parametrize(("attention", "feeding"), DECODERS)


@every_decoder
@pytest.mark.parametrize("rnn_type", ["gru", "lstm"])
def test_a_cut_gradient_is_that_of_steps_by_hand(attention, feeding, rnn_type):
    decoder = {"attention": attention, "feeding": feeding, "rnn_type": rnn_type}
    model, batch = build_model(decoder=decoder), make_batch()
    ours, our_gradients = gradients(CrossEntropy(section(truncate=2), 1), model, batch)
    plain, plain_gradients = gradients(CrossEntropy(section(), 1), model, batch)
    assert ours.objective.item() == pytest.approx(plain.objective.item(), rel=1e-5)
    name = "decoder.lower.rnn.weight_hh_l0"
    assert not torch.allclose(our_gradients[name], plain_gradients[name], rtol=1e-3)

    state, losses = model.encode(batch.src, batch.src_lengths), 0.0
    for step, (token, target) in enumerate(zip(batch.tgt_in.T, batch.tgt_out.T, strict=True)):
        if step in (2, 4):
            state = without_past(state)
        features, state = model.decode(token.unsqueeze(1), state)
        losses += F.cross_entropy(
            model.output(features.squeeze(1)),
            target,
            ignore_index=PAD,
            reduction="sum",
            label_smoothing=0.1,
        )
    model.zero_grad()
    losses.backward()
    expected = gradients_of(model)
    same(our_gradients, expected, atol=1e-4, rtol=1e-3)


@every_decoder
def test_a_cut_beyond_the_end_is_none(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding})
    batch = make_batch()
    _, ours = gradients(CrossEntropy(section(truncate=6), 1), model, batch)
    _, expected = gradients(CrossEntropy(section(), 1), model, batch)
    same(ours, expected)
