"""Which of the translations that search has found is the best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from seq2seq import recipe
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import RunError
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.mbr import Utilities, expected_utilities
from seq2seq.search.penalties import build_score
from seq2seq.translation.forced import force_texts
from seq2seq.translation.models import Models
from seq2seq.translation.result import one_line

Choose = Callable[[Sequence[str], Sequence[Sequence[Hypothesis]]], list[list[Hypothesis]]]
"""Texts and the hypotheses of each -> the same with new scores, best first."""


class ByAgreement:
    """Holds for best what the others agree with most (minimum Bayes risk, Kumar & Byrne 2004).

    Args:
        utilities: of texts against each other.
        target: of the hypotheses.
        sampled: they are samples, so that each counts as much as any other.
    """

    def __init__(self, utilities: Utilities, target: Tokenizer, *, sampled: bool) -> None:
        self.utilities = utilities
        self.target = target
        self.sampled = sampled

    def __call__(
        self, sources: Sequence[str], found: Sequence[Sequence[Hypothesis]]
    ) -> list[list[Hypothesis]]:
        """See `Choose`; scores are expected utilities."""
        return [self._choose(candidates) for candidates in found]

    def _choose(self, candidates: Sequence[Hypothesis]) -> list[Hypothesis]:
        texts = self.target.decode([h.tokens for h in candidates])
        log_probs = None if self.sampled else [h.log_prob for h in candidates]
        scores = expected_utilities(texts, log_probs, self.utilities)
        rated = [replace(h, score=score) for h, score in zip(candidates, scores, strict=True)]
        return sorted(rated, key=lambda h: -h.score)


@dataclass(frozen=True)
class Judge:
    """A run that says how good translations are.

    Attributes:
        models: the run.
        role: whether it translates, translates in the other direction, or is a language model.
        weight: how much it counts.
    """

    models: Models
    role: str
    weight: float

    def log_probs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Of translations given their sources, of sources given their translations, or of text."""
        if self.role == "backwards":
            pairs = [(tgt, src) for src, tgt in pairs]
        elif self.role == "language model":
            pairs = [("", tgt) for _, tgt in pairs]
        return [sum(forced.log_probs) for _, forced in force_texts(self.models, pairs)]


class ByOthers:
    """Ranks by what other runs hold of the hypotheses, too.

    Log-probabilities are summed, those of the others times their weights, and the length penalty of
    the search is applied to the sum. With a run that writes from the other end this is agreement of
    both directions (Liu et al. 2016), with one that translates back and a language model the noisy
    channel (Ng et al. 2019).

    Args:
        judges: the other runs. They read the text, so that their tokenizers may be any.
        target: of the hypotheses.
        decoding: the length penalty.
    """

    def __init__(
        self, judges: Sequence[Judge], target: Tokenizer, decoding: recipe.Decoding
    ) -> None:
        self.judges = judges
        self.target = target
        self.score = build_score(decoding.length_penalty_type, decoding.length_penalty)

    def __call__(
        self, sources: Sequence[str], found: Sequence[Sequence[Hypothesis]]
    ) -> list[list[Hypothesis]]:
        """See `Choose`; what didn't end stays behind what did."""
        pairs = [
            [(src, one_line(text)) for text in self.target.decode([h.tokens for h in own])]
            for src, own in zip(sources, found, strict=True)
        ]
        different = list(dict.fromkeys(pair for own in pairs for pair in own))
        gained = dict.fromkeys(different, 0.0)
        for judge in self.judges:
            for pair, log_prob in zip(different, judge.log_probs(different), strict=True):
                gained[pair] += judge.weight * log_prob
        ranked = []
        for own, hypotheses in zip(pairs, found, strict=True):
            rows = zip(hypotheses, own, strict=True)
            rated = [self._rate(hypothesis, gained[pair]) for hypothesis, pair in rows]
            ranked.append(sorted(rated, key=lambda h: (not h.complete, -h.score)))
        return ranked

    def _rate(self, hypothesis: Hypothesis, gained: float) -> Hypothesis:
        """With a score that has changed by what the others bring."""
        before = hypothesis.log_prob
        both = torch.tensor([before, before + gained], dtype=torch.float64)
        without, total = self.score(both, len(hypothesis.tokens) + hypothesis.complete).tolist()
        return replace(hypothesis, score=hypothesis.score + total - without)


def load_judges(
    first: Models, runs: Sequence[str | Path], weights: Sequence[float] | None
) -> list[Judge]:
    """The runs that rerank the translations of another.

    Args:
        first: what translates.
        runs: directories.
        weights: of each; by default 1.

    Raises:
        RunError: there is no trained model in one of the directories, it is of other languages, or
            there are more or fewer weights.
    """
    if weights is not None and len(weights) != len(runs):
        raise RunError(
            f"{first.runs[0].path}: {len(weights)} weights for {len(runs)} runs that rerank; give "
            "one for each"
        )
    judges = []
    for run, weight in zip(runs, weights or [1.0] * len(runs), strict=True):
        models = Models.load(run, device=first.device.type)
        judges.append(Judge(models, _find_role(models, first), weight))
    return judges


def _find_role(models: Models, first: Models) -> str:
    own, other = models.recipes[0], first.recipes[0]
    languages = own.data.src, own.data.tgt
    if not own.model.reads_source:
        return "language model"
    if languages == (other.data.src, other.data.tgt):
        return "forwards"
    if languages == (other.data.tgt, other.data.src):
        return "backwards"
    raise RunError(
        f"{models.runs[0].path}: translates {own.data.src} to {own.data.tgt}, {first.runs[0].path} "
        f"{other.data.src} to {other.data.tgt} (data.src, data.tgt); rerank with runs of the same "
        "languages, in either direction, or with language models"
    )
