"""Translations, and how those of the parts of a line become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from seq2seq.data.sentences import Part, join, joints
from seq2seq.translation.alignment import split_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ONE_LINE = str.maketrans("\t\n\r", "   ")


@dataclass(frozen=True)
class TranslatedHypothesis:
    """A translation.

    Attributes:
        text: raw text, in one line.
        score: what hypotheses are ranked by; of a line that was split, the sum over its parts.
        log_prob: natural log-probability of the pieces and the end mark, likewise.
        tokens: the pieces, in the order of the model.
        log_probs: of each piece and then of the end mark, if details were asked for.
        attention: (T, S) of the pieces over `Translation.src_tokens`, likewise; absent without
            attention.
        alignment: links (source word, target word) from 0, likewise. Words are what stands between
            spaces.
    """

    text: str
    score: float
    log_prob: float
    tokens: list[str]
    log_probs: list[float] | None = None
    attention: npt.NDArray[np.float32] | None = None
    alignment: list[tuple[int, int]] | None = None


@dataclass(frozen=True)
class Translation:
    """The translations of a line, best first; a single empty one of a blank line.

    Attributes:
        line: number of the line, from 0.
        src: the line.
        hypotheses: at least one.
        src_tokens: source pieces and end mark, in the order of the (first) model, if details were
            asked for.
    """

    line: int
    src: str
    hypotheses: list[TranslatedHypothesis]
    src_tokens: list[str] | None = None

    @property
    def text(self) -> str:
        """The best translation."""
        return self.hypotheses[0].text


def one_line(text: str) -> str:
    """A text without tabs and line breaks, which a model that spells in bytes can write."""
    return text.translate(_ONE_LINE)


def join_translations(
    line: int, src: str, parts: Sequence[Part], translations: Sequence[Translation]
) -> Translation:
    """The translation of a line from those of its parts.

    The second best of a line is made of the second best of its parts, and so on.

    Args:
        line: its number, from 0.
        src: the line.
        parts: what it was split into.
        translations: of each part.
    """
    if len(parts) == 1:
        return replace(translations[0], line=line, src=src)
    most = max((len(each.hypotheses) for each in translations), default=0)
    ranks = [
        [each.hypotheses[min(rank, len(each.hypotheses) - 1)] for each in translations]
        for rank in range(most)
    ]
    hypotheses = [_join(parts, rank) for rank in ranks]
    sources = [each.src_tokens or [] for each in translations]
    known = any(each.src_tokens is not None for each in translations)
    return Translation(
        line,
        src,
        hypotheses or [TranslatedHypothesis("", 0.0, 0.0, [])],
        [token for own in sources for token in own] if known else None,
    )


def _join(
    parts: Sequence[Part], hypotheses: Sequence[TranslatedHypothesis]
) -> TranslatedHypothesis:
    apart = [part.apart for part in parts]
    texts = [each.text for each in hypotheses]
    log_probs = [each.log_probs for each in hypotheses if each.log_probs is not None]
    tokens = [token for each in hypotheses for token in each.tokens]
    return TranslatedHypothesis(
        join(texts, apart),
        sum(each.score for each in hypotheses),
        sum(each.log_prob for each in hypotheses),
        tokens,
        _join_log_probs(hypotheses) if log_probs else None,
        _join_attention(hypotheses),
        _join_links([part.text for part in parts], texts, apart, hypotheses),
    )


def _join_log_probs(hypotheses: Sequence[TranslatedHypothesis]) -> list[float]:
    """Those of all pieces, and the sum of those of the end marks."""
    found, ends = [], 0.0
    for each in hypotheses:
        values, size = each.log_probs or [], len(each.tokens)
        found += values[:size]
        ends += sum(values[size:])
    return [*found, ends]


def _join_attention(
    hypotheses: Sequence[TranslatedHypothesis],
) -> npt.NDArray[np.float32] | None:
    """Each part attends to itself only."""
    known = [each.attention for each in hypotheses if each.attention is not None]
    if not known:
        return None
    import numpy as np

    whole = np.zeros(np.sum([part.shape for part in known], axis=0), dtype=np.float32)
    row = column = 0
    for part in known:
        rows, columns = part.shape
        whole[row : row + rows, column : column + columns] = part
        row, column = row + rows, column + columns
    return whole


def _join_links(
    sources: Sequence[str],
    texts: Sequence[str],
    apart: Sequence[bool],
    hypotheses: Sequence[TranslatedHypothesis],
) -> list[tuple[int, int]] | None:
    if all(each.alignment is None for each in hypotheses):
        return None
    starts = zip(_starts(sources, apart), _starts(texts, apart), strict=True)
    return [
        (i + src, j + tgt)
        for (src, tgt), each in zip(starts, hypotheses, strict=True)
        for i, j in each.alignment or []
    ]


def _starts(texts: Sequence[str], apart: Sequence[bool]) -> list[int]:
    """The place of the first word of each text in the whole; one may go on with the last word."""
    goes_on = [not space for space in joints(texts, apart)]
    sizes = [
        len(split_words(text)) - (glued and any(texts[:place]) and bool(text))
        for place, (text, glued) in enumerate(zip(texts, goes_on, strict=True))
    ]
    ends = list(accumulate(sizes))
    return [end - len(split_words(text)) for end, text in zip(ends, texts, strict=True)]
