"""Sentence scores of every candidate against every other, without counting anything twice.

They are those of sacreBLEU's `sentence_score`, but n-grams are extracted once for each text and
compared as vectors of counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from seq2seq.scoring.metrics import build_sentence_scorer

if TYPE_CHECKING:
    from seq2seq.recipe import Evaluation

Matrix = npt.NDArray[np.float64]
Pairwise = Callable[[Sequence[str]], Matrix]

BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2
"""Longest n-grams and weight of recall, sacreBLEU's defaults."""


def build_pairwise(name: Literal["bleu", "chrf"], section: Evaluation) -> Pairwise:
    """Gives (C, C) scores of C texts (rows) against each as the reference (columns), in per cent.

    Raises:
        SettingsError: the tokenisation needs a package that is not installed.
    """
    return PAIRWISE[name](section)


def _build_chrf(section: Evaluation) -> Pairwise:
    def prepare(text: str) -> str:
        return "".join((text.lower() if section.lowercase else text).split())

    return lambda texts: _chrf([prepare(text) for text in texts])


def _build_bleu(section: Evaluation) -> Pairwise:
    build_sentence_scorer("bleu", section)  # raises where there is no such tokeniser
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=section.lowercase, tokenize=section.tokenize, force=True)
    return lambda texts: _bleu([metric._preprocess_segment(text).split() for text in texts])


PAIRWISE: dict[str, Callable[[Evaluation], Pairwise]] = {"bleu": _build_bleu, "chrf": _build_chrf}
"""Metrics by name."""


def _chrf(texts: Sequence[Sequence[Any]]) -> Matrix:
    """The metric chrF (Popović 2015), over the orders that both texts have."""
    shape = (len(texts), len(texts))
    precision, recall, orders = (np.zeros(shape) for _ in range(3))
    for order in range(1, CHRF_ORDER + 1):
        matches, totals = _matches(texts, order)
        hyp, ref = totals[:, None], totals[None, :]
        both = (hyp > 0) & (ref > 0)
        precision += np.where(both, matches / np.maximum(hyp, 1), 0)
        recall += np.where(both, matches / np.maximum(ref, 1), 0)
        orders += both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    factor = CHRF_BETA**2
    weighed = factor * precision + recall
    scores = (1 + factor) * precision * recall / np.where(weighed > 0, weighed, 1)
    return 100 * scores


def _bleu(texts: Sequence[Sequence[Any]]) -> Matrix:
    """BLEU (Papineni et al. 2002), exponentially smoothed, over the orders that a text has."""
    lengths = np.array([len(text) for text in texts], dtype=np.float64)
    shape = (len(texts), len(texts))
    logs, halvings, any_match = np.zeros(shape), np.ones(shape), np.zeros(shape, dtype=bool)
    for order in range(1, BLEU_ORDER + 1):
        matches, totals = _matches(texts, order)
        there = (totals > 0)[:, None] & np.ones(shape, dtype=bool)
        none = there & (matches == 0)
        halvings = np.where(none, 2 * halvings, halvings)
        counts = np.where(none, 1 / halvings, np.maximum(matches, 1))
        logs += np.where(there, np.log(counts / np.maximum(totals, 1)[:, None]), 0)
        any_match |= matches > 0
    orders = np.clip(lengths, 1, BLEU_ORDER)[:, None]
    shorter = 1 - lengths[None, :] / np.maximum(lengths, 1)[:, None]
    scores = np.exp(np.minimum(shorter, 0) + logs / orders)
    return np.where(any_match, 100 * scores, 0.0)


def _matches(texts: Sequence[Sequence[Any]], order: int) -> tuple[Matrix, Matrix]:
    """N-grams that each two texts share (C, C) and that each has (C,)."""
    ids: dict[Hashable, int] = {}
    counted = []
    for text in texts:
        grams = Counter(
            tuple(text[i : i + order]) if isinstance(text, list) else text[i : i + order]
            for i in range(len(text) - order + 1)
        )
        counted.append({ids.setdefault(gram, len(ids)): n for gram, n in grams.items()})
    counts = np.zeros((len(texts), len(ids)), dtype=np.int32)
    for row, own in zip(counts, counted, strict=True):
        row[list(own)] = list(own.values())
    shared = np.array([np.minimum(row, counts).sum(axis=1) for row in counts], dtype=np.float64)
    return shared.reshape(len(texts), len(texts)), counts.sum(axis=1).astype(np.float64)
