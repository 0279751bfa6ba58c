"""Scores of several systems that answer the same lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from seq2seq.recipe import Evaluation
from seq2seq.scoring.metrics import LOWER_IS_BETTER, References, Score, Statistics, build_metrics
from seq2seq.scoring.significance import Difference, PairedTest


@dataclass(frozen=True)
class Result:
    """What a metric says about a system.

    Attributes:
        system: Its name.
        score: The score.
        difference: What sets it apart from the first system; `None` without a test.
    """

    system: str
    score: Score
    difference: Difference | None


@dataclass(frozen=True)
class Systems:
    """Translations of the same lines; the first system is the baseline.

    Attributes:
        names: Of the systems.
        texts: The translations of each, one per line.
        references: One list of lines for each set of references, parallel to the translations.
        section: What to compute and how.
        sources: What was translated, if that is known.
    """

    names: Sequence[str]
    texts: Sequence[Sequence[str]]
    references: References
    section: Evaluation
    sources: Sequence[str] | None = None

    @cached_property
    def statistics(self) -> dict[str, list[Statistics]]:
        """What each of `section.metrics` counts for each system.

        Raises:
            SettingsError: The tokenisation needs a package that is not installed.
        """
        return {
            name: [Statistics(metric, lines, self.section.bootstrap) for lines in self.texts]
            for name, metric in build_metrics(self.section, self.references).items()
        }

    def results(self, test: PairedTest | None) -> list[Result]:
        """The scores, metric by metric; with a test what sets the systems apart too."""
        results = []
        for metric, found in self.statistics.items():
            for name, one in zip(self.names, found, strict=True):
                difference = None
                if test is not None and one is not found[0]:
                    difference = test(found[0], one, fewer_is_better=metric in LOWER_IS_BETTER)
                results.append(Result(name, one.score(), difference))
        return results
