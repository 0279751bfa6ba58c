"""Clauses in English and German word order: verb second, verb first, verb last."""

from __future__ import annotations

import random
from dataclasses import dataclass

from wording import Pair, phrase

INTRODUCTIONS = [
    ("I know that", "ich weiß, dass"),
    ("Anna says that", "Anna sagt, dass"),
    ("it is true that", "es stimmt, dass"),
    ("everybody hopes that", "alle hoffen, dass"),
]


@dataclass(frozen=True)
class Subject:
    """Who does it, with what English and German verbs look like next to it."""

    en: str
    de: str
    singular: bool = True
    haben: str = "hat"
    sein: str = "ist"
    ending: str = "t"

    @property
    def pair(self) -> Pair:
        """The English and the German subject."""
        return self.en, self.de


@dataclass(frozen=True)
class Clause:
    """A clause without its time, in the fields that both languages order anew for each use.

    Attributes:
        subject: English and German subject.
        verb: English verb as it follows its subject.
        inverted: English auxiliary and the rest of the verb, as a question splits them.
        finite: German finite verb.
        final: The rest of the German verb, which ends a main clause.
        last: The whole German verb, which ends a subordinate clause.
        rest: What else there is, in English after the verb, in German before the final verb.
    """

    subject: Pair
    verb: str
    inverted: Pair
    finite: str
    final: str
    last: str
    rest: Pair = ("", "")

    def told(self, time: Pair, rng: random.Random) -> Pair:
        """The clause with a time, as one of four kinds of sentence."""
        kinds = [self.plain, self.fronted, self.asked, self.reported]
        return rng.choices(kinds, weights=[3, 4, 2, 3])[0](time, rng)

    def plain(self, time: Pair, rng: random.Random) -> Pair:
        """Subject first."""
        english = sentence(self.subject[0], self.verb, self.rest[0], time[0])
        german = sentence(self.subject[1], self.finite, time[1], self.rest[1], self.final)
        return english, german

    def fronted(self, time: Pair, rng: random.Random) -> Pair:
        """Time first; the German verb stays second."""
        if not time[0]:
            return self.plain(time, rng)
        english = sentence(time[0], self.subject[0], self.verb, self.rest[0])
        german = sentence(time[1], self.finite, self.subject[1], self.rest[1], self.final)
        return english, german

    def asked(self, time: Pair, rng: random.Random) -> Pair:
        """As a question; the German verb comes first."""
        auxiliary, infinitive = self.inverted
        english = sentence(auxiliary, self.subject[0], infinitive, self.rest[0], time[0], end="?")
        german = sentence(self.finite, self.subject[1], time[1], self.rest[1], self.final, end="?")
        return english, german

    def reported(self, time: Pair, rng: random.Random) -> Pair:
        """As what somebody knows or says; the German verb comes last."""
        english, german = rng.choice(INTRODUCTIONS)
        return (
            sentence(english, self.subject[0], self.verb, self.rest[0], time[0]),
            sentence(german, self.subject[1], time[1], self.rest[1], self.last),
        )


def sentence(*parts: str, end: str = ".") -> str:
    """Joins phrases, begins with a capital and ends with one mark."""
    text = phrase(*parts).rstrip(",") + end
    return text[0].upper() + text[1:]


def joined(*pairs: Pair) -> Pair:
    """Phrases in the same order in both languages."""
    return phrase(*(pair[0] for pair in pairs)), phrase(*(pair[1] for pair in pairs))


def past(subject: Subject, action: tuple[str, str, str], rest: Pair, auxiliary: str) -> Clause:
    """Simple past in English, perfect in German with the given form of haben or sein."""
    verb, infinitive, participle = action
    last = f"{participle} {auxiliary}"
    return Clause(subject.pair, verb, ("did", infinitive), auxiliary, participle, last, rest)
