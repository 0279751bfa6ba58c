import numpy as np
import oracles
import pytest
import torch
from chains import (
    FORBIDDEN,
    VOCAB,
    WIDE,
    allowed,
    random_tables,
    search,
    start,
    step,
    tied_tables,
)
from tiny import DECODERS, build_model, random_source

from seq2seq.search.beam import EARLY_STOPPING, beam_search, best_tokens
from seq2seq.search.constraints import Ban, MinLength, NoRepeat
from seq2seq.search.penalties import build_score
from seq2seq.special import BOS, EOS, PAD, UNK

SCORES = [
    ("gnmt", 0.0, oracles.plain),
    ("gnmt", 0.7, oracles.gnmt(0.7)),
    ("gnmt", 1.5, oracles.gnmt(1.5)),
    ("average", 1.0, oracles.average(1.0)),
    ("average", 0.6, oracles.average(0.6)),
    ("reward", 0.8, oracles.reward(0.8)),
]
"""Scores of the package and what they are."""


def gnmt(alpha):
    return build_score("gnmt", alpha)


def assert_found(hypotheses, expected, score=oracles.plain, bonus=oracles.nothing):
    assert [(h.tokens, h.complete) for h in hypotheses] == [(t, c) for _, t, c in expected]
    assert [h.log_prob for h in hypotheses] == pytest.approx([p for p, _, _ in expected], abs=1e-4)
    for h in hypotheses:
        value = score(h.log_prob, len(h.tokens) + h.complete) + bonus(h.tokens, h.complete)
        assert h.score == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(("kind", "strength", "score"), SCORES)
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_full_beam_finds_all_there_is(limit, kind, strength, score):
    tables = random_tables(2)
    keys = {"beam_size": WIDE, "n_best": WIDE, "score": build_score(kind, strength)}
    results = search(tables, [limit] * 2, **keys)
    for table, hypotheses in zip(tables, results, strict=True):
        expected = oracles.exhaustive_search(allowed(table), limit, score)
        assert_found(hypotheses, expected, score)


@pytest.mark.parametrize("beam_size", [1, 3, WIDE])
def test_a_bonus_counts_for_what_ends(beam_size):
    tables, gifts = random_tables(3), -torch.rand(VOCAB, VOCAB).double() * 3

    def bonus(state):
        return gifts[state.rows[:, 0], state.rows[:, 1]]

    def given(tokens, complete):
        before, last = [BOS, BOS, *(tokens if complete else tokens[:-1])][-2:]
        return gifts[before, last].item()

    score = oracles.gnmt(1.0)
    keys = {"beam_size": beam_size, "n_best": WIDE, "score": gnmt(1.0), "bonus": bonus}
    results = search(tables, [3] * 3, **keys)
    for table, hypotheses in zip(tables, results, strict=True):
        every = oracles.exhaustive_search(allowed(table), 3, score, given)
        found = [(h.tokens, h.complete) for h in hypotheses]
        assert_found(hypotheses, [one for one in every if one[1:] in found], score, given)
        assert beam_size < WIDE or len(found) == len(every)


def test_beam_1_is_greedy():
    tables = random_tables(40)
    results = search(tables, [9] * 40, beam_size=1)
    expected = [oracles.greedy_search(allowed(table), 9) for table in tables]
    assert len({len(tokens) for _, tokens, _ in expected}) > 2
    for hypotheses, one in zip(results, expected, strict=True):
        assert_found(hypotheses, [one])


@pytest.mark.parametrize("rule", EARLY_STOPPING)
@pytest.mark.parametrize("make", [random_tables, tied_tables])
@pytest.mark.parametrize("beam_size", [1, 2, 3, 5, 12])
def test_beams_are_those_of_the_plain_algorithm(beam_size, make, rule):
    tables = make(20)
    limits = torch.randint(1, 7, (20,))
    keys = {"beam_size": beam_size, "n_best": WIDE, "early_stopping": rule}
    results = search(tables, limits, score=gnmt(1.0), **keys)
    for table, limit, hypotheses in zip(tables, limits.tolist(), results, strict=True):
        score = oracles.gnmt(1.0)
        expected = oracles.beam_search(allowed(table), limit, beam_size, score, rule)
        assert_found(hypotheses, expected, score)


@pytest.mark.parametrize(("kind", "strength", "score"), SCORES)
@pytest.mark.parametrize("rule", EARLY_STOPPING)
def test_rules_of_stopping_hold_for_all_scores(rule, kind, strength, score):
    tables = random_tables(20)
    tables[..., EOS] += 1
    keys = {"beam_size": 2, "n_best": WIDE, "early_stopping": rule}
    results = search(tables, [9] * 20, score=build_score(kind, strength), **keys)
    for table, hypotheses in zip(tables, results, strict=True):
        assert_found(hypotheses, oracles.beam_search(allowed(table), 9, 2, score, rule), score)


