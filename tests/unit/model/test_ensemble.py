import numpy as np
import oracles
import pytest
import torch
from tiny import build_model, random_source, random_target

from seq2seq.model.ensemble import Ensemble, EnsembleState
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import Ban
from seq2seq.search.penalties import build_score
from seq2seq.special import BOS, PAD

LENGTHS = [4, 6, 2]


def build_models():
    """As different as they may be."""
    return [
        build_model(),
        build_model(decoder={"attention": "bahdanau", "feeding": "input", "rnn_type": "gru"}),
        build_model(decoder={"attention": None, "feeding": None, "hidden_size": 5}),
    ]


def build_sources(models):
    """Each model reads the sentences in its own way."""
    lengths = np.array(LENGTHS)
    return [random_source((lengths + np.roll([0, 1, 2], i)).tolist()) for i in range(len(models))]


def log_probs(model, source, tokens):
    """(N, T, V) of a teacher-forced pass over tokens (N, T)."""
    with torch.no_grad():
        return torch.log_softmax(model.output(model(*source, tokens)), dim=-1).double().numpy()


def mean(many):
    """The log of the mean of probabilities, from their logs."""
    return np.log(sum(np.exp(one) for one in many) / len(many))


def test_probabilities_are_averaged_step_by_step():
    models = build_models()
    sources = build_sources(models)
    tokens = random_target(len(LENGTHS), 4)
    parts = zip(models, sources, strict=True)
    expected = mean([log_probs(model, source, tokens) for model, source in parts])
    ensemble = Ensemble(models)
    with torch.no_grad():
        state = ensemble.encode(sources)
        for step in range(tokens.shape[1]):
            found, state = ensemble.step(tokens[:, step], state)
            np.testing.assert_allclose(found.numpy(), expected[:, step], atol=1e-5)
            np.testing.assert_allclose(found.exp().sum(-1).numpy(), 1, atol=1e-5)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [2.0, 0.5, 4.0], [0.3, 0.3, 1e-6]])
@pytest.mark.parametrize("factor", [1.0, 1e307])
def test_weights_say_how_much_a_model_counts(weights, factor):
    models = build_models()
    sources = build_sources(models)
    tokens = random_target(len(LENGTHS), 1)
    parts = zip(models, sources, weights, strict=True)
    each = [weight * np.exp(log_probs(model, src, tokens)) for model, src, weight in parts]
    ensemble = Ensemble(models, [factor * weight for weight in weights])
    with torch.no_grad():
        found, _ = ensemble.step(tokens[:, 0], ensemble.encode(sources))
    np.testing.assert_allclose(found.exp().numpy(), (sum(each) / sum(weights))[:, 0], atol=1e-6)


def test_select_moves_all_members_alike():
    models = build_models()
    ensemble = Ensemble(models)
    with torch.no_grad():
        state = ensemble.encode(build_sources(models))
        _, state = ensemble.step(random_target(3, 1)[:, 0], state)
        rows, sentences = torch.tensor([2, 2, 0, 0]), torch.tensor([2, 0])
        tokens = random_target(4, 1)[:, 0]
        found, _ = ensemble.step(tokens, state.select(rows, sentences))
        each = [
            model.step(tokens, own.select(rows, sentences))[0].double().numpy()
            for model, own in zip(models, state.members, strict=True)
        ]
    np.testing.assert_allclose(found.numpy(), mean(each), atol=1e-5)


def test_probabilities_that_underflow_are_averaged_too():
    class Fixed:
        def __init__(self, *row):
            self.row = torch.tensor([row])

        def step(self, tokens, state, allowed):
            return self.row.clone(), state

    tiny, none = -200.0, -float("inf")
    ensemble = Ensemble([Fixed(0.0, tiny, none), Fixed(0.0, tiny, none)])
    found, _ = ensemble.step(torch.zeros(1), EnsembleState((None, None)))
    assert found.tolist() == [[0.0, pytest.approx(tiny), none]]


def search(models, sources):
    ensemble = Ensemble(models)
    with torch.inference_mode():
        return beam_search(
            ensemble.step,
            ensemble.encode(sources),
            torch.tensor([7] * len(LENGTHS)),
            beam_size=3,
            n_best=3,
            score=build_score("gnmt", 1.0),
            constraints=[Ban([PAD, BOS])],
        )


def test_beams_are_those_of_the_plain_algorithm():
    models = build_models()
    sources = build_sources(models)
    for i, hypotheses in enumerate(search(models, sources)):
        alone = [(src[i : i + 1, :n], torch.tensor([n])) for src, n in
                 ((src, int(lengths[i])) for src, lengths in sources)]  # fmt: skip

        def continue_(tokens, alone=alone):
            given = torch.tensor([[BOS, *tokens]])
            pairs = zip(models, alone, strict=True)
            row = mean([log_probs(model, source, given)[0, -1] for model, source in pairs])
            row[[PAD, BOS]] = -np.inf
            return row

        expected = oracles.beam_search(continue_, 7, 3, oracles.gnmt(1.0))[:3]
        assert [(h.tokens, h.complete) for h in hypotheses] == [(t, c) for _, t, c in expected]
        assert [h.log_prob for h in hypotheses] == pytest.approx(
            [p for p, _, _ in expected], abs=1e-4
        )


def test_a_model_agrees_with_itself():
    model = build_model()
    source = random_source(LENGTHS)
    alone, thrice = search([model], [source]), search([model] * 3, [source] * 3)
    for one, other in zip(alone, thrice, strict=True):
        assert [h.tokens for h in one] == [h.tokens for h in other]
        assert [h.log_prob for h in one] == pytest.approx([h.log_prob for h in other], abs=1e-5)
