import math

import oracles
import pytest
import torch

from seq2seq.search.constraints import Ban, MinLength, NoRepeat, build_constraints
from seq2seq.special import BOS, EOS, PAD, UNK

VOCAB = 8


def forbidden(constraint, tokens):
    """The tokens that may not follow each row."""
    log_probs = torch.randn(tokens.shape[0], VOCAB)
    before = log_probs.clone()
    constraint(log_probs, tokens)
    gone = log_probs == -math.inf
    assert torch.equal(log_probs[~gone], before[~gone])
    return [set(row.nonzero().flatten().tolist()) for row in gone]


@pytest.mark.parametrize("length", [0, 3])
def test_ban_forbids_its_tokens_at_all_times(length):
    tokens = torch.randint(4, VOCAB, (2, length))
    assert forbidden(Ban([PAD, 6]), tokens) == [{PAD, 6}] * 2


def test_min_length_forbids_to_end_too_early():
    ends = [EOS in forbidden(MinLength(2), torch.full((1, t), 5))[0] for t in range(4)]
    assert ends == [True, True, False, False]


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_no_repeat_forbids_just_what_would_repeat(ngram):
    seen = 0
    for length in range(9):
        tokens = torch.randint(4, 7, (20, length))
        rows = [row for row in tokens.tolist() if not oracles.repeats(row, ngram)]
        if rows:
            expected = [
                {t for t in range(VOCAB) if oracles.repeats([*row, t], ngram)} for row in rows
            ]
            found = forbidden(NoRepeat(ngram), torch.tensor(rows, dtype=torch.long))
            assert found == expected
            seen += sum(map(len, expected))
    assert seen


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((False, 0, 0), {PAD, BOS}),
        ((True, 0, 0), {PAD, BOS, UNK}),
        ((False, 3, 0), {PAD, BOS, EOS}),
        ((False, 2, 0), {PAD, BOS}),
        ((True, 3, 1), {PAD, BOS, UNK, EOS, 4, 5}),
    ],
)
def test_constraints_of_a_recipe(settings, expected):
    tokens = torch.tensor([[4, 5]])
    constraints = build_constraints(*settings)
    assert set().union(*(forbidden(one, tokens)[0] for one in constraints)) == expected