def test_patience_goes_from_first_to_never():
    tables, score = random_tables(60), gnmt(1.0)
    tables[..., EOS] += 1
    steps = {}
    for rule in ("first", "so_far", "never"):
        calls = []

        def count(tokens, state, calls=calls):
            calls.append(len(tokens))
            return step(tokens, state)

        limits = torch.full((60,), 12)
        keys = {"constraints": [FORBIDDEN], "early_stopping": rule, "score": score}
        found = beam_search(count, start(tables), limits, beam_size=3, **keys)
        steps[rule] = sum(calls), sum(one.score for (one,) in found)
    assert steps["first"][0] < steps["so_far"][0] < steps["never"][0]
    assert steps["first"][1] <= steps["so_far"][1] <= steps["never"][1]


def test_neighbours_order_and_n_best_change_nothing():
    tables, limits = tied_tables(12), torch.randint(1, 8, (12,))
    together = search(tables, limits, score=gnmt(0.6))
    alone = [
        search(tables[i : i + 1], limits[i : i + 1], score=gnmt(0.6))[0] for i in range(len(tables))
    ]
    assert together == alone
    order = torch.randperm(12)
    assert search(tables[order], limits[order], score=gnmt(0.6)) == [together[i] for i in order]
    for n_best in (1, 2):
        fewer = search(tables, limits, score=gnmt(0.6), n_best=n_best)
        assert fewer == [hypotheses[:n_best] for hypotheses in together]


def test_finished_sentences_leave_the_batch():
    tables = torch.full((3, VOCAB, VOCAB, VOCAB), -5.0)
    tables[1, ..., EOS] = -0.1
    tables[[0, 2], ..., EOS] = float("-inf")
    rows = []

    def count(tokens, state):
        rows.append(len(tokens))
        return step(tokens, state)

    limits = torch.tensor([5, 5, 3])
    beam_search(count, start(tables), limits, beam_size=2, constraints=[FORBIDDEN])
    assert rows == [3, 6, 4, 2, 2]


def test_no_output_is_over_its_limit():
    limits = torch.arange(1, 9)
    for hypotheses, limit in zip(search(random_tables(8), limits), limits.tolist(), strict=True):
        assert hypotheses and all(len(h.tokens) + h.complete <= limit for h in hypotheses)


def test_what_does_not_end_is_cut_at_the_limit_and_marked():
    tables = random_tables(4)
    tables[..., EOS] = float("-inf")
    for hypotheses in search(tables, [4] * 4):
        assert [len(h.tokens) for h in hypotheses] == [4] * 3
        assert not any(h.complete for h in hypotheses)
        assert hypotheses == sorted(hypotheses, key=lambda h: -h.score)


def test_an_ended_output_stands_before_better_ones_that_were_cut():
    table = torch.full((1, VOCAB, VOCAB, VOCAB), -4.0)
    table[..., 5] = -0.1
    (hypotheses,) = search(table, [3], beam_size=3, n_best=WIDE)
    assert [h.complete for h in hypotheses] == sorted(
        (h.complete for h in hypotheses), reverse=True
    )
    assert hypotheses[0].complete and hypotheses[-1].tokens != [5, 5, 5]
    (cut,) = (h for h in hypotheses if h.tokens == [5, 5, 5])
    assert cut.score > hypotheses[0].score


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("beam_size", [2, 3, 5])
def test_outputs_that_end_early_do_not_stop_a_better_one(beam_size, alpha):
    # A sure model: one long output, and at each of its steps a small chance to end too early.
    length, table = 12, np.full((16, 16, 16), 1e-4)
    for t in range(length):
        table[:, BOS if t == 0 else t + 3, t + 4] = 1.0
    table[:, :, EOS] = 1e-2
    table[:, length + 3, EOS] = 10.0
    table = np.log(table / table.sum(axis=2, keepdims=True))
    found, *_ = search(table[None], [30], beam_size=beam_size, score=gnmt(alpha))[0]
    assert found.tokens == list(range(4, 4 + length)) and found.complete


def test_a_length_penalty_prefers_longer_outputs():
    table = torch.full((1, VOCAB, VOCAB, VOCAB), float("-inf"))
    table[..., EOS], table[..., 4] = -1.0, -0.2
    table[..., 4, EOS] = -1.1
    plain, rewarded = (
        search(table, [6], beam_size=4, score=gnmt(alpha))[0] for alpha in (0.0, 3.0)
    )
    assert plain[0].tokens == [] and plain[0].score == plain[0].log_prob == pytest.approx(-1)
    assert len(rewarded[0].tokens) > 1
    assert [h.score for h in rewarded] == sorted((h.score for h in rewarded), reverse=True)


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("vocab", [12, 3000])
def test_equal_scores_go_by_token(vocab, beam_size):
    def flat(tokens, state):
        return torch.full((len(tokens), vocab), -2.0), state

    keys = {"beam_size": beam_size, "n_best": WIDE, "constraints": [Ban([PAD, BOS, EOS])]}
    short, long = beam_search(flat, start(torch.zeros(2, 1, 1, 1)), torch.tensor([1, 2]), **keys)
    best = [UNK, *range(EOS + 1, EOS + beam_size)]
    assert [h.tokens for h in short] == [[token] for token in best]
    assert [h.tokens for h in long] == [[token, UNK] for token in best]


