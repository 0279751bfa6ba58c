"""Scores of translations: BLEU, chrF and TER as sacreBLEU computes them, and rates of our own.

sacreBLEU is imported at the first score, so that commands which score nothing don't wait for it.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from seq2seq.errors import DataError, SettingsError
from seq2seq.recipe import Evaluation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sacrebleu.metrics.base import Metric

References = Sequence[Sequence[str]]
"""One list of lines for each set of references, all parallel."""

SEED = 12345
"""Seed of everything drawn at random: the one that sacreBLEU uses."""

LOWER_IS_BETTER = ("ter", "wer", "cer")
"""Metrics that count errors."""


@dataclass(frozen=True)
class Score:
    """One number about a test set, with what is needed to get it again.

    Attributes:
        name: The metric as it is written in papers: `BLEU`, `chrF2`, `TER`, `accuracy`, `PPL`.
        value: In per cent, but for perplexities. Higher is better, except for these and the metrics
            of `LOWER_IS_BETTER`.
        signature: sacreBLEU's signature: settings, resamples, seed and version.
        interval: Lower and upper end of the bootstrap 95 % interval, sacreBLEU's `μ ± …`.
    """

    name: str
    value: float
    signature: str
    interval: tuple[float, float] | None


class Statistics:
    """What a metric counts in each line of a system's translations.

    The scores of all lines, of some, of each and of resamples follow from it, so that nothing is
    counted twice.

    Args:
        metric: One of `build_metrics`, which knows the references.
        hypotheses: One translation per line.
        num_resamples: Resamples for the interval; at 0 or 1 there is none.
    """

    def __init__(self, metric: Metric, hypotheses: Sequence[str], num_resamples: int) -> None:
        self.metric = metric
        self.num_resamples = num_resamples if num_resamples > 1 else 0
        self.rows = metric._extract_corpus_statistics(hypotheses, None)

    def value(self, lines: Iterable[int] | None = None) -> float:
        """The score of all lines, or of those with these indices (at least one)."""
        rows = self.rows if lines is None else [self.rows[line] for line in lines]
        return float(self.metric._aggregate_and_compute(rows).score)

    def sentences(self) -> list[float]:
        """The score of each line.

        BLEU counts the n-grams that there can be only, as sacreBLEU's sentence BLEU does, so that a
        short line that equals its reference has 100.
        """
        metric = copy.copy(self.metric)
        metric.effective_order = True  # type: ignore[attr-defined]  # others than BLEU don't look
        return [float(metric._compute_score_from_stats(row).score) for row in self.rows]

    @cached_property
    def resampled(self) -> NDArray[np.floating[Any]]:
        """The scores of resamples, the same lines in each for all systems and metrics (R,)."""
        import numpy as np

        rows = np.array(self.rows, dtype="float32")  # as sacreBLEU does, for the same digits
        rng = np.random.default_rng(SEED)
        # A resample at a time: all at once are the same, and don't fit in memory for big files.
        draws = (rng.choice(len(rows), size=len(rows)) for _ in range(self.num_resamples))
        score = self.metric._compute_score_from_stats
        return np.array([score(rows[lines].sum(0)).score for lines in draws])

    def score(self) -> Score:
        """The score of all lines with its interval."""
        self.metric.n_bootstrap = self.num_resamples or None
        self.metric.seed = SEED if self.num_resamples else None
        found = self.metric._aggregate_and_compute(self.rows)
        interval = _interval(self.resampled) if self.num_resamples else None
        return Score(found.name, float(found.score), str(self.metric.get_signature()), interval)


def score(hypotheses: Sequence[str], references: References, section: Evaluation) -> list[Score]:
    """Scores translations with each of `section.metrics`.

    Args:
        hypotheses: One translation per line.
        references: One list of lines for each set of references, all parallel to `hypotheses`.
        section: What to compute and how. TER ignores case whatever `section.lowercase` says, as
            sacreBLEU's does.

    Raises:
        DataError: There is nothing to score, or the numbers of lines differ.
        SettingsError: The tokenisation needs a package that is not installed.
    """
    _check_lengths(hypotheses, references)
    metrics = build_metrics(section, references).values()
    return [Statistics(metric, hypotheses, section.bootstrap).score() for metric in metrics]


def build_sentence_scorer(
    name: Literal["bleu", "chrf"], section: Evaluation
) -> Callable[[Sequence[str], Sequence[str]], list[float]]:
    """Scores of single sentences, each against its one reference, in per cent.

    Raises:
        SettingsError: The tokenisation needs a package that is not installed.
    """
    metric = METRICS[name](section)

    def scores(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
        _check_lengths(hypotheses, [references])
        metric._ref_cache = metric._cache_references([references])
        return Statistics(metric, hypotheses, 0).sentences()

    return scores


def build_metrics(section: Evaluation, references: References) -> dict[str, Metric]:
    """The metrics of `section.metrics`, which count n-grams of the references once for all systems.

    Raises:
        SettingsError: The tokenisation needs a package that is not installed.
    """
    metrics = {str(name): METRICS[name](section) for name in section.metrics}
    for metric in metrics.values():
        metric._ref_cache = metric._cache_references(references)
    return metrics


def build_tokenize(section: Evaluation) -> Callable[[str], list[str]]:
    """What cuts a line into the words that BLEU counts.

    Raises:
        SettingsError: The tokenisation needs a package that is not installed.
    """
    prepare = _bleu(section)._preprocess_segment
    return lambda line: prepare(line).split()


def _bleu(section: Evaluation) -> Metric:
    from sacrebleu.metrics.bleu import BLEU

    try:
        # `scoring.suspicion` tells of tokenised text, where sacreBLEU would if it weren't forced.
        return BLEU(lowercase=section.lowercase, tokenize=section.tokenize, force=True)
    except RuntimeError as error:
        language = section.tokenize.split("-")[0]
        raise SettingsError(
            [
                f"evaluation.tokenize: {section.tokenize!r} needs packages that are not installed; "
                f"pip install 'sacrebleu[{language}]'"
            ]
        ) from error


def _chrf(section: Evaluation, word_order: int = 0) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(lowercase=section.lowercase, word_order=word_order)


def _ter(section: Evaluation) -> Metric:
    from sacrebleu.metrics.ter import TER

    return TER()


def _rate(name: Literal["accuracy", "wer", "cer"], section: Evaluation) -> Metric:
    from seq2seq.scoring.rates import RATES

    return RATES[name](section.lowercase)


METRICS: dict[str, Callable[[Evaluation], Metric]] = {
    "bleu": _bleu,
    "chrf": _chrf,
    "chrf++": partial(_chrf, word_order=2),
    "ter": _ter,
    "accuracy": partial(_rate, "accuracy"),
    "wer": partial(_rate, "wer"),
    "cer": partial(_rate, "cer"),
}


def _check_lengths(hypotheses: Sequence[str], references: References) -> None:
    if not hypotheses:
        raise DataError("hypotheses: no lines; give at least one")
    if not references:
        raise DataError("references: none; give at least one set")
    for number, lines in enumerate(references, 1):
        if len(lines) != len(hypotheses):
            raise DataError(
                f"references {number}: {len(lines)} lines for {len(hypotheses)} hypotheses; "
                "give one reference for each hypothesis, line by line"
            )


def _interval(resampled: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Mean and half the width of the middle 95 %, computed as sacreBLEU does for one system."""
    values = sorted(resampled)
    cut = len(values) // 40
    half = 0.5 * (values[-1 - cut] - values[cut])
    mean = statistics.mean(values)
    return float(mean) - float(half), float(mean) + float(half)
