"""Scores and plans as the commands print them: plain text or JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq.plan import Plan
    from seq2seq.scoring.metrics import Score


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


def duration(seconds: float) -> str:
    """A time for people, in the two largest units that say something: `2 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.2g} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


WIDTH, LABEL = 80, 18


def format_plan(plan: Plan) -> str:
    """A table of what training will take, 80 columns wide."""
    speed, left = plan.speed, plan.left
    total = sum(plan.parameters.values())
    splits = f"; no memory: split in two {speed.splits} times" if speed.splits else ""
    if left.limit is None:
        remaining = "nothing, training is over"
    else:
        remaining = (
            f"{left.updates:,} updates and {left.validations:,} validations at most, until "
            f"{left.limit}"
        )
    done = f"{plan.updates:,} updates in {duration(plan.seconds)}" if plan.updates else "nothing"
    parts = {f"  {part}": f"{count:>14,}" for part, count in plan.parameters.items()}
    memory = {f"  {kind}": f"{megabytes(size):>14}" for kind, size in plan.memory.items() if size}
    together = f" in {plan.processes} processes" if plan.processes > 1 else ""
    rows = {
        "run": f"{plan.run}, on {plan.device}{together}",
        "parameters": f"{total:>14,}",
        **parts,
        "memory": "in each of them" if together else "",
        **memory,
        "pairs": plan.pairs,
        "batch": plan.batch,
        "largest batch": plan.largest_batch + splits,
        "padding": f"{plan.padding:.1%}",
        "epoch": f"{plan.updates_per_epoch:,} updates, {duration(speed.epoch)}",
        "update": f"{duration(speed.update)}, {speed.tokens_per_second:,.0f} target tokens/s",
        "validation": f"about {duration(speed.validation)}",
        "done": done,
        "left": remaining,
        "time left": f"about {duration(left.seconds)}",
    }
    lines = []
    for label, text in rows.items():
        indented = textwrap.wrap(text, WIDTH - LABEL, drop_whitespace=False) or [""]
        lines += [f"{label if i == 0 else '':<{LABEL}}{part}" for i, part in enumerate(indented)]
    return "".join(f"{line.rstrip()}\n" for line in lines)