def test_equal_scores_at_the_edge_of_the_beam_go_by_token():
    scores = torch.randint(-6, 0, (1, 1, 1, 400)).float().expand(1, 400, 400, 400)
    (hypotheses,) = search(scores, [1], beam_size=40, constraints=[Ban([EOS])])
    order = sorted((t for t in range(400) if t != EOS), key=lambda t: (-scores[0, 0, 0, t], t))
    assert sorted(h.tokens[0] for h in hypotheses) == sorted(order[:40])


@pytest.mark.parametrize("beam_size", [1, 3])
def test_where_nothing_may_follow_the_output_is_what_there_is(beam_size):
    tables = torch.full((3, VOCAB, VOCAB, VOCAB), float("-inf"))
    tables[1, BOS, BOS, 5] = -0.5
    tables[2, BOS, BOS, 5], tables[2, BOS, 5, EOS] = -0.5, -0.25
    results = search(tables, [8] * 3, beam_size=beam_size)
    assert [[h.tokens for h in hypotheses] for hypotheses in results] == [[[]], [[5]], [[5]]]
    assert [h.complete for (h,) in results] == [False, False, True]
    assert [h.log_prob for (h,) in results] == [0.0, -0.5, -0.75]


def test_a_batch_may_be_empty():
    assert search(random_tables(0), torch.zeros(0, dtype=torch.long)) == []


@pytest.mark.parametrize("beam_size", [1, 4])
def test_constraints_hold_in_all_outputs(beam_size):
    tables = random_tables(30)
    tables[..., UNK] += 2
    limits = [9] * 30
    free = [h for found in search(tables, limits, beam_size=beam_size) for h in found]
    assert any(UNK in h.tokens for h in free)
    assert any(len(h.tokens) < 3 and h.complete for h in free)
    assert any(oracles.repeats(h.tokens, 2) for h in free)
    constraints = [Ban([PAD, BOS, UNK]), MinLength(torch.full((30,), 3)), NoRepeat(2)]
    keys = {"beam_size": beam_size, "constraints": constraints}
    for h in [h for found in search(tables, limits, **keys) for h in found]:
        assert not {PAD, BOS, UNK, EOS} & set(h.tokens)
        assert len(h.tokens) >= 3 and not oracles.repeats(h.tokens, 2)


@pytest.mark.parametrize(("attention", "feeding"), DECODERS)
def test_log_probs_are_those_of_teacher_forcing(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding})
    src, lengths = random_source([5, 2, 7])
    limits = torch.tensor([6, 3, 12])
    with torch.inference_mode():
        state = model.encode(src, lengths)
        results = beam_search(model.step, state, limits, beam_size=4, n_best=4, score=gnmt(1.0))
    for i, hypotheses in enumerate(results):
        assert len(hypotheses) == 4
        for h in hypotheses:
            said = [*h.tokens, EOS] if h.complete else h.tokens
            read = torch.tensor([[BOS, *said[:-1]]])
            features = model(src[i : i + 1, : lengths[i]], lengths[i : i + 1], read)
            log_probs = model.output(features)[0].log_softmax(dim=-1)
            assert h.log_prob == pytest.approx(
                sum(row[t].item() for row, t in zip(log_probs, said, strict=True)), abs=1e-4
            )


@pytest.mark.parametrize(("attention", "feeding"), DECODERS)
def test_a_network_translates_a_sentence_alike_in_any_batch(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding})
    src, lengths = random_source([5, 2, 7, 3])
    limits = lengths + 4

    def translate(sentences):
        width = int(lengths[sentences].max())
        with torch.inference_mode():
            state = model.encode(src[sentences, :width], lengths[sentences])
            return beam_search(model.step, state, limits[sentences], beam_size=3, n_best=2)

    together = translate([0, 1, 2, 3])
    for sentences in ([0], [1], [2], [3], [3, 1]):
        for i, hypotheses in zip(sentences, translate(sentences), strict=True):
            assert [h.tokens for h in hypotheses] == [h.tokens for h in together[i]]
            expected = [h.score for h in together[i]]
            assert [h.score for h in hypotheses] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("length", [100, 3 * 64 * 5, 64 * 20 + 17])
@pytest.mark.parametrize("levels", [3, 50, None])
def test_the_best_tokens_of_long_rows_come_in_order_of_value_and_id(length, levels):
    rows = torch.randn(20, length)
    if levels:
        rows = (rows * levels / 4).round()
    values, tokens = best_tokens(rows.clone(), 5)
    for row, found, ids in zip(rows.tolist(), values.tolist(), tokens.tolist(), strict=True):
        order = sorted(range(length), key=lambda i: (-row[i], i))[:5]
        assert found == [row[i] for i in order]
        assert sorted(ids) == sorted(order)
