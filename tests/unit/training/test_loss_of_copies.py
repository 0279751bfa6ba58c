import pytest
import torch
import torch.nn.functional as F
from tiny import randomise
from torch import nn

from seq2seq.training import loss as loss_module
from seq2seq.training.loss import best_tokens, output_loss, token_losses
from seq2seq.training.predictions import Predictions

TOKENS, SIZE, VOCAB, SOURCE = 13, 6, 9, 5
every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])


class Case:
    """Predictions of some passes with all that has a gradient, and what they should be."""

    def __init__(self, passes=1):
        self.output = randomise(nn.Linear(SIZE, VOCAB))
        self.features = torch.randn(passes, TOKENS, SIZE).requires_grad_()
        self.gates = torch.randn(passes, TOKENS).requires_grad_()
        self.scores = torch.randn(passes, TOKENS, SOURCE)
        self.scores[:, ::4, 2:] = float("-inf")
        self.weights = torch.softmax(self.scores.requires_grad_(), dim=2)
        # Some tokens are there twice, and most of the vocabulary isn't.
        self.src = torch.randint(4, (TOKENS, SOURCE))
        self.targets = torch.randint(6, (TOKENS,))
        self.leaves = (
            *(self.output.weight, self.output.bias),
            *(self.features, self.gates, self.scores),
        )

    def predictions(self, dtype=torch.float32):
        rows = self.features.to(dtype), F.logsigmoid(self.gates), F.logsigmoid(-self.gates)
        return Predictions(self.output, (*rows, self.weights), self.src)

    def vocabulary(self):
        """Log-probabilities (P, N, V) of the output layer alone."""
        return torch.log_softmax(self.output(self.features), dim=2)

    def distributions(self):
        """Probabilities (P, N, V) of the mixture, token by token."""
        same = self.src.unsqueeze(2) == torch.arange(VOCAB)
        shares = (self.weights.unsqueeze(3) * same).sum(dim=2)
        gate = torch.sigmoid(self.gates).unsqueeze(2)
        return gate * self.vocabulary().exp() + (1 - gate) * shares

    def of_targets(self):
        """Log-probabilities (P, N) of the targets."""
        ids = self.targets.expand(len(self.features), -1).unsqueeze(2)
        return self.distributions().gather(2, ids).squeeze(2).log()

    def loss(self, smoothing):
        """Objective, the mean of the passes."""
        uniform = self.vocabulary().mean(dim=2).sum()
        sums = (1 - smoothing) * self.of_targets().sum() + smoothing * uniform
        return -sums / len(self.features)

    def same_gradients(self, ours, expected, **tolerances):
        found = torch.autograd.grad(ours, self.leaves, retain_graph=True)
        for our, their in zip(found, torch.autograd.grad(expected, self.leaves), strict=True):
            torch.testing.assert_close(our, their, **tolerances)


@every_smoothing
@pytest.mark.parametrize("passes", [1, 2])
def test_loss_and_gradients_are_those_of_autograd(chunk, smoothing, passes):
    case = Case(passes)
    loss = output_loss(case.predictions(), case.targets, smoothing)
    assert loss.objective.item() == pytest.approx(case.loss(smoothing).item(), rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(case.loss(0).item(), rel=1e-5)
    case.same_gradients(loss.objective / 7, case.loss(smoothing) / 7, atol=1e-6, rtol=1e-4)


@every_smoothing
def test_r_drop_is_the_divergence_of_the_mixtures(chunk, smoothing):
    case = Case(2)
    loss = output_loss(case.predictions(), case.targets, smoothing, r_drop=3.0)
    p, q = case.distributions()
    kl = ((p - q) * (p / q).log()).sum()
    expected = case.loss(smoothing) + 3.0 / 4 * kl
    assert loss.objective.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(case.loss(0).item(), rel=1e-5)
    case.same_gradients(loss.objective, expected, atol=1e-5, rtol=1e-4)


def test_losses_of_tokens_are_those_by_hand(chunk):
    case, factors = Case(), torch.randn(TOKENS)
    found = token_losses(case.predictions(), case.targets)
    expected = -case.of_targets().squeeze(0)
    torch.testing.assert_close(found, expected)
    case.same_gradients(
        (factors * found).sin().sum(), (factors * expected).sin().sum(), atol=1e-5, rtol=1e-4
    )


def test_the_best_tokens_are_those_of_the_mixture(chunk):
    case = Case(2)
    expected = case.distributions().argmax(dim=2)
    assert torch.equal(best_tokens(case.predictions()), expected.flatten())
    assert not torch.equal(expected, case.vocabulary().argmax(dim=2))


@every_smoothing
def test_with_nothing_to_copy_it_is_the_usual_loss(smoothing):
    case = Case(2)
    nothing = case.src.fill_(VOCAB - 1)
    case.targets.clamp_(max=VOCAB - 2)
    sure = torch.zeros(2, TOKENS), torch.full((2, TOKENS), float("-inf"))
    rows = case.features, *sure, case.weights
    ours = output_loss(Predictions(case.output, rows, nothing), case.targets, smoothing, 2.0)
    plain = Predictions(case.output, (case.features,))
    usual = output_loss(plain, case.targets, smoothing, 2.0)
    torch.testing.assert_close(ours.objective, usual.objective)
    torch.testing.assert_close(ours.cross_entropy, usual.cross_entropy)


def test_bfloat16_is_near():
    case = Case()
    ours = output_loss(case.predictions(torch.bfloat16), case.targets, 0.1)
    assert ours.objective.dtype == torch.float32
    assert ours.objective.item() == pytest.approx(case.loss(0.1).item(), rel=0.02)
    case.same_gradients(ours.objective, case.loss(0.1), atol=0.05, rtol=0.05)


def test_without_gradients_the_values_are_the_same(chunk):
    case = Case(2)
    expected = output_loss(case.predictions(), case.targets, 0.1, 2.0)
    with torch.inference_mode():
        loss = output_loss(case.predictions(), case.targets, 0.1, 2.0)
    assert loss.objective.item() == expected.objective.item()
    assert not loss.objective.requires_grad


def test_logits_never_exist_for_more_than_a_chunk(monkeypatch):
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 8 * VOCAB)
    monkeypatch.setattr(loss_module, "ROW_MULTIPLE", 2)
    sizes, linear = [], F.linear

    def watch(features, *layer):
        sizes.append(len(features))
        return linear(features, *layer)

    case = Case(2)
    monkeypatch.setattr(F, "linear", watch)
    output_loss(case.predictions(), case.targets, r_drop=1.0).objective.backward()
    assert sizes == [8, 8, 8, 4]
