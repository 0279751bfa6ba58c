import oracles
import pytest
import torch
from chains import WIDE, allowed, random_tables, search, tied_tables

from seq2seq.search.beam import EARLY_STOPPING
from seq2seq.search.diverse import Diverse
from seq2seq.search.penalties import build_score


@pytest.mark.parametrize("rule", EARLY_STOPPING)
@pytest.mark.parametrize(("beam_size", "groups"), [(2, 2), (4, 2), (6, 3), (6, 2)])
@pytest.mark.parametrize("make", [random_tables, tied_tables])
def test_groups_are_those_of_the_plain_algorithm(make, beam_size, groups, rule):
    tables, limits, strength = make(12), torch.randint(1, 8, (12,)), 0.5
    results = search(
        tables,
        limits,
        beam_size=beam_size,
        n_best=WIDE,
        score=build_score("gnmt", 1.0),
        choose=Diverse(groups, strength),
        early_stopping=rule,
    )
    score = oracles.gnmt(1.0)
    for table, limit, hypotheses in zip(tables, limits.tolist(), results, strict=True):
        found = oracles.diverse_search(
            allowed(table), limit, beam_size, groups, strength, score, rule
        )
        once = {(tuple(tokens), complete): one for one in found for _, tokens, complete in [one]}
        expected = oracles.rank(list(once.values()), score)
        assert sorted((h.tokens, h.complete) for h in hypotheses) == sorted(
            (tokens, complete) for _, tokens, complete in expected
        )
        log_probs = sorted(log_prob for log_prob, _, _ in expected)
        assert sorted(h.log_prob for h in hypotheses) == pytest.approx(log_probs, abs=1e-4)
        scores = [h.score for h in hypotheses if h.complete]
        assert scores == sorted(scores, reverse=True)


def test_one_group_is_a_beam_and_groups_without_strength_are_alike():
    tables, limits = random_tables(10), [7] * 10
    plain = search(tables, limits, beam_size=3)
    assert search(tables, limits, beam_size=3, choose=Diverse(1, 2.0)) == plain
    twice = search(tables, limits, beam_size=6, n_best=6, choose=Diverse(2, 0.0))
    assert twice == search(tables, limits, beam_size=3, n_best=3)


def test_strength_makes_lists_more_diverse():
    tables, limits = random_tables(60), [7] * 60

    def variety(strength):
        results = search(tables, limits, beam_size=4, n_best=4, choose=Diverse(4, strength))
        return sum(len({h.tokens[0] for h in found if h.tokens}) for found in results)

    assert variety(0.0) < variety(1.0) < variety(5.0)


def test_sentences_depend_on_no_others():
    tables, limits = random_tables(9), torch.randint(1, 9, (9,))
    keys = {"beam_size": 4, "choose": Diverse(2, 0.7)}
    together = search(tables, limits, **keys)
    for i in range(9):
        assert search(tables[i : i + 1], limits[i : i + 1], **keys) == [together[i]]
