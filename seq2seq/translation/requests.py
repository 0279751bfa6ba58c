"""From words to ids: what is asked of the translation of each line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from seq2seq import recipe
from seq2seq.data.glossary import is_letter, load_glossary
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import DataError, RunError
from seq2seq.files import digest
from seq2seq.search.banned import Banned, Spelling
from seq2seq.search.requests import Ids, Request, Words
from seq2seq.special import UNK
from seq2seq.translation.wishes import WishError

_HELD = 64
"""Sets of banned phrases that are kept for lines to come."""

_UNKNOWN = "has words or characters that the model doesn't know"


@dataclass(frozen=True)
class Wish:
    """What is asked of the translation of one line, in words.

    Attributes:
        line: its number, from 1.
        prefix: what the translation begins with; its last word may go on unless a space follows.
        required: phrases that appear in it.
        banned: phrases that don't.
    """

    line: int
    prefix: str = ""
    required: Sequence[str] = ()
    banned: Sequence[str] = ()

    def of_parts(self, num: int) -> "list[Wish]":
        """The wish of each part of the line: the first one has the beginning."""
        others = Wish(self.line, banned=self.banned)
        return [self, *[others] * (num - 1)][:num]


def read_wishes(
    lines: Iterable[str],
    prefixes: Iterable[str] | None,
    constraints: Iterable[Sequence[str]] | None,
    banned: Iterable[Sequence[str]] | None,
    start: int,
) -> Iterator[tuple[str, Wish]]:
    """Lines and what is asked of them, see `Translator.translate`; their numbers begin after start.

    Raises:
        ValueError: there are more or fewer wishes than lines.
        TypeError: a text stands where there should be a list of texts.
    """
    sides = {"prefix": prefixes, "required": constraints, "banned": banned}
    given: dict[str, Iterable[Any]] = {name: own for name, own in sides.items() if own is not None}
    for number, (line, *asked) in enumerate(zip(lines, *given.values(), strict=True), start + 1):
        wish = Wish(number, **dict(zip(given, asked, strict=True)))
        if isinstance(wish.required, str) or isinstance(wish.banned, str):
            raise TypeError("constraints, banned: one text; give a list of phrases for each line")
        yield line, wish


class Requests:
    """Makes requests of lines.

    Args:
        decoding: with what is asked of all translations.
        source: of the source.
        target: of the target.

    Raises:
        DataError: the glossary cannot be read, or has words that cannot be produced or are banned.
    """

    def __init__(self, decoding: recipe.Decoding, source: Tokenizer, target: Tokenizer) -> None:
        self.decoding = decoding
        self.lowercase = source.lowercase
        self.target = target
        self._held = lru_cache(_HELD)(lambda texts: Banned(texts, self._spelling))
        self.banned = self._ban(decoding.banned_phrases)
        self.glossary = None
        if decoding.glossary is not None:
            path = Path(decoding.glossary)
            self.glossary = load_glossary(path, lowercase=source.lowercase)
            phrases = list(dict.fromkeys(self.glossary.entries.values()))
            self.ids = dict(zip(phrases, target.encode_within(phrases), strict=True))
            for phrase, ids in self.ids.items():
                if UNK in ids:
                    raise DataError(f"{path}: {phrase!r} {_UNKNOWN}; take it out")
                if self._is_in(self.banned, ids):
                    text = "has what decoding.banned_phrases bans; drop one of them"
                    raise DataError(f"{path}: {phrase!r} {text}")

    @cached_property
    def words(self) -> Words:
        """Where pieces stand in words."""
        spellings = self.target.spellings
        going_on = [any(map(is_letter, text[:1])) for text in spellings]
        is_open = [any(map(is_letter, text[-1:])) for text in spellings]
        return Words(
            self.target.word_starts,
            torch.tensor(going_on),
            torch.tensor(is_open),
            self.target.is_reversed,
        )

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling(self.target.spellings, is_letter)

    def must_grant(self, *, prefixes: bool, constraints: bool) -> None:
        """See that such wishes can be granted.

        Raises:
            RunError: the way of searching, or of writing, has no part for them.
        """
        if prefixes and self.target.is_reversed:
            raise RunError(
                "prefixes: the model writes from the end of the target (data.reverse_tgt), so no "
                "beginning can be given; leave them out, or take another run"
            )
        if constraints and (self.decoding.sampling or self.decoding.diversity_groups > 1):
            key, off = "diversity_groups", "1"
            if self.decoding.sampling:
                key, off = "sampling", "false"
            raise RunError(
                f"constraints: required phrases have no part in decoding.{key}; leave them out, or "
                f"set it to {off}"
            )

    def of(self, lines: Sequence[str], wishes: Sequence[Wish]) -> list[Request]:
        """The request of each line.

        Raises:
            WishError: a wish has words or characters that cannot be produced, or contradicts
                itself.
        """
        return [self._request(*both) for both in zip(lines, wishes, strict=True)]

    def _request(self, line: str, wish: Wish) -> Request:
        required: list[Ids] = []
        if self.glossary is not None:
            text = line.lower() if self.lowercase else line
            required += [self.ids[phrase] for phrase in self.glossary.find(text)]
        required += [
            self._known(ids, phrase, "constraints", wish.line)
            for phrase, ids in zip(
                wish.required, self.target.encode_within(wish.required), strict=True
            )
            if phrase.strip()
        ]
        banned = [*self.banned, *self._ban(wish.banned)]
        asked = wish.required or wish.banned
        if asked and any(self._is_in(banned, ids) for ids in required):
            side = "constraints" if wish.required else "banned"
            what = "a phrase is banned, or has one in it that is; drop one of them"
            raise WishError(side, wish.line, what)
        prefix = wish.prefix.strip(" \t")
        (begun,) = self.target.encode([prefix]) if prefix else [()]
        return Request(
            prefix=self._known(begun, prefix, "prefixes", wish.line),
            whole=bool(prefix) and wish.prefix[-1] in " \t",
            required=[ids for i, ids in enumerate(required) if ids not in required[:i]],
            banned=banned,
            key=int(digest(line.encode())[:15], 16),
        )

    def _known(self, ids: Ids, phrase: str, side: str, line: int) -> Ids:
        if UNK in ids:
            raise WishError(side, line, f"{phrase!r} {_UNKNOWN}; change it")
        return ids

    def _ban(self, phrases: Sequence[str]) -> list[Banned]:
        """What holds phrases, if any of them could come up."""
        producible = [ids for ids in self.target.encode(phrases) if ids and UNK not in ids]
        texts = {self._spell(ids).strip() for ids in producible} - {""}
        return [self._held(tuple(sorted(texts)))] if texts else []

    def _is_in(self, banned: Sequence[Banned], ids: Ids) -> bool:
        """Whether something that is banned stands in ids."""
        return any(each.stands_in(self._spell(ids)) for each in banned)

    def _spell(self, ids: Ids) -> str:
        return "".join(self.target.spellings[i] for i in ids)
