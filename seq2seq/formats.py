"""Scores as the commands print them: plain text or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq.metrics import Score


def score_record(score: Score) -> dict[str, object]:
    """A score for JSON."""
    return {
        "name": score.name,
        "value": score.value,
        "interval": score.interval,
        "signature": score.signature,
    }


def format_scores(scores: Mapping[str, Sequence[Score]]) -> str:
    """A line for each score, by test set; what is scored without one has the name ""."""
    lines = []
    for test, found in scores.items():
        for score in found:
            low_high = "[{:.2f}, {:.2f}]".format(*score.interval) if score.interval else ""
            text = f"{score.name:<8} {score.value:6.2f} {low_high:<16} {score.signature}"
            lines.append(f"{test:<12} {text}" if test else text)
    return "".join(f"{line}\n" for line in lines)
