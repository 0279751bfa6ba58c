import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from seq2seq.translation.alignment import align_words, format_links, split_words, word_shares

SPACE = "\u2581"


def random_pieces(rng: random.Random) -> list[str]:
    """Pieces of any kind: parts of words, words, several words, bare spaces."""
    signs = "".join(rng.choices(f"ab{SPACE}", k=rng.randint(1, 12)))
    cuts = sorted({0, len(signs), *rng.choices(range(len(signs) + 1), k=4)})
    return [signs[a:b] for a, b in pairwise(cuts)]


def slow_shares(pieces: list[str]) -> list[dict[int, Fraction]]:
    """For each piece the words its letters stand in; without letters the word after it."""
    text = "".join(pieces).replace(SPACE, " ")
    word_at = {}
    for place, sign in enumerate(text):
        if sign != " ":
            word_at[place] = len(text[: place + 1].split()) - 1
    last = len(text.split()) - 1
    shares, start = [], 0
    for piece in pieces:
        end = start + len(piece)
        words = sorted({word_at[i] for i in range(start, end) if i in word_at})
        if not words and last >= 0:
            words = [min(last, len(text[:start].split()))]
        shares.append({word: Fraction(1, len(words)) for word in words})
        start = end
    return shares


def test_shares_and_links_are_those_of_a_loop() -> None:
    rng, many = random.Random(3), 0
    for _ in range(300):
        src, tgt = random_pieces(rng), random_pieces(rng)
        slow_src, slow_tgt = slow_shares(src), slow_shares(tgt)
        shares = word_shares(src)
        assert shares.shape == (len(src), len(split_words("".join(src).replace(SPACE, " "))))
        for row, own in zip(shares, slow_src, strict=True):
            assert {i: v for i, v in enumerate(row) if v} == pytest.approx(
                {i: float(v) for i, v in own.items()}
            )
        weights = np.array([[rng.random() for _ in src] for _ in tgt], dtype=np.float32)
        links = align_words(weights, src, tgt)
        expected = []
        for j in range(1 + max((j for own in slow_tgt for j in own), default=-1)):
            held = [0.0] * shares.shape[1]
            for t, own in enumerate(slow_tgt):
                for s, others in enumerate(slow_src):
                    for i, share in others.items():
                        held[i] += float(weights[t, s] * own.get(j, 0) * share)
            if any(held):
                expected.append((held.index(max(held)), j))
        assert links == expected
        many += len(links) > 1
    assert many > 50


def test_words_in_bytes_and_unknown_words() -> None:
    assert word_shares([f"{SPACE}a", "<0x20>", "<0xC3>", "<0xA4>"]).argmax(axis=1).tolist() == [
        0,
        1,
        1,
        1,
    ]
    spelt = [*(f"<0x{byte:02X}>" for byte in SPACE.encode()), "<0x62>"]
    for before, word in ([f"{SPACE}a"], 1), ([], 0):
        shares = word_shares([*before, *spelt])
        assert shares.shape == (len(before) + 4, word + 1)
        assert shares[-4:].argmax(axis=1).tolist() == [word] * 4
    assert word_shares([f"{SPACE}a", "<unk>"]).shape == (2, 1)
    assert word_shares([f"{SPACE}a", f"{SPACE}<unk>"]).shape == (2, 2)


def test_what_sees_nothing_has_no_link() -> None:
    weights = np.array([[0, 1], [0, 0]], dtype=np.float32)
    assert align_words(weights, ["a", f"{SPACE}b"], ["x", f"{SPACE}y"]) == [(1, 0)]
    assert align_words(weights[:0], ["a", f"{SPACE}b"], []) == []
    assert format_links([(1, 0), (2, 3)]) == "1-0 2-3"
