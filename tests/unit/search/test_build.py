"""Search as recipes want it, on networks: what must hold for every kind of it."""

from functools import cache

import numpy as np
import oracles
import pytest
import torch
from chains import ban, banned_ids
from tiny import DECODERS, TGT_VOCAB, build_model, random_source

from seq2seq.model.coverage import Coverage
from seq2seq.model.ensemble import Ensemble
from seq2seq.recipe import Decoding
from seq2seq.search.build import MAX_PIECES, Search, fewest_pieces, limit_lengths
from seq2seq.search.requests import Request, Words
from seq2seq.special import BOS, EOS, PAD, UNK

CPU = torch.device("cpu")
LENGTHS = [5, 2, 7, 3, 3, 9, 1, 4] * 8
KINDS = {
    "default": {},
    "greedy": {"beam_size": 1},
    "average": {"length_penalty_type": "average", "early_stopping": "never"},
    "reward": {"length_penalty_type": "reward", "length_penalty": 0.4, "early_stopping": "first"},
    "coverage": {"coverage_penalty": 0.5},
    "lengths": {"min_length_ratio": 0.5, "max_length_ratio": 1.5, "no_repeat_ngram": 2},
    "diverse": {"beam_size": 6, "diversity_groups": 3, "max_repeats": 1},
    "sampling": {"sampling": True},
    "filtered": {"sampling": True, "temperature": 1.3, "top_k": 5, "top_p": 0.9},
    "requests": {"beam_size": 5},
}
MAX = {"max_length": 12}


def build_requests(kind, count):
    if kind != "requests":
        return [Request(key=i) for i in range(count)]
    each = [
        Request(prefix=[5, 6], banned=[ban([[7]], TGT_VOCAB)]),
        Request(required=[[4, 4], [6]]),
        Request(),
        Request(prefix=[UNK], required=[[8]], banned=[ban([[4], [5, 5]], TGT_VOCAB)]),
    ]
    return [each[i % 4] for i in range(count)]


