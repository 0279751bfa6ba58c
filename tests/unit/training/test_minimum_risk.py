import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from pairs import gradients, gradients_of, make_batch, same, section
from tiny import KINDS, SRC_VOCAB, build_model

from seq2seq.recipe import Training
from seq2seq.special import BOS, EOS, PAD, UNK
from seq2seq.training.minimum_risk import MinimumRisk
from seq2seq.training.objective import OBJECTIVES
from seq2seq.training.progress import Progress


class Judge:
    """Scores that depend on every token, and all that was to be scored."""

    def __init__(self):
        self.seen = []

    def __call__(self, outputs, references):
        self.seen += zip(map(tuple, outputs), map(tuple, references), strict=True)
        return [self.score(*pair) for pair in zip(outputs, references, strict=True)]

    @staticmethod
    def score(output, reference):
        return 100 / (1 + abs(sum(i * t for i, t in enumerate(output, 1)) - len(reference)))


def risk(judge, samples=6, **keys):
    keys = {"risk_samples": samples, "risk_sharpness": 0.3} | keys
    return MinimumRisk(section(objective="minimum_risk", **keys), 1, judge)


def references(batch):
    return [tuple(t for t in row if t not in (EOS, PAD)) for row in batch.tgt_out.tolist()]


def by_hand(model, batch, judge, *, with_reference=True):
    """Risk and nats of the references, candidate by candidate."""
    total = nats = 0.0
    for row, reference in enumerate(references(batch)):
        costs, log_probs = [], []
        outputs = [output for output, of in judge.seen if of == reference]
        assert outputs[0] == reference and 1 < len(set(outputs)) == len(outputs) <= 7
        for output in outputs:
            src = batch.src[row : row + 1, : batch.src_lengths[row]]
            state = model.encode(src, batch.src_lengths[row : row + 1])
            terms = []
            for token, target in zip([BOS, *output], [*output, EOS], strict=True):
                features, state = model.decode(torch.tensor([[token]]), state)
                part = torch.log_softmax(model.output(features[0, 0]), dim=0)[target]
                if model.copying is not None:
                    gate = torch.sigmoid(model.copying.gate(features[0, 0]))
                    share = state.weights[0, 0, src[0] == target].sum()
                    part = (gate * part.exp() + (1 - gate) * share).log().squeeze()
                terms.append(part)
            log_probs.append(sum(terms))
            costs.append(1 - Judge.score(output, reference) / 100)
        nats -= log_probs[0].item()
        weights = [torch.exp(0.3 * log_prob) for log_prob in log_probs]
        weights[0] = weights[0] * with_reference
        chosen = sum(weight * cost for weight, cost in zip(weights, costs, strict=True))
        total = total + chosen / sum(weights)
    return total, nats


@pytest.mark.parametrize("decoder", KINDS)
def test_risk_and_gradients_are_those_of_candidates_one_by_one(decoder):
    model = build_model(decoder=decoder, tgt_vocab=SRC_VOCAB)  # so that all can be copied
    batch, judge = make_batch((5, 3, 4)), Judge()
    ours, our_gradients = gradients(risk(judge), model, batch)
    total, nats = by_hand(model, batch, judge)
    model.zero_grad()
    total.backward()
    assert ours.objective.item() == pytest.approx(total.item(), rel=1e-4)
    assert ours.cross_entropy.item() == pytest.approx(nats, rel=1e-4)
    same(our_gradients, gradients_of(model), atol=1e-4, rtol=1e-3)


def test_the_reference_may_have_to_be_sampled():
    model, batch, judge = build_model(), make_batch((5, 3, 4)), Judge()
    alone = risk(judge, risk_reference=False)(model, batch, Progress())
    # Long as the references are, none of them is sampled here.
    total, nats = by_hand(model, batch, judge, with_reference=False)
    assert alone.objective.item() == pytest.approx(total.item(), rel=1e-4)
    assert alone.cross_entropy.item() == pytest.approx(nats, rel=1e-4)


def test_a_sampled_reference_counts_whether_it_is_wanted_or_not():
    model, batch = build_model(), make_batch((3, 3), (1, 1))
    with torch.no_grad():
        model.output.bias[EOS] = 99
    for wanted in (True, False):
        loss = risk(Judge(), risk_reference=wanted)(model, batch, Progress())
        costs = [1 - Judge.score(output, output) / 100 for output in references(batch)]
        assert loss.objective.item() == pytest.approx(sum(costs), abs=1e-5)


def test_neighbours_change_nothing():
    model, batch = build_model(), make_batch((5, 3, 4))
    whole = risk(Judge())(model, batch, Progress(update=2)).objective.item()
    parts = 0.0
    for rows in ([2], [0, 1]):
        src_lengths = batch.src_lengths[rows]
        length = int((batch.tgt_out[rows] != PAD).sum(dim=1).max())
        part = replace(
            batch,
            src=batch.src[rows, : src_lengths.max()],
            src_in=batch.src_in[rows, : src_lengths.max()],
            src_lengths=src_lengths,
            tgt_in=batch.tgt_in[rows, :length],
            tgt_out=batch.tgt_out[rows, :length],
            index=batch.index[rows],
        )
        parts += risk(Judge())(model, part, Progress(update=2)).objective.item()
    assert whole == pytest.approx(parts, rel=1e-5)


def test_samples_are_those_of_seed_update_and_example():
    def seen(update, model):
        judge = Judge()
        risk(judge, samples=20)(model, make_batch_of(batch), Progress(update=update))
        return judge.seen

    def make_batch_of(batch):
        return replace(batch, src=batch.src.clone())

    model, batch = build_model(dropout=0.5).train(), make_batch()
    assert seen(0, model) == seen(0, model) != seen(1, model)
    assert model.training
    tokens = {token for output, _ in seen(0, model) for token in output}
    assert tokens and {PAD, BOS, EOS}.isdisjoint(tokens)
    sampled = {t for output, reference in seen(0, model) if output != reference for t in output}
    assert UNK not in sampled


def test_samples_without_end_are_ended():
    model, batch = build_model(), make_batch()
    with torch.no_grad():
        model.output.bias[EOS] = -99
    judge = Judge()
    loss = risk(judge)(model, batch, Progress())
    assert math.isfinite(loss.objective.item())
    for output, reference in judge.seen:
        assert output == reference or len(output) == 2 * (len(reference) + 1) + 10


def test_the_sharper_the_fewer_count():
    model, batch = build_model(), make_batch((4,), (5,))
    judge = Judge()
    near_zero = risk(judge, risk_sharpness=1e-9)(model, batch, Progress()).objective.item()
    costs = [1 - Judge.score(*pair) / 100 for pair in judge.seen]
    assert near_zero == pytest.approx(np.mean(costs), rel=1e-5)
    sharp = risk(Judge(), risk_sharpness=1e6)(model, batch, Progress()).objective.item()
    assert min(abs(sharp - cost) for cost in costs) < 1e-5


def test_the_recipe_names_all_objectives():
    assert tuple(OBJECTIVES) == get_args(Training.model_fields["objective"].annotation)
