import math

import pytest
import torch
import torch.nn.functional as F
from tiny import randomise
from torch import nn

from seq2seq.training import pointer_loss as loss_module
from seq2seq.training.loss import output_loss
from seq2seq.training.pointer_loss import pointer_loss

TOKENS, SIZE, VOCAB = 13, 6, 9
every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])


def build():
    """An output layer, features, targets, log-odds of generating and shares to copy."""
    shares = torch.rand(TOKENS)
    shares[::3] = 0
    gates = torch.randn(TOKENS).requires_grad_()
    features = torch.randn(TOKENS, SIZE).requires_grad_()
    output = randomise(nn.Linear(SIZE, VOCAB))
    return output, features, torch.randint(VOCAB, (TOKENS,)), gates, shares


def parts(gates, shares):
    return F.logsigmoid(gates), F.logsigmoid(-gates) + shares.log()


@pytest.fixture(params=[(1, 1), (4, 1), (4, 4), (TOKENS, 1), (100, 64)])
def chunk(request, monkeypatch):
    """Tokens at a time, and the multiple they are filled up to."""
    size, multiple = request.param
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", size * VOCAB + VOCAB - 1)
    monkeypatch.setattr(loss_module, "ROW_MULTIPLE", multiple)
    return request.param


@every_smoothing
def test_the_loss_is_the_sum_by_hand(chunk, smoothing):
    output, features, targets, gates, shares = build()
    loss = pointer_loss(output, features, targets, *parts(gates, shares), smoothing)
    objective = cross_entropy = 0.0
    for i in range(TOKENS):
        logits = output(features[i]).tolist()
        normaliser = math.log(sum(map(math.exp, logits)))
        gate = 1 / (1 + math.exp(-gates[i].item()))
        chosen = math.exp(logits[targets[i]] - normaliser)
        plain = -math.log(gate * chosen + (1 - gate) * shares[i].item())
        uniform = sum(normaliser - logit for logit in logits) / VOCAB
        cross_entropy += plain
        objective += (1 - smoothing) * plain + smoothing * uniform
    assert loss.objective.item() == pytest.approx(objective, rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(cross_entropy, rel=1e-5)


@every_smoothing
def test_gradients_are_those_of_autograd(chunk, smoothing):
    output, features, targets, gates, shares = build()
    weights = features, output.weight, output.bias, gates
    ours = pointer_loss(output, features, targets, *parts(gates, shares), smoothing).objective / 7
    found = torch.autograd.grad(ours, weights)
    log_probs = torch.log_softmax(output(features), dim=1)
    chosen = log_probs.gather(1, targets.unsqueeze(1)).squeeze(1)
    gate = torch.sigmoid(gates)
    mixed = (gate * chosen.exp() + (1 - gate) * shares).log().sum()
    expected = -((1 - smoothing) * mixed + smoothing * log_probs.mean(dim=1).sum()) / 7
    for our, their in zip(found, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(our, their, atol=1e-6, rtol=1e-5)


@every_smoothing
def test_with_nothing_to_copy_it_is_the_usual_loss(smoothing):
    output, features, targets, _, _ = build()
    sure, nothing = torch.zeros(TOKENS), torch.full((TOKENS,), float("-inf"))
    ours = pointer_loss(output, features, targets, sure, nothing, smoothing)
    usual = output_loss(output, features, targets, smoothing)
    torch.testing.assert_close(ours.objective, usual.objective)
    torch.testing.assert_close(ours.cross_entropy, usual.cross_entropy)


def test_shares_get_their_gradient():
    output, features, targets, gates, shares = build()
    shares = (shares + 0.1).requires_grad_()
    pointer_loss(output, features, targets, *parts(gates, shares)).objective.backward()
    gate = torch.sigmoid(gates)
    log_probs = torch.log_softmax(output(features), dim=1).gather(1, targets.unsqueeze(1))
    expected = -(1 - gate) / (gate * log_probs.squeeze(1).exp() + (1 - gate) * shares)
    torch.testing.assert_close(shares.grad, expected.detach())


def test_bfloat16_is_near():
    output, features, targets, gates, shares = build()
    ours = pointer_loss(output, features.bfloat16(), targets, *parts(gates, shares), 0.1)
    exact = pointer_loss(output, features, targets, *parts(gates, shares), 0.1)
    assert ours.objective.dtype == torch.float32
    assert ours.objective.item() == pytest.approx(exact.objective.item(), rel=0.02)
    for our, their in zip(
        torch.autograd.grad(ours.objective, (features, output.weight, gates)),
        torch.autograd.grad(exact.objective, (features, output.weight, gates)),
        strict=True,
    ):
        torch.testing.assert_close(our, their, atol=0.05, rtol=0.05)


def test_without_gradients_the_values_are_the_same(chunk):
    output, features, targets, gates, shares = build()
    expected = pointer_loss(output, features, targets, *parts(gates, shares), 0.1)
    with torch.inference_mode():
        loss = pointer_loss(output, features, targets, *parts(gates, shares), 0.1)
    assert loss.objective.item() == expected.objective.item()
    assert not loss.objective.requires_grad


def test_logits_never_exist_for_more_than_a_chunk(monkeypatch):
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 5 * VOCAB)
    monkeypatch.setattr(loss_module, "ROW_MULTIPLE", 2)
    sizes, linear = [], F.linear

    def watch(features, *layer):
        sizes.append(len(features))
        return linear(features, *layer)

    output, features, targets, gates, shares = build()
    monkeypatch.setattr(F, "linear", watch)
    pointer_loss(output, features, targets, *parts(gates, shares)).objective.backward()
    assert sizes == [4, 4, 4, 2]