def translate(models, sources, lengths, requests, decoding):
    """Hypotheses of sentences, each ids (S,)."""
    ensemble = Ensemble(models)
    width = int(lengths.max())
    with torch.inference_mode():
        state = ensemble.encode([(sources[:, :width], lengths)] * len(models))
        search = Search(decoding)
        if not decoding.coverage_penalty:
            return search(ensemble.step, state, lengths, requests, CPU)
        coverage = Coverage(ensemble, decoding.coverage_penalty)
        given = coverage.step, coverage.start(state), lengths, requests, CPU
        return search(*given, bonus=coverage.penalties)


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert [(h.tokens, h.complete) for h in ours] == [(h.tokens, h.complete) for h in theirs]
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_order_and_n_best_change_nothing(kind, doubles):
    decoder = {"rnn_type": "gru"} if kind in ("greedy", "filtered") else {}
    model = build_model(decoder=decoder)
    sources, lengths = random_source(LENGTHS)
    requests = build_requests(kind, len(LENGTHS))
    settings = MAX | KINDS[kind]
    most = 5 if settings.get("beam_size", 5) > 1 else 1
    expected = translate([model], sources, lengths, requests, Decoding(n_best=most, **settings))
    assert all(expected)
    if kind == "requests":
        assert any(h.complete for found in expected for h in found)
    for size, n_best in ((1, most), (2, 1), (7, most), (64, 1)):
        order = torch.randperm(len(LENGTHS))
        for rows in order.split(size)[:8]:
            asked = [requests[i] for i in rows]
            decoding = Decoding(n_best=n_best, **settings)
            found = translate([model], sources[rows], lengths[rows], asked, decoding)
            assert_same(found, [expected[i][:n_best] for i in rows])


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_of_a_model_with_itself_is_the_model(kind):
    model = build_model()
    sources, lengths = random_source(LENGTHS[:8])
    requests = build_requests(kind, 8)
    decoding = Decoding(**MAX | KINDS[kind])
    alone = translate([model], sources, lengths, requests, decoding)
    assert_same(translate([model] * 3, sources, lengths, requests, decoding), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_what_was_asked_for_and_worth_what_teacher_forcing_says(kind):
    model = build_model()
    sources, lengths = random_source(LENGTHS[:16])
    requests = build_requests(kind, 16)
    decoding = Decoding(n_best=1 if kind == "greedy" else 5, **MAX | KINDS[kind])
    found = translate([model], sources, lengths, requests, decoding)
    for i, (request, hypotheses) in enumerate(zip(requests, found, strict=True)):
        source = sources[i : i + 1, : lengths[i]], lengths[i : i + 1]
        for h in hypotheses:
            assert h.tokens[: len(request.prefix)] == list(request.prefix)
            rest = h.tokens[len(request.prefix) :]
            assert (
                not any(oracles.has(rest, ids) for ids in banned_ids(request)) and UNK not in rest
            )
            assert all(oracles.has(h.tokens, ids) for ids in request.required)
            said = [*h.tokens, EOS] if h.complete else h.tokens
            features = model(*source, torch.tensor([[BOS, *said[:-1]]]))
            rows = model.output(features)[0].log_softmax(dim=-1)
            total = sum(row[token].item() for row, token in zip(rows, said, strict=True))
            assert h.log_prob == pytest.approx(total, abs=1e-4)
            formula = getattr(oracles, decoding.length_penalty_type)(decoding.length_penalty)
            if not decoding.coverage_penalty:
                assert h.score == pytest.approx(formula(h.log_prob, len(said)), abs=1e-4)


def test_a_search_of_all_there_is_finds_what_was_asked_for_and_nothing_else():
    model = build_model(tgt_vocab=7)
    sources, lengths = random_source([4, 2, 6, 3])
    requests = [
        Request(prefix=[5], whole=True, banned=[ban([[4, 4]])]),
        Request(prefix=[6], required=[[4, 5]]),
        Request(required=[[6], [5]], banned=[ban([[5, 6]])]),
        Request(prefix=[6, 5], banned=[ban([[6], [4]])]),
    ]
    starts = [4]
    words = Words(starts, torch.zeros(7, dtype=torch.bool), torch.zeros(7, dtype=torch.bool))
    decoding = Decoding(beam_size=500, n_best=500, max_length=4, length_penalty=0)
    ensemble = Ensemble([model])
    with torch.inference_mode():
        state = ensemble.encode([(sources, lengths)])
        results = Search(decoding, lambda: words)(ensemble.step, state, lengths, requests, CPU)
    for i, (request, found) in enumerate(zip(requests, results, strict=True)):
        source = sources[i : i + 1, : lengths[i]], lengths[i : i + 1]

        @cache
        def row(tokens, source=source):
            features = model(*source, torch.tensor([[BOS, *tokens]]))
            log_probs = model.output(features)[0, -1].log_softmax(dim=-1).detach().numpy().copy()
            log_probs[[PAD, UNK, BOS]] = -np.inf
            return log_probs

        size = len(request.prefix)
        every = oracles.exhaustive_search(lambda tokens, row=row: row(tuple(tokens)), 4)
        expected = [
            (log_prob, tokens, complete)
            for log_prob, tokens, complete in every
            if tokens[:size] == list(request.prefix)
            and not (request.whole and tokens[size:] and tokens[size] not in starts)
            and all(oracles.has(tokens, ids) for ids in request.required)
            # What ends in the prefix was asked for.
            and not any(
                tokens[max(0, end - len(ids)) : end] == ids
                for ids in banned_ids(request)
                for end in range(size + 1, len(tokens) + 1)
            )
        ]
        assert [(h.tokens, h.complete) for h in found] == [one[1:] for one in expected]
        assert len(expected) >= 3
        log_probs = [one[0] for one in expected]
        assert [h.log_prob for h in found] == pytest.approx(log_probs, abs=1e-4)


@pytest.mark.parametrize(
    ("attention", "feeding"), [pair for pair in DECODERS if pair[0] is not None]
)
def test_coverage_penalties_are_those_of_teacher_forced_attention(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding})
    sources, lengths = random_source([5, 2, 7])
    decoding = Decoding(coverage_penalty=0.5, max_length=8, n_best=4)
    found = translate([model, model], sources, lengths, build_requests("", 3), decoding)
    for i, hypotheses in enumerate(found):
        assert hypotheses == sorted(hypotheses, key=lambda h: (not h.complete, -h.score))
        for h in hypotheses:
            said = [*h.tokens, EOS] if h.complete else h.tokens
            state = model.encode(sources[i : i + 1, : lengths[i]], lengths[i : i + 1])
            _, state = model.decode(torch.tensor([[BOS, *said[:-1]]]), state)
            got = state.weights[0].double().sum(dim=0).clamp(min=1e-6, max=1.0)
            score = oracles.gnmt(1.0)(h.log_prob, len(said)) + 0.5 * got.log().sum().item()
            assert h.score == pytest.approx(score, abs=1e-4)


