import itertools

import oracles
import pytest
import torch
from chains import FORBIDDEN, VOCAB, WIDE, allowed, random_tables, search

from seq2seq.search.banned import Banned, BanText, Spelling
from seq2seq.search.constraints import Prefix
from seq2seq.special import UNK

CPU = torch.device("cpu")
SPELLINGS = ["", "ab", "", " ", " a", "b", " ."]
"""Of the tokens in `chains`; "ab" can be written in three ways."""
PHRASES = [["ab"], ["a"], ["a b"], ["."], ["b", "a ."], ["abab", "ab b"], [". .", "bb"]]


def write(tokens):
    return "".join(SPELLINGS[token] for token in tokens)


def stands(text, phrase):
    """Whether a phrase stands in a text as whole words, where it ends before the text does."""
    for start in range(len(text)):
        before, rest = text[:start][-1:], text[start:]
        if rest.startswith(phrase):
            after = rest[len(phrase) :][:1]
            begins = not (before.isalpha() and phrase[0].isalpha())
            if begins and ((after and not after.isalpha()) or not phrase[-1].isalpha()):
                return True
    return False


def ban(phrases):
    return Banned(phrases, Spelling(SPELLINGS, str.isalpha)) if phrases else None


@pytest.mark.parametrize("is_cut", [False, True], ids=["", "cut"])
@pytest.mark.parametrize("prefixes", [[], [[4], [4, 5], [UNK, 6], [6]]], ids=["free", "prefixed"])
def test_search_is_exhaustive_search_without_the_texts_that_have_a_phrase(prefixes, is_cut):
    phrases = [*PHRASES, []]
    limit, tables = 5, random_tables(len(phrases))
    limits = torch.full((len(phrases),), limit) if is_cut else None
    own = [prefixes[i % len(prefixes)] if prefixes else [] for i in range(len(phrases))]
    constraint = BanText([ban(each) for each in phrases], torch.tensor([*map(len, own)]), limits)
    constraint = Prefix(own, [FORBIDDEN, constraint], CPU)
    results = search(
        tables, [limit] * len(phrases), beam_size=WIDE, n_best=WIDE, constraints=[constraint]
    )
    fewer = 0
    for table, banned, prefix, found in zip(tables, phrases, own, results, strict=True):
        every = [
            one
            for one in oracles.exhaustive_search(allowed(table), limit)
            if one[1][: len(prefix)] == prefix
        ]
        expected = [one for one in every if not has_any(banned, prefix, one[1], one[2] or is_cut)]
        assert [(h.tokens, h.complete) for h in found] == [one[1:] for one in expected]
        log_probs = [one[0] for one in expected]
        assert [h.log_prob for h in found] == pytest.approx(log_probs, abs=1e-4)
        fewer += len(every) - len(expected)
    assert fewer > 100


def has_any(phrases, prefix, tokens, ends):
    """Whether a phrase stands in the text that doesn't end within what was asked for."""
    text = write(tokens) + " " * ends
    asked = len(write(prefix))
    ends = (
        (start + len(phrase), phrase)
        for phrase in phrases
        for start in range(len(text))
        if stands(text[start - 1 if start else 0 :][: len(phrase) + 1 + (start > 0)], phrase)
        and text.startswith(phrase, start)
    )
    return any(end > asked for end, _ in ends)


def test_what_no_token_could_go_on_with_is_banned_at_once():
    spellings = ["", " ⁇", "", " ", " a", " ab", " ."]
    banned = Banned(["a", "ab a"], Spelling(spellings, str.isalpha))
    constraint = BanText([banned], torch.zeros(1))
    for tokens, expected in (([], {4}), ([5], {4}), ([6, 6], {4})):
        log_probs = torch.zeros(1, VOCAB)
        constraint(log_probs, torch.tensor([tokens], dtype=torch.long), torch.zeros(1).long())
        assert set((log_probs[0] < 0).nonzero().flatten().tolist()) == expected


def test_sentences_have_bans_of_their_own_and_come_in_any_order():
    tables, limits = random_tables(len(PHRASES)), [6] * len(PHRASES)
    bans = [ban(each) for each in PHRASES]

    def find(places):
        constraint = BanText([bans[i] for i in places], torch.zeros(len(places)))
        keys = {"constraints": [FORBIDDEN, constraint], "beam_size": 4}
        return search(tables[places], [limits[i] for i in places], **keys)

    alone = [find([i])[0] for i in range(len(PHRASES))]
    for places in itertools.islice(itertools.permutations(range(len(PHRASES))), 0, 5000, 700):
        assert find(list(places)) == [alone[i] for i in places]


def test_phrases_in_a_text():
    banned = ban(["ab", "b ."])
    for text, expected in {
        "": False,
        "ab": True,
        "a b": False,
        " ab.": True,
        "abb ab": True,
        "aab abb": False,
        "bb .": False,
        "b .a": True,
    }.items():
        assert banned.stands_in(text) == expected, text
