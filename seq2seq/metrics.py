"""Scores of translations: BLEU, chrF and TER as sacreBLEU computes them, and accuracy.

sacreBLEU is imported at the first score, so that commands which score nothing don't wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from seq2seq.errors import DataError, SettingsError
from seq2seq.recipe import Evaluation

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

SEED = 12345
"""Seed of the bootstrap for accuracy: the one that sacreBLEU uses."""


@dataclass(frozen=True)
class Score:
    """One number about a test set, with what is needed to get it again.

    Attributes:
        name: The metric as it is written in papers: `BLEU`, `chrF2`, `TER`, `accuracy`.
        value: In per cent. Higher is better, except for TER.
        signature: sacreBLEU's signature: settings, resamples, seed and version.
        interval: Lower and upper end of the bootstrap 95 % interval, sacreBLEU's `μ ± …`.
    """

    name: str
    value: float
    signature: str
    interval: tuple[float, float] | None


def score(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], section: Evaluation
) -> list[Score]:
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
    return [
        _accuracy(hypotheses, references, section)
        if name == "accuracy"
        else _sacrebleu(_build_metric(name, section), hypotheses, references, section.bootstrap)
        for name in section.metrics
    ]


def build_sentence_scorer(
    name: Literal["bleu", "chrf"], section: Evaluation
) -> Callable[[Sequence[str], Sequence[str]], list[float]]:
    """Scores of single sentences, each against its one reference, in per cent.

    BLEU is smoothed exponentially and counts the n-grams that there can be only (sacreBLEU's
    sentence BLEU), so that a short sentence that equals its reference has 100.

    Raises:
        SettingsError: The tokenisation needs a package that is not installed.
    """
    metric = _build_metric(name, section, of_sentences=True)

    def scores(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
        pairs = zip(hypotheses, references, strict=True)
        return [float(metric.sentence_score(line, [reference]).score) for line, reference in pairs]

    return scores


def _check_lengths(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
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


def _build_metric(name: str, section: Evaluation, *, of_sentences: bool = False) -> Metric:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    if name == "chrf":
        return _resampled_alike(CHRF(lowercase=section.lowercase))
    if name == "ter":
        return _resampled_alike(TER())
    # sacreBLEU warns of tokenised text; where the recipe says it is tokenised, that is no news.
    force = section.tokenize == "none"
    try:
        return BLEU(
            lowercase=section.lowercase,
            tokenize=section.tokenize,
            force=force,
            effective_order=of_sentences,
        )
    except RuntimeError as error:
        language = section.tokenize.split("-")[0]
        raise SettingsError(
            [
                f"evaluation.tokenize: {section.tokenize!r} needs packages that are not installed; "
                f"pip install 'sacrebleu[{language}]'"
            ]
        ) from error


def _resampled_alike(metric: Metric) -> Metric:
    """Lets a metric give all scores of the bootstrap in one type.

    For resamples without a match chrF and TER give `float`, for others `float32`, and the mixture
    ends sacreBLEU with a TypeError. Alike, they have the digits that sacreBLEU prints.
    """
    compute = metric._compute_score_from_stats

    def computed(stats: Any) -> Any:
        result = compute(stats)
        if hasattr(stats, "dtype"):
            result.score = stats.dtype.type(result.score)
        return result

    metric._compute_score_from_stats = computed  # type: ignore[method-assign]
    return metric


def _sacrebleu(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]], bootstrap: int
) -> Score:
    resamples = max(1, bootstrap)
    result = metric.corpus_score(hypotheses, references, n_bootstrap=resamples)
    return Score(
        name=result.name,
        value=float(result.score),
        signature=str(metric.get_signature()),
        interval=_around(result._mean, result._ci) if resamples > 1 else None,
    )


def _accuracy(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], section: Evaluation
) -> Score:
    import numpy as np
    from sacrebleu import __version__
    from sacrebleu.significance import estimate_ci

    def shown(line: str) -> str:
        line = line.rstrip()
        return line.lower() if section.lowercase else line

    right = sum(
        shown(hypothesis) in map(shown, alternatives)
        for hypothesis, *alternatives in zip(hypotheses, *references, strict=True)
    )
    share = right / len(hypotheses)
    case = "lc" if section.lowercase else "mixed"
    settings = f"nrefs:{len(references)}|case:{case}|version:{__version__}"
    if section.bootstrap <= 1:
        return Score("accuracy", 100 * share, settings, None)
    # Drawing lines with replacement and counting the right ones is drawing a binomial number.
    rng = np.random.default_rng(SEED)
    counts = rng.binomial(len(hypotheses), share, size=section.bootstrap)
    return Score(
        name="accuracy",
        value=100 * share,
        signature=settings.replace("|case", f"|bs:{section.bootstrap}|seed:{SEED}|case"),
        interval=_around(*estimate_ci(100 * counts / len(hypotheses))),
    )


def _around(mean: float, half: float) -> tuple[float, float]:
    mean, half = float(mean), float(half)  # float32 scalars would round the sum
    return mean - half, mean + half
