"""What looks wrong with the text that is to be scored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from seq2seq.data.statistics import count_statistics
from seq2seq.recipe import Evaluation
from seq2seq.scoring.metrics import References

LEFTOVERS = {
    "▁": (re.compile("▁"), 0.01, "pieces of SentencePiece; decode them first"),
    "@@": (
        re.compile("@@(?: |$)"),
        0.01,
        "pieces of subword-nmt; join them first (sed -E 's/@@( |$)//g')",
    ),
    "<unk>": (
        re.compile("<unk>|⁇"),
        0.0,
        "unknown words; decode with decoding.ban_unk, or train with tokenizer.byte_fallback",
    ),
}
"""Marks that translations carry by mistake: how to find them, the share of lines from which on they
are no accident, what they are and what to do."""

_ATTACHED = re.compile(r"\S[.,](?:\s|$)")
_DETACHED = re.compile(r"\s[.,](?:\s|$)")

_MIN_EVIDENCE = 20
"""Letters or marks that a share is believed from."""

_MIN_COPIES, _MAX_COPIED = 3, 0.05
"""Lines from which on copies of the source are no accident, and the share that they may be of."""


def suspicions(
    name: str,
    hypotheses: Sequence[str],
    references: References,
    section: Evaluation,
    sources: Sequence[str] | None = None,
) -> Iterator[str]:
    """What looks wrong, in lines of the form `place: what; remedy`.

    Args:
        name: What the translations are called.
        hypotheses: One translation per line.
        references: One list of lines for each set of references.
        section: How they are compared.
        sources: What was translated.
    """
    yield from _leftovers(name, hypotheses, references)
    yield from _empty(name, hypotheses, references)
    if not section.lowercase:
        yield from _casing(name, hypotheses, references)
    yield from _tokenization(name, hypotheses, references, section)
    if "bleu" in section.metrics and section.tokenize in ("13a", "none", "intl"):
        yield from _spaces(name, references, section.tokenize)
    yield from _copies(name, hypotheses, references, sources)


def _leftovers(name: str, hypotheses: Sequence[str], references: References) -> Iterator[str]:
    for mark, (pattern, share, remedy) in LEFTOVERS.items():
        lines = [number for number, line in enumerate(hypotheses, 1) if pattern.search(line)]
        if len(lines) <= share * len(hypotheses):
            continue
        if not any(pattern.search(line) for one in references for line in one):
            yield f"{name}:{lines[0]}: {_lines(lines, hypotheses)} with {mark!r}, {remedy}"


def _empty(name: str, hypotheses: Sequence[str], references: References) -> Iterator[str]:
    groups = enumerate(zip(hypotheses, *references, strict=True), 1)
    lines = [number for number, (line, *rest) in groups if not line.strip() and any(rest)]
    if lines:
        yield (
            f"{name}:{lines[0]}: {_lines(lines, hypotheses)} without text, but the references have "
            "some; was all of it translated, does line n answer line n?"
        )


def _casing(name: str, hypotheses: Sequence[str], references: References) -> Iterator[str]:
    ours, theirs = _capitals(hypotheses), _capitals([line for one in references for line in one])
    evidence = min(ours[1], theirs[1])
    shares = [capitals / max(1, letters) for capitals, letters in (ours, theirs)]
    # Hardly any capitals where the other has some, or nothing but capitals where it has others.
    pairs = sorted(shares), sorted(1 - share for share in shares)
    if any(evidence * high >= _MIN_EVIDENCE and low < 0.1 * high for low, high in pairs):
        yield (
            f"{name}: {_percent(*ours)} of its letters are capitals, but {_percent(*theirs)} of "
            "the references'; restore the case, or set lowercase to compare without it"
        )


def _tokenization(
    name: str, hypotheses: Sequence[str], references: References, section: Evaluation
) -> Iterator[str]:
    ours = _is_tokenized(hypotheses)
    theirs = _is_tokenized([line for one in references for line in one])
    if ours is None or theirs is None:
        return
    if ours != theirs:
        what = "looks tokenised" if ours else "doesn't look tokenised"
        but = "the references don't" if ours else "the references do"
        yield f"{name}: {what} (' ,' and ' .'), but {but}; score plain text against plain text"
    elif ours and "bleu" in section.metrics and section.tokenize != "none":
        yield (
            f"{name}: looks tokenised (' ,' and ' .'), as do the references, and BLEU tokenises "
            "again; score plain text, or set tokenize to none and say so with the score"
        )


def _spaces(name: str, references: References, tokenize: str) -> Iterator[str]:
    text = count_statistics((line, line) for lines in references for line in lines)
    if text.pairs * text.tgt.characters >= _MIN_EVIDENCE and text.tgt_units != "13a":
        yield (
            f"{name}: the references have a space in {text.tgt_word_length:.0f} characters, and "
            f"BLEU ({tokenize}) counts what stands between spaces; set --tokenize {text.tgt_units}"
        )


def _copies(
    name: str,
    hypotheses: Sequence[str],
    references: References,
    sources: Sequence[str] | None,
) -> Iterator[str]:
    hypotheses = list(hypotheses)
    if any(hypotheses == list(lines) for lines in references):
        yield f"{name}: equals the references line by line; is it the right file?"
    if sources is None:
        return
    if hypotheses == list(sources):
        yield f"{name}: equals the source line by line; is it the right file?"
        return
    right = {number for lines in references for number in find_copies(lines, sources)}
    wrong = [number for number in find_copies(hypotheses, sources) if number not in right]
    if len(wrong) >= _MIN_COPIES and len(wrong) > _MAX_COPIED * len(hypotheses):
        yield (
            f"{name}:{wrong[0]}: {_lines(wrong, hypotheses)} are identical to their source, but "
            "not to a reference; were they translated, does the training text have such pairs?"
        )


def find_copies(lines: Sequence[str], sources: Sequence[str]) -> list[int]:
    """Numbers, from 1, of the lines that are identical to their source; blank ones don't count."""
    pairs = enumerate(zip(lines, sources, strict=True), 1)
    return [number for number, (one, src) in pairs if one.strip() == src.strip() != ""]


def _capitals(lines: Sequence[str]) -> tuple[int, int]:
    """How many capitals there are, of how many letters that have a case."""
    text = "".join(lines)
    upper = sum(map(str.isupper, text))
    return upper, upper + sum(map(str.islower, text))


def _is_tokenized(lines: Sequence[str]) -> bool | None:
    """Whether full stops and commas stand apart; `None` if that can't be told."""
    detached = sum(len(_DETACHED.findall(line)) for line in lines)
    attached = sum(len(_ATTACHED.findall(line)) for line in lines)
    share = detached / max(1, detached + attached)
    if detached + attached < max(_MIN_EVIDENCE, 0.05 * len(lines)) or 0.1 < share < 0.5:
        return None
    return share >= 0.5


def _lines(found: Sequence[int], lines: Sequence[str]) -> str:
    return f"{len(found):,} of {len(lines):,} lines"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"
