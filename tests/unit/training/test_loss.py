import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
from tiny import randomise
from torch import nn

from seq2seq.training import loss as loss_module
from seq2seq.training.predictions import Predictions

TOKENS, SIZE, VOCAB = 13, 6, 9


def output_loss(output, features, targets, *settings, **keys):
    return loss_module.output_loss(predictions(output, features), targets, *settings, **keys)


def predictions(output, features):
    """Of features (N, R), or (2, N, R) of two passes."""
    return Predictions(output, (features if features.dim() == 3 else features.unsqueeze(0),))


every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])


def build(dtype=torch.float32):
    """An output layer with features and targets for it."""
    features = torch.randn(TOKENS, SIZE).to(dtype).requires_grad_()
    return randomise(nn.Linear(SIZE, VOCAB)), features, torch.randint(VOCAB, (TOKENS,))


def gradients(value, output, features):
    return torch.autograd.grad(value, (features, output.weight, output.bias))


def plain_loss(output, features, targets, smoothing):
    return F.cross_entropy(
        output(features.float()), targets, reduction="sum", label_smoothing=smoothing
    )


@every_smoothing
def test_the_loss_is_the_sum_by_hand(chunk, smoothing):
    output, features, targets = build()
    loss = output_loss(output, features, targets, smoothing)
    logits = output(features).detach().double().numpy()
    objective, cross_entropy = oracles.smoothed_loss(logits, targets.tolist(), smoothing)
    assert loss.objective.item() == pytest.approx(objective, rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(cross_entropy, rel=1e-5)


@every_smoothing
def test_gradients_are_those_of_autograd(chunk, smoothing):
    output, features, targets = build()
    ours = output_loss(output, features, targets, smoothing).objective / 7
    expected = plain_loss(output, features, targets, smoothing) / 7
    for our, their in zip(
        gradients(ours, output, features), gradients(expected, output, features), strict=True
    ):
        torch.testing.assert_close(our, their, atol=1e-6, rtol=1e-5)


def build_twins():
    """An output layer, features of two passes and targets."""
    features = torch.randn(2, TOKENS, SIZE).requires_grad_()
    return randomise(nn.Linear(SIZE, VOCAB)), features, torch.randint(VOCAB, (TOKENS,))


def test_losses_of_tokens_are_those_by_hand(chunk):
    output, features, targets = build()
    found = loss_module.token_losses(predictions(output, features), targets)
    logits = output(features).detach().double().numpy()
    for one, row, target in zip(found.tolist(), logits, targets.tolist(), strict=True):
        assert one == pytest.approx(oracles.smoothed_loss([row], [target], 0)[0], rel=1e-5)
    weights = torch.randn(TOKENS)
    expected = F.cross_entropy(output(features), targets, reduction="none")
    for our, their in zip(
        gradients((weights * found).sin().sum(), output, features),
        gradients((weights * expected).sin().sum(), output, features),
        strict=True,
    ):
        torch.testing.assert_close(our, their, atol=1e-5, rtol=1e-4)


def test_the_best_tokens_are_those_of_all_logits(chunk):
    output, features, _ = build()
    assert torch.equal(
        loss_module.best_tokens(predictions(output, features)), output(features).argmax(dim=1)
    )


@every_smoothing
def test_two_passes_cost_their_mean(chunk, smoothing):
    output, features, targets = build_twins()
    both = output_loss(output, features, targets, smoothing)
    each = [output_loss(output, one, targets, smoothing) for one in features]
    mean = sum(loss.objective for loss in each) / 2
    assert both.objective.item() == pytest.approx(mean.item(), rel=1e-5)
    nats = sum(loss.cross_entropy.item() for loss in each) / 2
    assert both.cross_entropy.item() == pytest.approx(nats, rel=1e-5)
    for our, their in zip(
        gradients(both.objective, output, features), gradients(mean, output, features), strict=True
    ):
        torch.testing.assert_close(our, their, atol=1e-6, rtol=1e-5)


@every_smoothing
def test_r_drop_is_half_the_loss_of_its_paper(chunk, smoothing):
    output, features, targets = build_twins()
    loss = output_loss(output, features, targets, smoothing, r_drop=3.0)
    p, q = output(features).detach().double().numpy()
    losses = [oracles.smoothed_loss(logits, targets.tolist(), smoothing) for logits in (p, q)]
    kl = sum(oracles.divergence(*rows) for rows in zip(p, q, strict=True)) / 2
    paper = losses[0][0] + losses[1][0] + 3.0 * kl
    assert loss.objective.item() == pytest.approx(paper / 2, rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx((losses[0][1] + losses[1][1]) / 2, rel=1e-5)


@every_smoothing
def test_gradients_of_r_drop_are_those_of_autograd(chunk, smoothing):
    output, features, targets = build_twins()
    ours = output_loss(output, features, targets, smoothing, r_drop=3.0).objective / 7
    p, q = (F.log_softmax(output(one), dim=1) for one in features)
    kl = F.kl_div(q, p, log_target=True, reduction="sum")
    kl = kl + F.kl_div(p, q, log_target=True, reduction="sum")
    plain = sum(plain_loss(output, one, targets, smoothing) for one in features)
    expected = (plain / 2 + 3.0 / 4 * kl) / 7
    for our, their in zip(
        gradients(ours, output, features), gradients(expected, output, features), strict=True
    ):
        torch.testing.assert_close(our, their, atol=1e-5, rtol=1e-4)


@every_smoothing
def test_bfloat16_is_near(chunk, smoothing):
    output, features, targets = build(torch.bfloat16)
    loss = output_loss(output, features, targets, smoothing)
    expected = plain_loss(output, features, targets, smoothing)
    assert loss.objective.dtype == torch.float32
    assert loss.objective.item() == pytest.approx(expected.item(), rel=0.02)
    for our, their in zip(
        gradients(loss.objective, output, features),
        gradients(expected, output, features),
        strict=True,
    ):
        assert our.dtype == their.dtype
        torch.testing.assert_close(our, their, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_values_are_the_same(mode, chunk):
    output, features, targets = build()
    expected = output_loss(output, features, targets, 0.1)
    with mode():
        loss = output_loss(output, features, targets, 0.1)
    assert loss.objective.item() == expected.objective.item()
    assert loss.cross_entropy.item() == expected.cross_entropy.item()
    assert not loss.objective.requires_grad


def test_only_the_objective_is_for_training():
    output, features, targets = build()
    loss = output_loss(output, features, targets, 0.1)
    assert loss.objective.requires_grad and not loss.cross_entropy.requires_grad


def test_a_tied_table_gets_the_gradients_of_both_its_uses():
    def gradient(loss_of):
        table.grad = None
        loss_of(output, torch.tanh(F.embedding(targets.flip(0), table)), targets).backward()
        return table.grad

    output, _, targets = build()
    table = output.weight
    ours = gradient(lambda *given: output_loss(*given, 0.1).objective)
    expected = gradient(lambda *given: plain_loss(*given, 0.1))
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_logits_never_exist_for_more_than_a_chunk(monkeypatch):
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 5 * VOCAB)
    monkeypatch.setattr(loss_module, "ROW_MULTIPLE", 2)
    sizes, linear = [], F.linear

    def watch(features, *layer):
        sizes.append(len(features))
        return linear(features, *layer)

    output, features, targets = build()
    monkeypatch.setattr(F, "linear", watch)
    output_loss(output, features, targets).objective.backward()
    assert sizes == [4, 4, 4, 2]


def test_logits_of_two_passes_are_no_more(monkeypatch):
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 8 * VOCAB)
    monkeypatch.setattr(loss_module, "ROW_MULTIPLE", 2)
    sizes, linear = [], F.linear

    def watch(features, *layer):
        sizes.append(len(features))
        return linear(features, *layer)

    output, features, targets = build_twins()
    monkeypatch.setattr(F, "linear", watch)
    output_loss(output, features, targets, r_drop=1.0).objective.backward()
    assert sizes == [8, 8, 8, 4]


def test_no_tokens_cost_nothing():
    output, features, targets = build()
    loss = output_loss(output, features[:0], targets[:0], 0.1)
    assert loss.objective.item() == loss.cross_entropy.item() == 0
    assert not np.any(gradients(loss.objective, output, features)[1].numpy())