def test_lengths_that_a_recipe_allows():
    sources = torch.tensor([1, 2, 11, 21, 2000])

    def lengths(**keys):
        decoding = Decoding(**keys)
        return limit_lengths(decoding, sources).tolist(), fewest_pieces(decoding, sources).tolist()

    assert lengths() == ([33, 36, 63, 93, MAX_PIECES], [0] * 5)
    assert lengths(max_length=7, min_length=2) == ([7] * 5, [2] * 5)
    assert lengths(max_length_ratio=1.1)[0] == [2, 3, 13, 24, MAX_PIECES]
    assert lengths(max_length_ratio=0.3, max_length=5)[0] == [1, 1, 4, 5, 5]
    assert lengths(max_length_ratio=0.9, max_length=1500)[0][-1] == 1500
    assert lengths(min_length_ratio=1.1)[1] == [0, 1, 11, 22, 2198]
    assert lengths(min_length_ratio=0.5, min_length=3)[1] == [3, 3, 5, 10, 999]
    assert lengths(max_length_ratio=1e300)[0] == [MAX_PIECES] * 5
    assert min(lengths(min_length_ratio=1e300)[1][1:]) > MAX_PIECES
    keys = Decoding.model_json_schema()["properties"]
    least = keys["min_length"]["exclusiveMaximum"] - 1
    most = keys["max_length"]["anyOf"][0]["exclusiveMaximum"] - 1
    assert lengths(min_length=least, max_length=most) == ([most] * 5, [least] * 5)


def test_what_is_asked_for_has_room_and_minima_give_way_to_maxima():
    model = build_model()
    sources, lengths = random_source([4, 4, 4])
    requests = [Request(prefix=[4, 5, 6, 7]), Request(required=[[4, 5], [7, 7]]), Request()]
    decoding = Decoding(max_length=2, min_length_ratio=3.0)
    found = translate([model], sources, lengths, requests, decoding)
    assert found[0][0].tokens[:4] == [4, 5, 6, 7]
    assert oracles.has(found[1][0].tokens, [4, 5]) and oracles.has(found[1][0].tokens, [7, 7])
    assert len(found[2][0].tokens) == 1 or not found[2][0].complete


@pytest.mark.parametrize("rule", [{"no_repeat_ngram": 1}, {"max_repeats": 1}, {"ban_unk": True}])
def test_what_is_required_is_not_forbidden(rule):
    model = build_model()
    sources, lengths = random_source([4, 4, 4, 6])
    requests = [
        Request(required=[[4, 4, 4]]),
        Request(required=[[5, 6, 5, 6], [6, 6]]),
        Request(),
        Request(prefix=[7, 7], required=[[7, 8], [8]], banned=[ban([[8, 8]], TGT_VOCAB)]),
    ]
    decoding = Decoding(n_best=5, max_length=14, **rule)
    found = translate([model], sources, lengths, requests, decoding)
    for request, hypotheses in zip(requests, found, strict=True):
        assert hypotheses
        for h in hypotheses:
            assert all(oracles.has(h.tokens, ids) for ids in request.required)
            assert not any(oracles.has(h.tokens, ids) for ids in banned_ids(request))
    alone = translate([model], sources[2:3], lengths[2:3], requests[2:3], decoding)
    assert_same(found[2:3], alone)


def test_samples_differ_and_their_seed_decides():
    model = build_model()
    sources, lengths = random_source([6, 6])
    requests = [Request(key=1), Request(key=2)]

    def draw(seed):
        decoding = Decoding(sampling=True, sampling_seed=seed, n_best=20, max_length=8)
        return translate([model], sources, lengths, requests, decoding)

    first = draw(1)
    assert first == draw(1) != draw(2)
    assert len({tuple(h.tokens) for h in first[0]}) > 5
