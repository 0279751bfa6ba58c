"""Translations and scores as the commands print them: plain text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq.metrics import Score
    from seq2seq.translate import Translation


def format_translation(
    translation: Translation, *, numbered: bool, scores: bool, as_json: bool
) -> Iterator[str]:
    """The lines that answer one line, an answer each, or with `as_json` one for all of them.

    Args:
        translation: what was found.
        numbered: begin each with the number of the line that it answers.
        scores: write the score before each.
        as_json: write all that is known.
    """
    if as_json:
        answers = [
            {"text": h.text, "score": h.score, "log_prob": h.log_prob, "tokens": h.tokens}
            for h in translation.hypotheses
        ]
        answer = {"line": translation.line + 1, "src": translation.src, "translations": answers}
        yield json.dumps(answer, ensure_ascii=False)
        return
    number = f"{translation.line + 1}\t" if numbered else ""
    for hypothesis in translation.hypotheses:
        score = f"{hypothesis.score:.4f}\t" if scores else ""
        yield f"{number}{score}{hypothesis.text}"


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
