from collections import Counter

import chains
import numpy as np
import oracles
import pytest
import torch
from chains import FORBIDDEN, start, step
from tiny import DECODERS, build_model, random_source

from seq2seq.search.constraints import Ban
from seq2seq.search.sample import build_draws, keep_top_k, keep_top_p, sample
from seq2seq.special import BOS, EOS, PAD

VOCAB = 6


def random_tables(batch):
    return chains.random_tables(batch, VOCAB)


def draw(tables, limits, draws, **keys):
    keys = {"constraints": [FORBIDDEN]} | keys
    return sample(step, start(tables), torch.as_tensor(limits), draws, **keys)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_outputs_come_as_often_as_their_probabilities_say(temperature):
    count, limits = 20_000, [3, 2]
    tables = random_tables(2)
    found = draw(tables, limits, torch.rand(2, count, 3), temperature=temperature)
    for table, limit, samples in zip(tables, limits, found, strict=True):
        flat = table.double().numpy() / temperature
        flat[..., [PAD, BOS]] = -np.inf
        flat -= np.log(np.exp(flat).sum(axis=-1, keepdims=True))
        seen = Counter((tuple(one.tokens), one.complete) for one in samples)
        outputs = oracles.exhaustive_search(oracles.chain(flat), limit)
        assert sum(np.exp(log_prob) for log_prob, _, _ in outputs) == pytest.approx(1)
        assert seen.keys() <= {(tuple(tokens), complete) for _, tokens, complete in outputs}
        for log_prob, tokens, complete in outputs:
            share = np.exp(log_prob)
            error = 6 * np.sqrt(share * (1 - share) / count)
            frequency = seen[tuple(tokens), complete] / count
            assert frequency == pytest.approx(share, abs=error + 1e-4)


def filtered(row, temperature, top_k, top_p):
    """What is drawn from, token by token: log-probabilities (V,) to probabilities."""
    order = sorted((t for t in range(VOCAB) if row[t] > -np.inf), key=lambda t: (-row[t], t))
    weights = {t: np.exp(row[t] / temperature) for t in order[: top_k or VOCAB]}
    total, kept, so_far = sum(weights.values()), {}, 0.0
    for token, weight in weights.items():
        if so_far < top_p * total:
            kept[token] = weight
        so_far += weight
    shares = np.zeros(VOCAB)
    for token, weight in kept.items():
        shares[token] = weight / sum(kept.values())
    return shares


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 2, 1.0), (1.0, 0, 0.6), (0.7, 3, 0.8), (1.5, 9, 0.99), (1.0, 1, 1.0), (1.0, 0, 1e-6)],
)
def test_filtered_samples_pass_the_chi_square_test(temperature, top_k, top_p):
    count, (table,) = 20_000, random_tables(1)
    keys = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    (found,) = draw(table[None], [2], torch.rand(1, count, 2), **keys)
    seen = Counter((tuple(one.tokens), one.complete) for one in found)
    continue_ = chains.allowed(table)
    first = filtered(continue_([]), **keys)
    expected = {((), True): first[EOS]}
    for token in (t for t in range(VOCAB) if t != EOS and first[t] > 0):
        for then, share in enumerate(filtered(continue_([token]), **keys)):
            tokens = (token,) if then == EOS else (token, then)
            expected[tokens, then == EOS] = first[token] * share
    expected = {key: share * count for key, share in expected.items() if share > 0}
    assert seen.keys() <= expected.keys()
    assert sum(expected.values()) == pytest.approx(count)
    statistic = sum((seen[key] - mean) ** 2 / mean for key, mean in expected.items())
    freedom = len(expected) - 1
    # Mean and deviation of the distribution are n and sqrt(2 n); its tail is a little heavier.
    assert statistic <= freedom + 7 * np.sqrt(2 * freedom) + 10


def test_equal_tokens_are_filtered_by_id():
    row = torch.tensor([[-2.0, -1.0, -2.0, -2.0, -1.0, -2.0]])
    kept = [set((keep_top_k(row, k) > -np.inf).nonzero()[:, 1].tolist()) for k in range(1, 7)]
    order = [1, 4, 0, 2, 3, 5]
    assert kept == [set(order[:k]) for k in range(1, 7)]
    sharp = torch.tensor([[0.1, 0.5, 0.1, 0.1, 0.1, 0.1]]).log()
    assert (keep_top_p(sharp, 0.45) > -np.inf).tolist() == [[False, True] + [False] * 4]
    assert (keep_top_p(sharp, 0.55) > -np.inf).tolist() == [[True, True] + [False] * 4]


