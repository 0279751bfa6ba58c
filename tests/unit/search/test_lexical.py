import itertools
import random

import oracles
import pytest
import torch
from chains import FORBIDDEN, VOCAB, WIDE, allowed, random_tables, search, tied_tables

from seq2seq.search.constraints import NoRepeat
from seq2seq.search.lexical import Required
from seq2seq.search.penalties import build_score
from seq2seq.search.requests import Words, build_phrases
from seq2seq.special import EOS, UNK

CPU = torch.device("cpu")
WORDS = [UNK, 4, 5, 6]
PHRASES = [
    [],
    [[5]],
    [[4, 6]],
    [[4, 4, 5]],
    [[5], [6]],
    [[4, 5], [5, 6]],
    [[6, 6], [6]],
    [[5], [5]],
    [[4, 5, 4], [5, 4, 4]],
    [[UNK], [4], [5]],
]
"""One, several, overlapping, within others, twice the same."""


def required(phrases):
    return Required(build_phrases(phrases, CPU))


@pytest.mark.parametrize("limit", [3, 4, 5])
def test_a_full_beam_is_exhaustive_search_filtered(limit):
    possible = [own for own in PHRASES if len({tuple(ids) for ids in own}) < limit]
    tables, score = random_tables(len(possible)), oracles.gnmt(1.0)
    tables[..., 5 if limit == 5 else VOCAB - 1] -= 1
    results = search(
        tables,
        [limit] * len(possible),
        beam_size=WIDE,
        n_best=WIDE,
        score=build_score("gnmt", 1.0),
        choose=required(possible),
    )
    for table, own, hypotheses in zip(tables, possible, results, strict=True):
        every = oracles.exhaustive_search(allowed(table), limit, score)
        expected = [one for one in every if all(oracles.has(one[1], ids) for ids in own)]
        if expected:
            assert [(h.tokens, h.complete) for h in hypotheses] == [one[1:] for one in expected]
            log_probs = [one[0] for one in expected]
            assert [h.log_prob for h in hypotheses] == pytest.approx(log_probs, abs=1e-4)
        else:
            assert hypotheses and not any(h.complete for h in hypotheses)


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("make", [random_tables, tied_tables])
def test_all_phrases_appear_in_all_outputs_whatever_the_beam(make, beam_size):
    tables = make(10 * len(PHRASES))
    phrases = PHRASES * 10
    limits = [2 + sum(map(len, own)) + i % 5 for i, own in enumerate(phrases)]
    for own, found in zip(
        phrases,
        search(tables, limits, beam_size=beam_size, choose=required(phrases)),
        strict=True,
    ):
        assert found
        for h in found:
            assert all(oracles.has(h.tokens, ids) for ids in own)


@pytest.mark.parametrize("make", [random_tables, tied_tables])
def test_sentences_without_phrases_are_searched_as_ever(make):
    tables, limits = make(12), torch.randint(4, 9, (12,))
    phrases = [[[4, 5]] if i % 3 == 0 else [] for i in range(12)]
    found = search(tables, limits, choose=required(phrases))
    plain = search(tables, limits)
    for own, ours, theirs in zip(phrases, found, plain, strict=True):
        assert own or ours == theirs


def test_sentences_depend_on_no_others():
    rng = random.Random(7)
    phrases = [
        [rng.choices(WORDS, k=rng.randint(1, 3)) for _ in range(rng.randint(0, 3))]
        for _ in range(16)
    ]
    tables, limits = random_tables(16), torch.full((16,), 12)
    together = search(tables, limits, beam_size=4, choose=required(phrases))
    for i in range(16):
        keys = {"beam_size": 4, "choose": required(phrases[i : i + 1])}
        assert search(tables[i : i + 1], limits[i : i + 1], **keys) == [together[i]]


def test_a_wider_beam_finds_better_outputs():
    tables = random_tables(160)
    phrases = [[list(ids)] for ids in itertools.product(WORDS, repeat=2)] * 10
    results = [
        search(tables, [12] * 160, beam_size=size, n_best=1, choose=required(phrases))
        for size in (1, 4, 16)
    ]
    ended = [row for row in zip(*results, strict=True) if all(one.complete for (one,) in row)]
    assert len(ended) > 10
    narrow, wider, widest = (sum(found[0].log_prob for found in column) for column in zip(*ended))  # noqa: B905
    assert narrow < wider < widest


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("seed", [0, 13, 39, 68])
@pytest.mark.parametrize("beam_size", [1, 3, WIDE])
def test_phrases_are_whole_words(beam_size, seed, backwards):
    # In some of these tables what has just got a phrase is likelier than what has settled it.
    torch.manual_seed(seed)
    # 4 and 5 end in a word that 5 and 6 go on with.
    going_on, is_open = torch.zeros(2, VOCAB, dtype=torch.bool)
    going_on[[5, 6]], is_open[[4, 5]] = True, True
    words = Words([UNK, 4], going_on, is_open, backwards)
    limit, tables = 4, random_tables(len(PHRASES))
    possible = [own for own in PHRASES if len({tuple(ids) for ids in own}) < limit]
    limits = [limit if beam_size == WIDE else 12] * len(possible)
    keys = {"beam_size": beam_size, "choose": Required(build_phrases(possible, CPU, words))}
    results = search(tables[: len(possible)], limits, **keys)

    def stands(tokens, ids):
        def is_one_word(start, stop):
            if backwards:
                return ids[0] in (5, 6) and start and tokens[start - 1] in (4, 5)
            return ids[-1] in (4, 5) and {5, 6} & {*tokens[stop : stop + 1]}

        return any(
            tokens[start : start + len(ids)] == ids and not is_one_word(start, start + len(ids))
            for start in range(len(tokens))
        )

    for table, own, found in zip(tables, possible, results, strict=True):
        if beam_size < WIDE:
            assert all(stands(h.tokens, ids) for h in found for ids in own)
            continue
        every = oracles.exhaustive_search(allowed(table), limit)
        expected = [one for one in every if all(stands(one[1], ids) for ids in own)]
        if expected:
            assert [(h.tokens, h.complete) for h in found] == [one[1:] for one in expected]


def test_phrases_that_other_constraints_forbid_leave_what_there_is():
    tables = random_tables(3)
    keys = {"constraints": [FORBIDDEN, NoRepeat(1)], "choose": required([[[5, 5]]] * 3)}
    for found in search(tables, [6] * 3, **keys):
        assert found and not any(h.complete or EOS in h.tokens for h in found)


def test_phrases_within_tokens():
    phrases = [[[4]], [[4, 5], [5, 4, 4]], [], [[6, 6, 6], [6]]]
    built = build_phrases(phrases, CPU)
    for length in range(6):
        for _ in range(30):
            tokens = torch.randint(4, 7, (4, length))
            found, unsettled = built.within(tokens)
            assert not unsettled.any()
            for own, row, told in zip(phrases, tokens.tolist(), found.tolist(), strict=True):
                assert told[: len(own)] == [oracles.has(row, ids) for ids in own]
                assert all(told[len(own) :])
