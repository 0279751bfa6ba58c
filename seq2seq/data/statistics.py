"""What a corpus is like, as far as defaults depend on it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from seq2seq.data.scripts import is_han, is_unspaced

_ALL_OF_FIRST, _THEN_EVERY, _AND_HALF_AFTER = 20_000, 50, 2_000_000
_RARE = 0.1

_LONG_WORD, _LONGER_THAN_WORDS = 6, 20
"""Characters from one space to the next, on average: more than words of these scripts have where
they are set apart, and than words of any language have."""


@dataclass(frozen=True)
class Side:
    """One side of a corpus; words are what spaces separate.

    Attributes:
        words: In a line, on average.
        characters: In a line, on average.
        distinct_words: Different ones that were seen.
        distinct_characters: Likewise.
        single: Share of the words that are one character.
    """

    words: float
    characters: float
    distinct_words: int
    distinct_characters: int
    single: float


@dataclass(frozen=True)
class Statistics:
    """What a corpus is like.

    Attributes:
        pairs: Those without a blank side.
        src: The source side.
        tgt: The target side.
        shared_letters: Share of a side's letters that are letters of the other side too; of the
            two shares the larger one.
        copied_words: Share of the words of targets that stand in their sources too.
        copied_characters: Likewise.
        tgt_unspaced: Share of the letters of targets whose script puts no spaces between words.
        tgt_han: Share of the letters of targets that are Chinese characters.
        repeated: Share of the pairs that are there already.
    """

    pairs: int
    src: Side
    tgt: Side
    shared_letters: float
    copied_words: float
    copied_characters: float
    tgt_unspaced: float = 0.0
    tgt_han: float = 0.0
    repeated: float = 0.0

    @property
    def distinct_pairs(self) -> float:
        """About how many different pairs there are."""
        return self.pairs * (1 - self.repeated)

    @property
    def tgt_word_length(self) -> float:
        """Characters of targets from one space to the next, on average."""
        return self.tgt.characters / max(1.0, self.tgt.words)

    @property
    def tgt_units(self) -> Literal["13a", "zh", "char"]:
        """What BLEU can count in targets that are text: words, or characters where no spaces are.

        Named as sacreBLEU names the tokenisations that need no other package; `zh` leaves words in
        Latin letters whole, and knows no characters but Chinese ones.
        """
        is_long = _LONG_WORD if self.tgt_unspaced > 0.5 else _LONGER_THAN_WORDS
        if self.tgt_word_length < is_long:
            return "13a"
        return "zh" if self.tgt_han > 0.9 * self.tgt_unspaced > 0 else "char"

    @classmethod
    def names(cls) -> set[str]:
        """What there is to know, as in `to_dict`."""
        return {field.name for field in fields(cls)}

    def to_dict(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Statistics":
        """The inverse of `to_dict`."""
        sides = {"src": Side(**values["src"]), "tgt": Side(**values["tgt"])}
        return cls(**{**values, **sides})


def count_statistics(pairs: Iterable[tuple[str, str]]) -> Statistics:
    """Count pairs, and look at the first ones and at a part of those that follow.

    The part halves whenever the corpus has doubled, so that what is remembered stays small.
    """
    src, tgt, total, every = _Tally(), _Tally(), 0, _THEN_EVERY
    copied_words = copied_characters = 0
    seen: set[int] = set()
    for pair in pairs:
        if not (pair[0].strip() and pair[1].strip()):
            continue
        if total < _ALL_OF_FIRST or total % every == 0:
            src.add(pair[0])
            tgt.add(pair[1])
            seen.add(hash(pair))
            copied_words += _copied(pair[0].split(), pair[1].split())
            copied_characters += _copied(*pair)
        total += 1
        if total >= _AND_HALF_AFTER * every // _THEN_EVERY:
            every *= 2
    shared = max(_covered(src, tgt), _covered(tgt, src))
    return Statistics(
        total,
        src.summary(),
        tgt.summary(),
        shared,
        copied_words / (tgt.words.total() or 1),
        copied_characters / (tgt.characters.total() or 1),
        tgt.share_of(is_unspaced),
        tgt.share_of(is_han),
        (tgt.lines - len(seen)) / (tgt.lines or 1),
    )


def _copied(src: Iterable[str], tgt: Iterable[str]) -> int:
    """How many tokens of the target stand in the source."""
    known = set(src)
    return sum(token in known for token in tgt)


class _Tally:
    """Words and characters of a side."""

    def __init__(self) -> None:
        self.lines = 0
        self.words: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()

    def add(self, line: str) -> None:
        self.lines += 1
        self.words.update(line.split())
        self.characters.update(line)

    def summary(self) -> Side:
        words, lines = self.words.total() or 1, self.lines or 1
        return Side(
            self.words.total() / lines,
            self.characters.total() / lines,
            len(self.words),
            len(self.characters),
            sum(count for word, count in self.words.items() if len(word) == 1) / words,
        )

    def letters(self) -> dict[str, float]:
        """Share of each letter or digit among all of them."""
        counts = {c: count for c, count in self.characters.items() if c.isalnum()}
        total = sum(counts.values())
        return {c: count / total for c, count in counts.items()}

    def share_of(self, belongs: Callable[[str], bool]) -> float:
        """Share of the letters and digits that belong to some scripts."""
        letters = self.letters()
        return sum((share for c, share in letters.items() if belongs(c)), 0.0)


def _covered(ours: _Tally, theirs: _Tally) -> float:
    """Share of our letters that aren't much rarer on the other side.

    A Russian word in an English text doesn't make Cyrillic a script of English.
    """
    shares, others = ours.letters(), theirs.letters()
    if not shares or not others:
        return float(not shares and not others)
    return sum((share for c, share in shares.items() if others.get(c, 0.0) >= _RARE * share), 0.0)
