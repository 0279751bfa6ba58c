import oracles
import pytest
import torch
from tiny import build_model, random_source, random_target
from torch import nn

from seq2seq.model.ensemble import Ensemble
from seq2seq.model.precision import for_search
from seq2seq.model.recurrent import RNNS
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import Ban
from seq2seq.search.penalties import build_score
from seq2seq.special import BOS, PAD

LENGTHS = [4, 6, 2]
FACTOR = 0.4


def build_language_model(**decoder):
    return build_model(type="language_model", decoder=decoder)


@pytest.mark.parametrize("tied", [None, "two_way"])
@pytest.mark.parametrize("rnn_type", RNNS)
def test_it_predicts_step_by_step_what_it_does_at_once_and_sees_no_source(rnn_type, tied):
    model = build_model(type="language_model", decoder={"rnn_type": rnn_type}, tied_embeddings=tied)
    tokens, source = random_target(3, 5), random_source(LENGTHS)
    with torch.no_grad():
        whole = torch.log_softmax(model.output(model(*source, tokens)), dim=-1)
        other = model(*random_source([1, 1, 1]), tokens)
        torch.testing.assert_close(torch.log_softmax(model.output(other), dim=-1), whole)
        for stepped in (model, for_search(model, "float32")):
            state = stepped.encode(*random_source([2, 2, 2]))
            for step in range(tokens.shape[1]):
                found, state = stepped.step(tokens[:, step], state)
                torch.testing.assert_close(found, whole[:, step], atol=1e-5, rtol=1e-4)


def test_it_is_the_decoder_of_a_model_whose_source_says_nothing():
    model = build_language_model()
    keys = {"attention": None, "feeding": None}
    twin = build_model(decoder=keys, bridge=None)
    missing = twin.load_state_dict(model.state_dict(), strict=False)
    assert {name.split(".")[0] for name in missing.missing_keys} == {"encoder"}
    assert not missing.unexpected_keys
    source, tokens = random_source(LENGTHS), random_target(3, 5)
    with torch.no_grad():
        torch.testing.assert_close(twin(*source, tokens), model(*source, tokens))


def test_every_weight_is_of_use():
    model = build_language_model().train()
    features = model(*random_source(LENGTHS), random_target(3, 5))
    model.output(features).logsumexp(dim=-1).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert not model.reads_source and not any(True for _ in model.encoder.parameters())


def build_fusion(factor=FACTOR):
    models = [
        build_model(),
        build_model(decoder={"attention": None, "feeding": None, "hidden_size": 5}),
    ]
    language_model = build_language_model(hidden_size=7, num_layers=1)
    return models, language_model, Ensemble(models, [2.0, 1.0], language_model, factor)


def test_fused_beams_are_those_of_the_plain_algorithm():
    models, language_model, fused = build_fusion()
    source = random_source(LENGTHS)
    with torch.inference_mode():
        found = beam_search(
            fused.step,
            fused.encode([source, source]),
            torch.tensor([7] * len(LENGTHS)),
            beam_size=3,
            n_best=3,
            score=build_score("gnmt", 1.0),
            constraints=[Ban([PAD, BOS])],
        )
    for i, hypotheses in enumerate(found):
        size = LENGTHS[i]
        alone = source[0][i : i + 1, :size], torch.tensor([size])

        def continue_(tokens, alone=alone):
            given = torch.tensor([[BOS, *tokens]])
            with torch.no_grad():
                rows = [
                    torch.log_softmax(model.output(model(*alone, given))[0, -1].double(), dim=-1)
                    for model in (*models, language_model)
                ]
            mean = ((2 * rows[0].exp() + rows[1].exp()) / 3).log()
            row = (mean + FACTOR * rows[2]).numpy()
            row[[PAD, BOS]] = -float("inf")
            return row

        expected = oracles.beam_search(continue_, 7, 3, oracles.gnmt(1.0))[:3]
        assert [(h.tokens, h.complete) for h in hypotheses] == [(t, c) for _, t, c in expected]
        assert [h.log_prob for h in hypotheses] == pytest.approx(
            [p for p, _, _ in expected], abs=1e-4
        )


def test_one_that_finds_all_alike_changes_nothing_but_a_constant():
    models, language_model, fused = build_fusion()
    nn.init.zeros_(language_model.output.weight)
    nn.init.zeros_(language_model.output.bias)
    source, tokens = random_source(LENGTHS), random_target(3, 1)[:, 0]
    with torch.no_grad():
        found, _ = fused.step(tokens, fused.encode([source, source]))
        plain = Ensemble(models, [2.0, 1.0])
        expected, _ = plain.step(tokens, plain.encode([source, source]))
    constant = expected - found
    torch.testing.assert_close(constant, constant[:1, :1].expand_as(constant))


def test_it_looks_at_a_shortlist_as_the_others_do():
    models, language_model, _ = build_fusion()
    searched = [for_search(model, "float32") for model in models]
    fused = Ensemble(searched, None, for_search(language_model, "float32"), FACTOR)
    ids = torch.tensor([0, 1, 2, 3, 5, 8])
    narrow = fused.narrow(ids)
    source, places = random_source(LENGTHS), torch.tensor([2, 4, 5])
    with torch.inference_mode():
        ours, _ = narrow.step(places, narrow.encode([source, source]))
        rows = []
        for model in (*models, language_model):
            logits = model.output(model(*source, ids[places].unsqueeze(1))[:, 0])
            rows.append(torch.log_softmax(logits[:, ids], dim=-1))
        expected = ((rows[0].exp() + rows[1].exp()) / 2).log() + FACTOR * rows[2]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
