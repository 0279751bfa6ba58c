import math
from typing import get_args

import oracles
import pytest
import torch

from seq2seq.recipe import Decoding
from seq2seq.search.beam import EARLY_STOPPING
from seq2seq.search.build import MAX_PIECES
from seq2seq.search.penalties import LENGTH_PENALTIES, build_score


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("kind", LENGTH_PENALTIES)
def test_scores_are_their_formulas(kind, strength):
    lengths, log_probs = [1, 2, 7, 50], [-0.5, -1.0, -3.0, -20.0]
    formula = getattr(oracles, kind)(strength)
    expected = [formula(p, n) for p, n in zip(log_probs, lengths, strict=True)]
    score = build_score(kind, strength)
    assert score(torch.tensor(log_probs), torch.tensor(lengths)).tolist() == pytest.approx(expected)
    for length, log_prob, one in zip(lengths, log_probs, expected, strict=True):
        assert score(torch.tensor([log_prob]), length).item() == pytest.approx(one)


@pytest.mark.parametrize("kind", LENGTH_PENALTIES)
def test_strength_0_leaves_the_log_probability_and_what_cannot_be_stays_so(kind):
    log_probs = torch.tensor([-2.5, -math.inf])
    assert build_score(kind, 0.0)(log_probs, 12).tolist() == log_probs.tolist()
    assert build_score(kind, 1.0)(log_probs, 12)[1] == -math.inf


@pytest.mark.parametrize("kind", LENGTH_PENALTIES)
def test_the_greatest_strength_of_a_recipe_still_tells_hypotheses_apart(kind):
    keys = Decoding.model_json_schema()["properties"]
    score = build_score(kind, keys["length_penalty"]["maximum"])
    log_probs, lengths = torch.tensor([-0.1, -0.2, -90.0]), torch.full((3,), MAX_PIECES)
    for found in (score(log_probs, MAX_PIECES), score(log_probs, lengths)):
        assert found.isfinite().all()
        assert found[0] > found[1] > found[2]


def test_options_are_those_of_the_recipe():
    fields = Decoding.model_fields
    assert get_args(fields["length_penalty_type"].annotation) == tuple(LENGTH_PENALTIES)
    assert get_args(fields["early_stopping"].annotation) == tuple(EARLY_STOPPING)
