"""Where text can be cut: at the ends of sentences, at clauses, between words."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_CLOSING = "[\"'\u2019\u201d\u00bb)\\]\u300d\u300f\uff09]*"
_OPENING = "[\"'\u2018\u201c\u201e\u00ab(\\[\u00bf\u00a1-]*"
_SENTENCE = re.compile(
    # Full stops of scripts without spaces end a sentence wherever they stand.
    f"[\u3002\uff01\uff1f]+{_CLOSING}[ \t\u3000]*"
    # Others where a space follows and then no small letter.
    rf"|(?<![.!?\u2026])[.!?\u2026\u061f\u06d4\u0964]+{_CLOSING}[ \t]+(?={_OPENING}(?P<next>.))"
)
_CLAUSE = re.compile(
    f"[\u3001\uff0c\uff1b\uff1a]|[,;:\u060c\u061b]{_CLOSING}[ \t]+|(?<=[ \t])[\u2013\u2014-]+[ \t]+"
)
_SPACE = re.compile("[ \t]+")
_BLANK = " \t\u3000"
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st vs e.g i.e cf jr sr fig vol pp approx hr fr bzw ca evtl ggf nr vgl z.b "
    "d.h u.a mme mlle".split()
)
_WITHOUT_SPACES = re.compile(
    "[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Part:
    """A part of a line that is translated by itself.

    Attributes:
        text: what stands there, without space around it.
        apart: whether it is a word of its own, so that its translation has a space before it.
    """

    text: str
    apart: bool


def split_sentences(text: str) -> list[Part]:
    """The sentences of a text; of a blank one none.

    A full stop ends a sentence if a space follows and then no small letter. Those of initials,
    numbers (`3. Mai`) and some common abbreviations don't.
    """
    return _cut(text, [match.end() for match in _SENTENCE.finditer(text) if _is_end(match)])


def split_long(text: str, size: Callable[[Sequence[str]], list[int]], limit: int) -> list[Part]:
    """Parts of a text of limited size, cut where it harms least.

    It is cut at the ends of sentences. A sentence that is still too long is halved near its middle:
    after a clause, else between words, else within a word.

    Args:
        text: a line.
        size: sizes of texts.
        limit: the largest size that is wanted.
    """

    def fit(parts: Sequence[Part]) -> Iterator[Part]:
        sizes = size([part.text for part in parts])
        for part, length in zip(parts, sizes, strict=True):
            if length <= limit or len(part.text) == 1:
                yield part
            else:
                yield from fit(_halve(part))

    return list(fit(split_sentences(text)))


def join(texts: Sequence[str], apart: Sequence[bool]) -> str:
    """One text of several, a space before those that are apart.

    There is none where one of the neighbours is of a script that is written without.
    """
    spaces = joints(texts, apart)
    return "".join(" " * space + text for space, text in zip(spaces, texts, strict=True))


def joints(texts: Sequence[str], apart: Sequence[bool]) -> list[bool]:
    """Where `join` puts a space, before each of the texts."""
    found, last = [], ""
    for text, alone in zip(texts, apart, strict=True):
        edge = last + text[:1]
        found.append(alone and bool(last and text) and not _WITHOUT_SPACES.search(edge))
        last = text[-1:] or last
    return found


def _is_end(match: re.Match[str]) -> bool:
    following = match["next"]
    if following is None:
        return True
    if following.islower():
        return False
    before = match.string[max(0, match.start() - 20) : match.start()]
    word = re.split(r"[ \t(\[\"']", before)[-1]
    if match[0].startswith("..") or not match[0].startswith("."):
        return True
    is_initial = len(word) == 1 and word.isalpha() and word.isupper()
    is_ordinal = len(word) < 3 and word.isdecimal()
    return not (is_initial or is_ordinal or word.lower() in _ABBREVIATIONS)


def _halve(part: Part) -> list[Part]:
    text, middle = part.text, len(part.text) // 2
    clauses, spaces = ([m.end() for m in kind.finditer(text)] for kind in (_CLAUSE, _SPACE))
    inner = (
        [at for at in places if middle <= 2 * at <= 3 * middle] for places in (clauses, spaces)
    )
    for places in (*inner, spaces):
        if places:
            first, *rest = _cut(text, [min(places, key=lambda at: abs(at - middle))])
            return [Part(first.text, part.apart), *rest]
    return [Part(text[:middle], part.apart), Part(text[middle:], False)]


def _cut(text: str, places: Sequence[int]) -> list[Part]:
    ends = [*places, len(text)]
    pieces = [text[a:b].strip(_BLANK) for a, b in zip([0, *ends], ends, strict=False)]
    return [Part(piece, True) for piece in pieces if piece]
