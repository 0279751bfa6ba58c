"""Two systems side by side, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from seq2seq.scoring.difference import (
    Marks,
    NgramChange,
    largest_changes,
    line_changes,
    ngram_changes,
    word_diff,
)
from seq2seq.scoring.metrics import LOWER_IS_BETTER, build_tokenize
from seq2seq.scoring.report import Report, report_scores
from seq2seq.scoring.significance import PairedTest
from seq2seq.scoring.systems import Systems
from seq2seq.scoring.tables import Table, format_text, printable


@dataclass(frozen=True)
class Example:
    """A line whose score changes.

    Attributes:
        line: Its number, from 1.
        before: Its score by the first system.
        after: That by the second.
        source: What was translated, if that is known.
        references: What it should be.
        hypotheses: The translations by both.
    """

    line: int
    before: float
    after: float
    source: str | None
    references: list[str]
    hypotheses: list[str]


@dataclass(frozen=True)
class Comparison:
    """How the second of two systems differs from the first.

    Attributes:
        names: Of the systems.
        scores: Of both.
        metric: Name of the metric that lines are ranked by.
        num_better: Lines that have a better score by the second system.
        num_worse: Lines that have a worse one.
        num_alike: All others.
        length_ratios: Words of each system per word of the (first) references; `None` if those have
            none.
        gains: The lines that gain most.
        losses: The lines that lose most.
        ngrams_gained: N-grams of the references that the second system has more often.
        ngrams_lost: Those that the first one has more often.
    """

    names: Sequence[str]
    scores: Report
    metric: str
    num_better: int
    num_worse: int
    num_alike: int
    length_ratios: list[float | None]
    gains: list[Example]
    losses: list[Example]
    ngrams_gained: list[NgramChange]
    ngrams_lost: list[NgramChange]


def compare(systems: Systems, test: PairedTest | None, num: int) -> Comparison:
    """Compares two systems.

    Args:
        systems: These two.
        test: For the difference of their scores.
        num: Lines and n-grams of each kind to name.
    """
    statistics = systems.statistics
    metric = "chrf" if "chrf" in statistics else next(iter(statistics))
    changes = line_changes(*statistics[metric], fewer_is_better=metric in LOWER_IS_BETTER)
    better = [change for change in changes if change.gain > 0]
    worse = sorted((one for one in changes if one.gain < 0), key=lambda one: one.gain)
    gains, losses = (
        [
            Example(
                line=change.line + 1,
                before=change.before,
                after=change.after,
                source=None if systems.sources is None else systems.sources[change.line],
                references=[lines[change.line] for lines in systems.references],
                hypotheses=[lines[change.line] for lines in systems.texts],
            )
            for change in chosen[:num]
        ]
        for chosen in (better, worse)
    )
    tokenize = build_tokenize(systems.section)
    before, after = systems.texts
    ngrams = ngram_changes(before, after, systems.references, tokenize)
    words, *others = (
        sum(len(tokenize(line)) for line in lines)
        for lines in (systems.references[0], before, after)
    )
    return Comparison(
        names=systems.names,
        scores=report_scores(systems.results(test), test),
        metric=statistics[metric][0].score().name,
        num_better=len(better),
        num_worse=len(worse),
        num_alike=len(changes) - len(better) - len(worse),
        length_ratios=[other / words if words else None for other in others],
        gains=gains,
        losses=losses,
        ngrams_gained=largest_changes(ngrams, num, 1),
        ngrams_lost=largest_changes(ngrams, num, -1),
    )


def comparison_record(comparison: Comparison) -> dict[str, object]:
    """For JSON; each example with the words that changed."""
    record = asdict(comparison)
    record["scores"] = comparison.scores.records
    for example in (*record["gains"], *record["losses"]):
        example["diff"] = word_diff(*example["hypotheses"])
    return record


def format_comparison(comparison: Comparison, marks: Marks) -> str:
    """For a terminal.

    Args:
        comparison: What to tell.
        marks: What stands around the words that changed.
    """
    return "\n".join(_blocks(comparison, marks))


def _blocks(comparison: Comparison, marks: Marks) -> Iterator[str]:
    one, other = comparison.names
    yield format_text(comparison.scores.table)
    ratios = " and ".join("none" if r is None else f"{r:.3f}" for r in comparison.length_ratios)
    yield (
        f"words per word of the references: {ratios}\n"
        f"lines by {comparison.metric}: {comparison.num_better:,} better, "
        f"{comparison.num_worse:,} worse, {comparison.num_alike:,} alike\n"
    )
    for title, examples in (("gain", comparison.gains), ("lose", comparison.losses)):
        if examples:
            yield printable(f"Lines that {title} most from {one} to {other}") + "\n"
            yield from (_format_example(example, marks) for example in examples)
    for title, changes in (("gained", comparison.ngrams_gained), ("lost", comparison.ngrams_lost)):
        rows = [[" ".join(c.words), str(c.gained), str(c.lost)] for c in changes]
        if rows:
            title = f"N-grams of the references {title}"
            yield format_text(Table(["n-gram", "gained", "lost"], rows, title=title))


def _format_example(example: Example, marks: Marks) -> str:
    before, after = map(printable, example.hypotheses)
    lines = [f"line {example.line}: {example.before:.1f} -> {example.after:.1f}"]
    if example.source is not None:
        lines.append(f"  source     {printable(example.source)}")
    lines += [f"  reference  {printable(reference)}" for reference in example.references]
    lines.append(f"  change     {word_diff(before, after, marks)}")
    return "\n".join(lines) + "\n"
