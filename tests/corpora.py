"""What corpora of all kinds and sizes are like."""

from dataclasses import replace
from typing import Any

from seq2seq.data.statistics import Side, Statistics

SIZES = [1, 30, 300, 3000, 12_000, 29_000, 120_000, 700_000, 5_000_000, 10**8]

MULTI30K = Statistics(
    29_000, Side(11.6, 59.5, 12_469, 78, 0.14), Side(10.9, 69, 18_933, 97, 0), 1, 0.03, 0.8
)
MAFAND = Statistics(
    30_782, Side(18.3, 110, 50_872, 339, 0.03), Side(18.6, 123, 62_221, 308, 0.01), 1, 0.08, 0.91
)
FRENCH = Statistics(8000, Side(7.5, 14, 39, 40, 1), Side(5.8, 10.9, 39, 37, 0.93), 0.79, 0.54, 0.6)
ICELANDIC = Statistics(800, Side(5.6, 10, 33, 34, 1), Side(5.7, 11, 60, 37, 0.83), 0.84, 0.54, 0.6)
GERMAN = Statistics(
    10_000, Side(14.1, 42.6, 78, 67, 0.66), Side(9.8, 18.5, 60, 61, 1), 1, 0.89, 0.9
)
HEBREW = Statistics(32_026, Side(6.7, 12.4, 117, 118, 1), Side(5.6, 10.2, 46, 47, 1), 0, 0.001, 0.5)
QUICKSTART = Statistics(
    20_000, Side(9, 50, 9000, 70, 0.1), Side(9, 55, 9000, 75, 0.1), 0.99, 0.2, 0.8
)


def text(pairs: int, **changes: Any) -> Statistics:
    """A corpus like Multi30k of another size; a tenth of its words are met anew."""
    side = replace(MULTI30K.src, distinct_words=round(500 + pairs**0.9))
    return replace(MULTI30K, **{"pairs": pairs, "src": side, "tgt": side, **changes})


def symbols(pairs: int, **changes: Any) -> Statistics:
    return replace(FRENCH, **{"pairs": pairs, **changes})


CORPORA = [kind(pairs) for kind in (text, symbols) for pairs in SIZES]
CORPORA += [text(29_000, shared_letters=0.1), symbols(5000, shared_letters=1)]
WORDS = replace(MULTI30K.src, words=1.0, characters=9)
CORPORA += [Statistics(9000, WORDS, FRENCH.tgt, 0.3, 0, 0.2)]
