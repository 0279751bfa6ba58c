import random
from dataclasses import asdict

import numpy as np

from seq2seq.data.clean import BLANK, KEPT, TOO_LONG, TOO_LOPSIDED, Ledger, Limits


def judge_one(src: int, tgt: int, limits: Limits) -> int:
    if not src or not tgt:
        return BLANK
    if src > limits.max_length or tgt > limits.max_length:
        return TOO_LONG
    if src / tgt > limits.max_ratio or tgt / src > limits.max_ratio:
        return TOO_LOPSIDED
    return KEPT


def test_verdicts_are_those_of_the_definition():
    limits = Limits(max_length=20, max_ratio=3)
    lengths = [(src, tgt) for src in range(25) for tgt in range(25)]
    src, tgt = np.array(lengths).T
    expected = [judge_one(*pair, limits) for pair in lengths]
    assert limits.judge(src, tgt).tolist() == expected
    assert set(expected) == {KEPT, BLANK, TOO_LONG, TOO_LOPSIDED}


def test_ledger_adds_up():
    rng = random.Random()
    ledger, everything = Ledger(), []
    for _ in range(5):
        verdicts = rng.choices(range(4), k=rng.randrange(50))
        everything += verdicts
        ledger = ledger.count(np.array(verdicts, dtype=np.int8))
    counts = asdict(ledger)
    assert counts.pop("read") == len(everything) == sum(counts.values())
    assert counts["too_long"] == everything.count(TOO_LONG)
    assert Ledger.from_dict(ledger.to_dict()) == ledger


def test_ledger_in_words_names_what_was_dropped_only():
    assert str(Ledger(1500, 1500)) == "1,500 of 1,500 pairs kept"
    line = str(Ledger(read=10, kept=6, blank=3, too_lopsided=1))
    assert "6 of 10" in line and "3 blank" in line and "1 too lopsided" in line
    assert "long" not in line


def test_what_helps_goes_by_what_was_dropped():
    assert Ledger(read=2, blank=2).remedy == "put text on both sides"
    assert Ledger(read=3, blank=2, too_long=1).remedy == "raise data.max_length"
    assert Ledger(read=1, too_lopsided=1).remedy == "raise data.max_ratio"
    both = Ledger(read=2, too_long=1, too_lopsided=1)
    assert both.remedy == "raise data.max_length or data.max_ratio"