def test_where_nothing_may_follow_the_sample_is_what_there_is():
    tables = torch.full((2, VOCAB, VOCAB, VOCAB), float("-inf"))
    tables[0, BOS, BOS, 4] = -0.5
    tables[1, ..., 4], tables[1, ..., EOS] = -0.7, -0.7
    dead, live = draw(tables, [6, 3], torch.rand(2, 8, 6))
    assert [(one.tokens, one.complete, one.log_prob) for one in dead] == [([4], False, -0.5)] * 8
    assert {tuple(one.tokens) for one in live} <= {(), (4,), (4, 4), (4, 4, 4)}


def test_draws_are_functions_of_seed_key_sample_and_place():
    draws = build_draws(3, [7, 2**59, 7], 4, 9)
    assert draws.shape == (3, 4, 9) and draws.min() >= 0 and draws.max() < 1
    assert torch.equal(draws[0], draws[2])
    assert torch.equal(build_draws(3, [2**59], 2, 5), draws[1:2, :2, :5])
    others = [build_draws(4, [7], 1, 9), draws[1:2, :1], draws[:1, 1:2]]
    assert not any(torch.equal(draws[:1, :1], other) for other in others)
    many = build_draws(1, list(range(500)), 2, 20).flatten().double()
    assert many.mean() == pytest.approx(0.5, abs=0.02)
    assert many.var() == pytest.approx(1 / 12, abs=0.01)


def test_scores_are_the_log_probabilities_of_the_tokens():
    tables = random_tables(3)
    found = draw(tables, [4, 5, 3], torch.rand(3, 20, 5), temperature=0.7)
    for table, samples in zip(tables, found, strict=True):
        continue_ = oracles.chain(table.double().numpy())
        for one in samples:
            path = [*one.tokens, *([EOS] if one.complete else [])]
            expected = sum(continue_(path[:t])[path[t]] for t in range(len(path)))
            assert one.score == one.log_prob == pytest.approx(expected, abs=1e-4)


def test_a_sample_is_a_function_of_its_draws():
    tables, limits, draws = random_tables(5), torch.tensor([5, 1, 9, 7, 3]), torch.rand(5, 4, 9)
    whole = draw(tables, limits, draws)
    for i in range(5):
        assert draw(tables[i : i + 1], limits[i : i + 1], draws[i : i + 1]) == [whole[i]]
        one = draw(tables[i : i + 1], limits[i : i + 1], draws[i : i + 1, 2:3])
        assert one == [[whole[i][2]]]
    assert all(len(one.tokens) + one.complete <= n for n, row in zip(limits, whole) for one in row)  # noqa: B905


@pytest.mark.parametrize("value", [0.0, 1 - 2**-24])
def test_the_ends_of_the_interval_draw_nothing_that_cannot_be(value):
    tables = random_tables(4)
    last = VOCAB - 1
    (found,) = zip(*draw(tables, [6] * 4, torch.full((4, 1, 6), value)), strict=True)
    assert all({PAD, BOS}.isdisjoint(one.tokens) for one in found)
    found = draw(tables, [6] * 4, torch.full((4, 1, 6), value), constraints=[Ban([PAD, BOS, last])])
    assert all({PAD, BOS, last}.isdisjoint(one.tokens) for (one,) in found)


@pytest.mark.parametrize(("attention", "feeding"), DECODERS)
def test_networks_give_their_teacher_forced_log_probabilities(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding})
    src, lengths = random_source([3, 5, 2])
    found = sample(
        model.step,
        model.encode(src, lengths),
        torch.tensor([6, 8, 7]),
        torch.rand(3, 4, 8),
        constraints=[FORBIDDEN],
    )
    for i, samples in enumerate(found):
        for one in samples:
            read = torch.tensor([[BOS, *one.tokens]])
            features = model(src[i : i + 1, : lengths[i]], lengths[i : i + 1], read)
            log_probs = model.output(features[0]).log_softmax(dim=-1)
            said = torch.tensor([*one.tokens, EOS])
            terms = log_probs.gather(1, said.unsqueeze(1)).squeeze(1)
            expected = terms[: len(one.tokens) + one.complete].sum().item()
            assert one.log_prob == pytest.approx(expected, abs=1e-4)
