import pytest
import torch
from tiny import KINDS, TGT_VOCAB, build_model

from seq2seq.model.ensemble import Ensemble
from seq2seq.search.beam import beam_search
from seq2seq.special import BOS, EOS
from seq2seq.translation import forced
from seq2seq.translation.forced import force

CPU = torch.device("cpu")
SOURCES = [[5, 8, 4, EOS], [4, EOS], [8, 6, EOS], [7, 7, 8, 5, 6, EOS], [EOS]]
TARGETS = [[4, 5, EOS], [6, 7, 8, 4, EOS], [5, 5], [EOS], [8]]


def slow(models, sources, target):
    """Probabilities and the first model's attention, step by step for one output alone."""
    states = [
        model.encode(torch.tensor([src]), torch.tensor([len(src)]))
        for model, src in zip(models, sources, strict=True)
    ]
    log_probs, weights, last = [], [], BOS
    for token in target:
        found = []
        for i, model in enumerate(models):
            step, states[i] = model.step(torch.tensor([last]), states[i])
            found.append(step[0, token].exp())
        log_probs.append(float(torch.stack(found).mean().log()))
        if states[0].weights is not None:
            weights.append(states[0].weights[0, 0])
        last = token
    return log_probs, torch.stack(weights) if weights else None


@pytest.mark.parametrize("decoder", KINDS, ids=str)
@torch.no_grad()
def test_one_pass_is_as_step_by_step(decoder) -> None:
    model = build_model(decoder=decoder)
    for one, source, target in zip(
        force(Ensemble([model]), [SOURCES], TARGETS, CPU), SOURCES, TARGETS, strict=True
    ):
        log_probs, weights = slow([model], [source], target)
        assert one.log_probs == pytest.approx(log_probs, abs=1e-4)
        if weights is None:
            assert one.weights is None
        else:
            torch.testing.assert_close(torch.from_numpy(one.weights), weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_what_is_read_as_one_shares_the_attention(layers) -> None:
    encoder = {"num_layers": 3, "pyramid_layers": layers}
    model = build_model(encoder=encoder, decoder={"num_layers": 2}, bridge="dense")
    found = force(Ensemble([model]), [SOURCES], TARGETS, CPU)
    for one, source, target in zip(found, SOURCES, TARGETS, strict=True):
        _, weights = slow([model], [source], target)
        assert one.weights.shape == (len(target), len(source))
        for joined, spread in zip(weights, one.weights, strict=True):
            for state, weight in enumerate(joined):
                own = spread[state * 2**layers : (state + 1) * 2**layers]
                assert own == pytest.approx([float(weight) / len(own)] * len(own), abs=1e-5)


@torch.no_grad()
def test_an_ensemble_reads_each_source_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [build_model(), build_model(decoder={"attention": None, "feeding": None})]
    others = [[*reversed(source[:-1]), 6, EOS] for source in SOURCES]
    expected = [
        slow(models, pair, target) for *pair, target in zip(SOURCES, others, TARGETS, strict=True)
    ]
    for size in (2**13, 6):  # together and one by one
        monkeypatch.setattr(forced, "MAX_POSITIONS", size)
        monkeypatch.setattr(forced, "MAX_PREDICTIONS", size)
        found = force(Ensemble(models), [SOURCES, others], TARGETS, CPU)
        for one, (log_probs, weights) in zip(found, expected, strict=True):
            assert one.log_probs == pytest.approx(log_probs, abs=1e-5)
            torch.testing.assert_close(torch.from_numpy(one.weights), weights)


def test_it_agrees_with_the_search() -> None:
    models = [build_model(), build_model(decoder={"copy_attention": True})]
    ensemble = Ensemble(models)
    src = torch.randint(EOS + 1, TGT_VOCAB, (4, 5))
    src[:, -1] = EOS
    pairs = [(src, torch.full((4,), 5))] * 2
    with torch.inference_mode():
        state = ensemble.encode(pairs)
        found = beam_search(ensemble.step, state, torch.full((4,), 8), beam_size=4, n_best=3)
    rows = [(ids, h) for ids, own in zip(src.tolist(), found, strict=True) for h in own]
    said = [h.tokens + [EOS] * h.complete for _, h in rows]
    ids = [own for own, _ in rows]
    for one, (_, h) in zip(force(ensemble, [ids, ids], said, CPU), rows, strict=True):
        assert sum(one.log_probs) == pytest.approx(h.log_prob, abs=1e-4)


def test_nothing_said_is_nothing_held() -> None:
    (one,) = force(Ensemble([build_model()]), [[[5, EOS]]], [[]], CPU)
    assert (one.log_probs, one.weights) == ([], None)
