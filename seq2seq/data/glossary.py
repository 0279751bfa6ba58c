"""Which translation a phrase of the source is to have."""

import unicodedata
from functools import cache
from pathlib import Path

from seq2seq import recipe
from seq2seq.data.corpus import read_lines
from seq2seq.data.scripts import is_unspaced
from seq2seq.errors import DataError
from seq2seq.files import digest

Words = tuple[str, ...]


class Glossary:
    """Phrases of the source and their translations.

    Args:
        entries: translation of each phrase, by its words.
    """

    def __init__(self, entries: dict[Words, str]) -> None:
        self.entries = entries
        self.longest: dict[str, int] = {}
        for words in entries:
            self.longest[words[0]] = max(self.longest.get(words[0], 0), len(words))

    def find(self, line: str) -> list[str]:
        """Translations of the phrases in a line, each once.

        Phrases are whole words. They don't overlap: the first one counts, and of those that begin
        at one word the longest.
        """
        words, found, start = split_words(line), [], 0
        while start < len(words):
            longest = self.longest.get(words[start], 0)
            for size in range(min(longest, len(words) - start), 0, -1):
                target = self.entries.get(words[start : start + size])
                if target is not None:
                    found.append(target)
                    start += size - 1
                    break
            start += 1
        return list(dict.fromkeys(found))


def load_glossary(path: Path, *, lowercase: bool = False) -> Glossary:
    """Read a TSV file: a phrase of the source, a tab, its translation; blank lines say nothing.

    Args:
        path: the file.
        lowercase: lower-case the phrases of the source.

    Raises:
        DataError: it is missing, has a line of another form, or a phrase twice.
    """
    entries: dict[Words, str] = {}
    lines: dict[Words, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        words = split_words(cells[0].lower() if lowercase else cells[0])
        if len(cells) != 2 or not words or not cells[1]:
            raise DataError(
                f"{path}:{number}: not of the form PHRASE, tab, TRANSLATION; mend the line"
            )
        if entries.setdefault(words, cells[1]) != cells[1]:
            text = f"{cells[0]!r} has another translation in line {lines[words]}; keep one"
            raise DataError(f"{path}:{number}: {text}")
        lines.setdefault(words, number)
    return Glossary(entries)


def digest_glossary(decoding: recipe.Decoding) -> str | None:
    """A name for the content of the recipe's glossary, if it has one.

    Raises:
        DataError: it cannot be read.
    """
    if decoding.glossary is None:
        return None
    return digest("\n".join(read_lines(Path(decoding.glossary))).encode())


def split_words(text: str) -> Words:
    """Words, numbers and other signs of a text, without what is between them."""
    words: list[str] = []
    inside = False
    for char in text:
        kind = _kind(char)
        if kind == "letter" and inside:
            words[-1] += char
        elif kind != "space":
            words.append(char)
        inside = kind == "letter"
    return tuple(words)


def is_letter(char: str) -> bool:
    """Whether a character is part of a word, and of the same one as such characters beside it."""
    return _kind(char) == "letter"


@cache
def _kind(char: str) -> str:
    if char.isspace():
        return "space"
    if is_unspaced(char):
        return "sign"  # each is matched as a word
    category = unicodedata.category(char)
    return "letter" if category[0] in "LMN" or category == "Co" else "sign"
