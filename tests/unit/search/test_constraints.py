import math

import oracles
import pytest
import torch
from chains import FORBIDDEN, WIDE, allowed, ban, random_tables, search

from seq2seq.search.banned import BanText
from seq2seq.search.constraints import (
    Ban,
    Follow,
    MinLength,
    NoLoop,
    NoRepeat,
    Prefix,
    build_constraints,
)
from seq2seq.special import BOS, EOS, PAD, UNK

VOCAB = 8
CPU = torch.device("cpu")


def forbidden(constraint, tokens):
    """The tokens that may not follow each row, a sentence of its own."""
    log_probs = torch.randn(tokens.shape[0], VOCAB)
    before = log_probs.clone()
    constraint(log_probs, tokens, torch.arange(tokens.shape[0]))
    gone = log_probs == -math.inf
    assert torch.equal(log_probs[~gone], before[~gone])
    return [set(row.nonzero().flatten().tolist()) for row in gone]


@pytest.mark.parametrize("length", [0, 3])
def test_ban_forbids_its_tokens_at_all_times(length):
    tokens = torch.randint(4, VOCAB, (2, length))
    assert forbidden(Ban([PAD, 6]), tokens) == [{PAD, 6}] * 2


def test_min_length_forbids_to_end_too_early():
    constraint = MinLength(torch.tensor([2, 0, 3]))
    for t in range(5):
        ends = [EOS in gone for gone in forbidden(constraint, torch.full((3, t), 5))]
        assert ends == [t < 2, False, t < 3]


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_no_repeat_forbids_just_what_would_repeat(ngram):
    assert_forbids(NoRepeat(ngram), lambda tokens: oracles.repeats(tokens, ngram), 4)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_no_loop_forbids_just_what_would_loop(times):
    assert_forbids(NoLoop(times), lambda tokens: oracles.loops(tokens, times), 6)


def test_loops_of_any_length_are_seen():
    for period in range(1, 11):
        tokens = [4 + i % 3 for i in range(period - 1)] + [7]
        assert 7 in forbidden(NoLoop(2), torch.tensor([tokens * 3])[:, :-1])[0]
        assert 7 not in forbidden(NoLoop(3), torch.tensor([tokens * 3])[:, :-1])[0]


def assert_forbids(constraint, is_bad, most):
    """Forbids a token if and only if the tokens are bad with it, where they weren't before."""
    seen = 0
    for length in range(9):
        tokens = torch.randint(4, most + 1, (40, length))
        rows = [row for row in tokens.tolist() if not is_bad(row)]
        if rows:
            expected = [{t for t in range(VOCAB) if is_bad([*row, t])} for row in rows]
            assert forbidden(constraint, torch.tensor(rows, dtype=torch.long)) == expected
            seen += sum(map(len, expected))
    assert seen


def test_banned_phrases_are_each_sentences_own():
    phrases = [[[5]], [[4, 5], [5, 5, 4]], [], [[6, 4], [4, 5, 6], [7]]]
    constraint = BanText([ban(own, VOCAB) for own in phrases], torch.zeros(4))
    seen = 0
    for length in range(6):
        for _ in range(20):
            tokens = torch.randint(4, VOCAB, (4, length))
            expected = [
                {ids[-1] for ids in own if row[length - len(ids) + 1 :] == ids[:-1]
                 and len(ids) <= length + 1}
                for own, row in zip(phrases, tokens.tolist(), strict=True)
            ]  # fmt: skip
            assert forbidden(constraint, tokens) == expected
            seen += sum(map(len, expected))
    assert seen


@pytest.mark.parametrize("name", ["banned", "prefix", "whole", "loop", "ngram", "length"])
def test_constrained_search_is_exhaustive_search_filtered(name):
    tables, limit = random_tables(4), 4
    phrases = [[[5], [4, 6]], [], [[6, 6, 6]], [[4, 4], [4, 5, 6], [UNK]]]
    prefixes = [[5], [], [6, 6, 4], [UNK, 4]]
    fewest = [0, 3, 1, 2]
    constraint, allows = {
        "banned": (
            BanText([ban(own) for own in phrases], torch.zeros(4)),
            lambda i, found: not any(oracles.has(found, ids) for ids in phrases[i]),
        ),
        "prefix": (
            Prefix(prefixes, [], CPU),
            lambda i, found: found[: len(prefixes[i])] == prefixes[i],
        ),
        "whole": (
            Prefix(prefixes, [Follow(torch.tensor([1, -1, 3, 2]), [4, UNK])], CPU),
            lambda i, found: (
                found[: len(prefixes[i])] == prefixes[i]
                and (i == 1 or not {5, 6} & {*found[len(prefixes[i]) :][:1]})
            ),
        ),
        "loop": (NoLoop(1), lambda i, found: not oracles.loops(found, 1)),
        "ngram": (NoRepeat(2), lambda i, found: not oracles.repeats(found, 2)),
        "length": (MinLength(torch.tensor(fewest)), lambda i, found: len(found) >= fewest[i]),
    }[name]
    keys = {"beam_size": WIDE, "n_best": WIDE, "constraints": [FORBIDDEN, constraint]}
    results = search(tables, [limit] * 4, **keys)
    for i, (table, hypotheses) in enumerate(zip(tables, results, strict=True)):
        every = oracles.exhaustive_search(allowed(table), limit)
        expected = [one for one in every if allows(i, one[1])]
        assert [(h.tokens, h.complete) for h in hypotheses] == [one[1:] for one in expected]
        log_probs = [one[0] for one in expected]
        assert [h.log_prob for h in hypotheses] == pytest.approx(log_probs, abs=1e-4)


def test_what_is_asked_for_is_not_forbidden():
    others = [Ban([PAD, BOS, UNK]), NoRepeat(1)]
    prefixes = [[UNK, 5, 5], [4]]
    tables = random_tables(2)
    keys = {"constraints": [Prefix(prefixes, others, CPU)], "n_best": WIDE}
    for prefix, found in zip(prefixes, search(tables, [6, 6], **keys), strict=True):
        for h in found:
            assert h.tokens[: len(prefix)] == prefix
            rest = h.tokens[len(prefix) :]
            assert len({*rest, *prefix}) == len({*prefix}) + len(rest) and UNK not in rest


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((False, 0, 0), {PAD, BOS}),
        ((True, 0, 0), {PAD, BOS, UNK}),
        ((True, 1, 0), {PAD, BOS, UNK, 4, 5}),
        ((False, 0, 1), {PAD, BOS, 5}),
    ],
)
def test_constraints_of_a_recipe(settings, expected):
    tokens = torch.tensor([[4, 5]])
    constraints = build_constraints(*settings)
    assert set().union(*(forbidden(one, tokens)[0] for one in constraints)) == expected
