import copy
import math
from typing import get_args

import pytest
import torch
from tiny import build_model, random_source, random_target
from torch import nn

from seq2seq.recipe import Training
from seq2seq.training.optim import (
    OPTIMIZERS,
    Plateau,
    build_average,
    build_optimizer,
    clip_gradients,
    learning_rate,
    moments_per_weight,
    shrink,
)


def section(**keys):
    return Training.model_validate({"learning_rate": 0.01, "schedule": None} | keys)


def adam(weight, grads, decoupled=0.0, coupled=0.0, betas=(0.8, 0.9), rate=0.01, eps=1e-8):
    first = second = 0.0
    for t, grad in enumerate(grads, 1):
        weight *= 1 - rate * decoupled
        grad += coupled * weight
        first = betas[0] * first + (1 - betas[0]) * grad
        second = betas[1] * second + (1 - betas[1]) * grad**2
        mean, square = first / (1 - betas[0] ** t), second / (1 - betas[1] ** t)
        weight -= rate * mean / (math.sqrt(square) + eps)
    return weight


def radam(weight, grads, decay, betas=(0.8, 0.9), rate=0.01):
    """Liu et al. (2020), algorithm 2, with decoupled decay; torch asks for 5 degrees, not 4."""
    first = second = 0.0
    longest = 2 / (1 - betas[1]) - 1
    for t, grad in enumerate(grads, 1):
        weight *= 1 - rate * decay
        first = betas[0] * first + (1 - betas[0]) * grad
        second = betas[1] * second + (1 - betas[1]) * grad**2
        mean = first / (1 - betas[0] ** t)
        length = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if length > 5:
            top = (length - 4) * (length - 2) * longest
            bottom = (longest - 4) * (longest - 2) * length
            mean *= math.sqrt(top / bottom * (1 - betas[1] ** t)) / (math.sqrt(second) + 1e-8)
        weight -= rate * mean
    return weight


def nadam(weight, grads, decay, betas=(0.8, 0.9), rate=0.01):
    """Dozat (2016), with decoupled decay."""
    first = second = 0.0
    product = 1.0
    for t, grad in enumerate(grads, 1):
        weight *= 1 - rate * decay
        mu, following = (betas[0] * (1 - 0.5 * 0.96 ** (0.004 * u)) for u in (t, t + 1))
        product *= mu
        first = betas[0] * first + (1 - betas[0]) * grad
        second = betas[1] * second + (1 - betas[1]) * grad**2
        mean = following * first / (1 - product * following) + (1 - mu) * grad / (1 - product)
        weight -= rate * mean / (math.sqrt(second / (1 - betas[1] ** t)) + 1e-8)
    return weight


def adamax(weight, grads, decay, betas=(0.8, 0.9), rate=0.01):
    first = largest = 0.0
    for t, grad in enumerate(grads, 1):
        grad += decay * weight
        first = betas[0] * first + (1 - betas[0]) * grad
        largest = max(betas[1] * largest, abs(grad))
        weight -= rate / (1 - betas[0] ** t) * first / largest
    return weight


def sgd(weight, grads, decay, momentum, rate=0.01):
    velocity = 0.0
    for grad in grads:
        velocity = momentum * velocity + grad + decay * weight
        weight -= rate * velocity
    return weight


def adadelta(weight, grads, decay, rate=0.01):
    squares = steps = 0.0
    for grad in grads:
        grad += decay * weight
        squares = 0.9 * squares + 0.1 * grad**2
        step = math.sqrt(steps + 1e-6) / math.sqrt(squares + 1e-6) * grad
        steps = 0.9 * steps + 0.1 * step**2
        weight -= rate * step
    return weight


GRADS = [0.5, -2.0, 0.25, 0.75, -0.5, 1.0, -1.5, 0.5]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"optimizer": "adam"}, adam(1.5, GRADS, coupled=0.3)),
        ({"optimizer": "adamw"}, adam(1.5, GRADS, decoupled=0.3)),
        ({"optimizer": "adam", "eps": 0.2}, adam(1.5, GRADS, coupled=0.3, eps=0.2)),
        ({"optimizer": "radam"}, radam(1.5, GRADS, 0.3)),
        ({"optimizer": "nadam"}, nadam(1.5, GRADS, 0.3)),
        ({"optimizer": "adamax"}, adamax(1.5, GRADS, 0.3)),
        ({"optimizer": "sgd", "momentum": 0.7}, sgd(1.5, GRADS, 0.3, 0.7)),
        ({"optimizer": "sgd"}, sgd(1.5, GRADS, 0.3, 0.0)),
        ({"optimizer": "adadelta"}, adadelta(1.5, GRADS, 0.3)),
    ],
)
def test_update_rules_are_those_of_their_papers(keys, expected):
    weight = nn.Parameter(torch.tensor([[1.5]]))
    settings = section(weight_decay=0.3, betas=(0.8, 0.9), **keys)
    optimizer = build_optimizer(settings, iter([weight]))
    for grad in GRADS:
        weight.grad = torch.tensor([[grad]])
        optimizer.step()
    assert weight.item() == pytest.approx(expected, rel=1e-5)


def test_update_rules_keep_their_moments():
    kept = {name: moments_per_weight(Training(optimizer=name)) for name in OPTIMIZERS}
    assert kept == dict.fromkeys(OPTIMIZERS, 2) | {"sgd": 0}
    assert moments_per_weight(Training(optimizer="sgd", momentum=0.9, weight_decay=0.1)) == 1


