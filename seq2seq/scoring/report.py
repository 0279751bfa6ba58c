"""Scores of systems as tables for people and as records for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seq2seq.formats import score_record
from seq2seq.scoring.breakdown import Bucket, by_length, by_rarity, word_frequencies
from seq2seq.scoring.metrics import build_tokenize
from seq2seq.scoring.significance import LEVEL, PairedTest
from seq2seq.scoring.suspicion import find_copies
from seq2seq.scoring.systems import Result, Systems
from seq2seq.scoring.tables import Table

VERDICTS = {
    "better": "{system} is better than {baseline}",
    "worse": "{system} is worse than {baseline}",
    "not distinguishable": "{system} is not distinguishable from {baseline}",
    "equal": "{system} has the same score as {baseline}",
}
"""What can be said of a system, in words."""


@dataclass(frozen=True)
class Report:
    """The same twice, as a table and as records for JSON."""

    table: Table
    records: list[dict[str, object]]


def report_scores(results: Sequence[Result], test: PairedTest | None) -> Report:
    """A row for each system and a column for each metric, with verdicts and signatures below.

    Args:
        results: Of `Systems`.
        test: What they were tested with.
    """
    systems = list(dict.fromkeys(result.system for result in results))
    scores = {result.score.name: result.score for result in results}
    cells = {(result.system, result.score.name): _cell(result) for result in results}
    rows = [[system, *(cells[system, name] for name in scores)] for system in systems]
    notes = [verdict(result, systems[0]) for result in results if result.difference]
    if notes:
        notes.append(f"* p < {LEVEL} ({test})")
    notes += [f"{name} {score.signature}" for name, score in scores.items()]
    records = [_record(result, systems[0], test) for result in results]
    return Report(Table(["system", *scores], rows, notes), records)


def verdict(result: Result, baseline: str) -> str:
    """A sentence about a system that was tested."""
    difference = result.difference
    assert difference is not None
    words = VERDICTS[difference.verdict].format(system=result.system, baseline=baseline)
    chance = f" ({difference.value:+.2f}, p = {difference.p_value:.2g})" if difference.value else ""
    return f"{result.score.name}: {words}{chance}"


def report_copies(systems: Systems) -> Report:
    """How many lines of each system, and of the (first) references, are identical to their source.

    Args:
        systems: With sources.
    """
    assert systems.sources is not None
    texts = [*zip(systems.names, systems.texts, strict=True), ("references", systems.references[0])]
    total = len(systems.sources)
    counts = [(name, len(find_copies(lines, systems.sources))) for name, lines in texts]
    shares = [100 * count / total for _, count in counts]
    rows = [
        [name, f"{count:,}", f"{share:.2f}"]
        for (name, count), share in zip(counts, shares, strict=True)
    ]
    records: list[dict[str, object]] = [
        {
            "system": name,
            "name": "copies",
            "value": share,
            "lines": count,
            "of": total,
            "references": shares[-1],
        }
        for (name, count), share in zip(counts[:-1], shares, strict=False)
    ]
    title = f"of {total:,} lines identical to their source"
    return Report(Table(["system", "lines", "per cent"], rows, title=title), records)


def report_lengths(systems: Systems) -> list[Report]:
    """For each metric the scores of lines by the length of their (first) reference, in words."""
    tokenize = build_tokenize(systems.section)
    lengths = [len(tokenize(line)) for line in systems.references[0]]
    reports = []
    for found in systems.statistics.values():
        name = found[0].score().name
        title = f"{name} by length of the reference"
        buckets = by_length(found, lengths)
        reports.append(_report_buckets(title, name, "length", "lines", systems.names, buckets))
    return reports


def report_rarity(systems: Systems, train: Iterable[str] | None) -> Report:
    """F1 of words by their frequency in training text, or else in the (first) references."""
    tokenize = build_tokenize(systems.section)
    references = systems.references[0]
    frequencies = word_frequencies(references if train is None else train, tokenize)
    buckets = by_rarity(systems.texts, references, frequencies, tokenize)
    where = "in the references" if train is None else "in the training text"
    title = f"F1 of words by frequency {where}"
    return _report_buckets(title, "F1", "frequency", "words", systems.names, buckets)


def _report_buckets(
    title: str, name: str, by: str, of: str, systems: Sequence[str], buckets: Sequence[Bucket]
) -> Report:
    rows = [
        [bucket.label, f"{bucket.size:,}", *(f"{value:.2f}" for value in bucket.values)]
        for bucket in buckets
    ]
    records: list[dict[str, object]] = []
    for place, system in enumerate(systems):
        parts = [
            {"from": one.low, "to": one.high, of: one.size, "value": one.values[place]}
            for one in buckets
        ]
        records.append({"system": system, "name": name, "by": by, "buckets": parts})
    return Report(Table([by, of, *systems], rows, title=title), records)


def _cell(result: Result) -> str:
    star = "*" if result.difference and result.difference.is_significant else ""
    interval = result.score.interval
    low_high = " [{:.2f}, {:.2f}]".format(*interval) if interval else ""
    return f"{result.score.value:.2f}{star}{low_high}"


def _record(result: Result, baseline: str, test: PairedTest | None) -> dict[str, object]:
    record = {"system": result.system} | score_record(result.score)
    if result.difference:
        record |= {
            "baseline": baseline,
            "difference": result.difference.value,
            "p_value": result.difference.p_value,
            "test": str(test),
            "verdict": result.difference.verdict,
        }
    return record
