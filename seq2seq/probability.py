"""How likely models hold given translations to be."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from seq2seq.translation.alignment import split_words, word_shares
from seq2seq.translation.forced import Predictor, force_texts

WINDOW = 2048
"""Pairs read before the first is answered."""


@dataclass(frozen=True)
class Probability:
    """What models hold of a translation, in the pieces that the tokenizer makes of it.

    Attributes:
        line: number of the pair, from 0.
        src: source text.
        tgt: target text.
        tokens: its pieces and the end mark, in the order of the model.
        log_probs: natural log-probability of each.
        words: words, as the tokenizer reads them, and the end mark with theirs, in the order of the
            text. A piece of several words counts for all of them in equal parts.
    """

    line: int
    src: str
    tgt: str
    tokens: list[str]
    log_probs: list[float]
    words: list[tuple[str, float]]

    @property
    def log_prob(self) -> float:
        """Natural log-probability of the translation."""
        return sum(self.log_probs)

    @property
    def perplexity(self) -> float:
        """Inverse of the geometric mean of the probabilities of pieces and end mark."""
        return perplexity(self.log_prob, len(self.log_probs))


def perplexity(log_prob: float, count: int) -> float:
    """Of a log-probability of so many pieces; finite, whatever it is."""
    return math.exp(min(700.0, -log_prob / count))


def find_probabilities(
    models: Predictor, pairs: Iterable[tuple[str, str]]
) -> Iterator[Probability]:
    """How likely each target is as a translation of its source.

    Args:
        models: what knows; language models ignore the source.
        pairs: source and target texts.
    """
    remaining, start = iter(pairs), 0
    while chunk := list(islice(remaining, WINDOW)):
        rows = zip(chunk, force_texts(models, chunk), strict=True)
        for line, ((src, tgt), (ids, forced)) in enumerate(rows, start):
            tokens, log_probs = models.target.pieces(ids), forced.log_probs
            words = _per_word(models, tgt, ids[:-1], log_probs)
            yield Probability(line, src, tgt, tokens, log_probs, words)
        start += len(chunk)


def _per_word(
    models: Predictor, text: str, ids: list[int], log_probs: list[float]
) -> list[tuple[str, float]]:
    surfaces = models.target.surfaces(text)
    # A tokenizer may normalise text, so what it takes for words is asked of its pieces.
    words = split_words(models.target.join(surfaces))
    order = -1 if models.target.is_reversed else 1
    shares = word_shares(surfaces[::order])
    values = np.array(log_probs[: len(ids)][::order]) @ shares
    end = ("</s>", log_probs[-1])
    return [*zip(words, values.tolist(), strict=True), end]