def test_the_recipe_names_all_update_rules():
    assert tuple(OPTIMIZERS) == get_args(Training.model_fields["optimizer"].annotation)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_matrices_decay(optimizer):
    def step(decay):
        torch.manual_seed(1)
        parameters = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 3))]
        settings = section(optimizer=optimizer, weight_decay=decay, learning_rate=1)
        rule = build_optimizer(settings, parameters)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape)
        rule.step()
        return parameters

    (bias, matrix), (free_bias, free_matrix) = step(0.9), step(0.0)
    assert torch.equal(bias, free_bias)
    assert (matrix != free_matrix).any()


def test_the_l1_step_is_proximal():
    # It minimises 1/2 (x - w)² + amount |x|: no x nearby costs less.
    weights = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(7))
    before = [w.detach().clone() for w in weights]
    shrink(weights, 0.4)
    assert torch.equal(weights[1], before[1])

    def cost(x):
        return 0.5 * (x - before[0]) ** 2 + 0.4 * x.abs()

    found = weights[0].detach()
    assert (found == 0).any() and (found != 0).any()
    for away in (-0.1, -0.001, 0.001, 0.1):
        assert (cost(found) <= cost(found + away) + 1e-7).all()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"clip_grad_norm": 2.6}, [0.6, -2.4, 0.8]),
        ({"clip_grad_norm": 50.0}, [3.0, -12.0, 4.0]),
        ({"clip_grad_value": 3.5}, [3.0, -3.5, 3.5]),
        ({"clip_grad_norm": None}, [3.0, -12.0, 4.0]),
    ],
)
def test_gradients_are_clipped_all_together_or_one_by_one(keys, expected):
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, -12.0]), torch.tensor([4.0])
    clip_gradients(section(**keys), iter(parameters), torch.tensor(13.0))
    clipped = torch.cat([p.grad for p in parameters]).tolist()
    assert clipped == pytest.approx([x for x in expected], rel=1e-4)


def rates(settings, updates, plateau=None, per_epoch=10, total=100):
    return [
        learning_rate(settings, u, (u - 1) // per_epoch, (u - 1) / total, plateau or Plateau())
        for u in updates
    ]


@pytest.mark.parametrize("schedule", ["plateau", "exponential", "inverse_sqrt", "cosine", None])
def test_the_rate_rises_in_a_line_to_its_peak(schedule):
    settings = section(schedule=schedule, warmup_updates=8)
    expected = [0.01 * u / 8 for u in range(1, 9)]
    assert rates(settings, range(1, 9)) == pytest.approx(expected)


@pytest.mark.parametrize("warmup", [0, 8])
@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (None, lambda update, warmup: 1),
        ("exponential", lambda update, warmup: 0.5 ** ((update - 1) // 10)),
        ("inverse_sqrt", lambda update, warmup: (update / max(warmup, 1)) ** -0.5),
        ("cosine", lambda update, warmup: math.cos(math.pi / 2 * (update - 1) / 100) ** 2),
    ],
)
def test_schedules_follow_their_formulas(schedule, formula, warmup):
    settings = section(schedule=schedule, warmup_updates=warmup)
    updates = [warmup + 1, 30, 31, 99, 101]
    expected = [0.01 * formula(u, warmup) for u in updates]
    assert rates(settings, updates) == pytest.approx(expected, abs=1e-12)


def test_the_cosine_stays_down_after_the_end():
    assert rates(section(schedule="cosine"), [101, 150, 500]) == pytest.approx([0] * 3, abs=1e-12)


def test_plateau_decays_when_patience_is_over_and_starts_again():
    settings = section(schedule="plateau", decay=0.5, decay_patience=1)
    plateau, seen = Plateau(), []
    for improved in (True, False, True, False, False, False, False, False):
        plateau.validated(settings, improved)
        seen += rates(settings, [50], plateau)
    assert seen == pytest.approx([0.01 * f for f in (1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25)])


@pytest.mark.parametrize("schedule", ["exponential", "inverse_sqrt", "cosine"])
def test_schedules_stop_at_the_lowest_rate(schedule):
    settings = section(schedule=schedule, min_learning_rate=0.004)
    found = rates(settings, range(1, 200))
    assert found == sorted(found, reverse=True) and found[-1] == 0.004 < found[0]


@pytest.mark.parametrize("tied", [None, "two_way"])
@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_that_of_a_loop_by_hand(decay, tied):
    model = build_model(tied_embeddings=tied)
    average = build_average(model, decay)
    expected = {}
    for update in range(12):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update_parameters(model)
        for name, weight in model.named_parameters():
            share = min(decay, (1 + update) / (10 + update)) if update else 0.0
            expected[name] = share * expected.get(name, 0) + (1 - share) * weight.detach()
    for name, weight in average.module.named_parameters():
        torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=1e-5)
    tables = average.module.output.weight, average.module.decoder.embedding.weight
    assert (tables[0].data_ptr() == tables[1].data_ptr()) is (tied is not None)


def test_averaging_leaves_the_model_alone():
    model = build_model()
    before = copy.deepcopy(model.state_dict())
    average = build_average(model, 0.9)
    average.update_parameters(model)
    src, lengths = random_source([3, 5])
    tgt = random_target(2, 4)
    assert torch.equal(average.module(src, lengths, tgt), model(src, lengths, tgt))
    with torch.no_grad():
        next(average.module.parameters()).add_(1)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
