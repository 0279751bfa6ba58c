"""Writes the quickstart's corpus: numbers, dates, clock times and prices, English to German.

Run without arguments it writes `data/quickstart/{train,dev,test}.{en,de}` under the working
directory: the same lines each time, no English sentence twice, and just one German sentence for
each. What makes it translation is German grammar: verb second, verb last, separable verbs, gender,
case, number, and other ways to count and to tell the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from clauses import Clause, Subject, joined, past, sentence
from wording import (
    ADJECTIVES,
    CITIES,
    CURRENCIES,
    PERIODS,
    SIGNS,
    THINGS,
    WEEKDAYS,
    Pair,
    clock,
    counted,
    day,
    de_number,
    digital_clock,
    digital_price,
    en_number,
    price,
    year,
)

FOLDER = Path("data/quickstart")
SIZES = {"test": 500, "dev": 500, "train": 20_000}
SEED = 1

DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
ARTICLES = {"m": "der", "f": "die", "n": "das"}


SUBJECTS = [
    *(Subject(name, name) for name in ["Anna", "Peter", "Maria", "Paul", "Julia", "Jonas"]),
    Subject("my brother", "mein Bruder"),
    Subject("my sister", "meine Schwester"),
    Subject("he", "er"),
    Subject("she", "sie"),
    Subject("I", "ich", False, "habe", "bin", "e"),
    Subject("we", "wir", False, "haben", "sind", "en"),
    Subject("they", "sie", False, "haben", "sind", "en"),
    Subject("my parents", "meine Eltern", False, "haben", "sind", "en"),
]
SCHEDULES = [
    (("the train", "der Zug"), ("leave", "fährt", "ab")),
    (("the bus", "der Bus"), ("leave", "fährt", "ab")),
    (("the train", "der Zug"), ("arrive", "kommt", "an")),
    (("the ferry", "die Fähre"), ("arrive", "kommt", "an")),
    (("the plane", "das Flugzeug"), ("land", "landet", "")),
    (("the museum", "das Museum"), ("open", "öffnet", "")),
    (("the library", "die Bibliothek"), ("close", "schließt", "")),
    (("the shop", "der Laden"), ("close", "schließt", "")),
    (("the concert", "das Konzert"), ("start", "fängt", "an")),
    (("the film", "der Film"), ("start", "fängt", "an")),
    (("the meeting", "die Besprechung"), ("end", "endet", "")),
    (("the exam", "die Prüfung"), ("end", "endet", "")),
]
DEEDS = [
    ("bought", "buy", "gekauft"),
    ("sold", "sell", "verkauft"),
    ("found", "find", "gefunden"),
    ("lost", "lose", "verloren"),
    ("painted", "paint", "gemalt"),
    ("saw", "see", "gesehen"),
]
EVENTS = [
    ("the wedding", "die Hochzeit"),
    ("the party", "die Feier"),
    ("the concert", "das Konzert"),
    ("the exam", "die Prüfung"),
    ("the trip", "der Ausflug"),
]
CLOSED = [
    ("the museum", "das Museum"),
    ("the library", "die Bibliothek"),
    ("the shop", "der Laden"),
    ("the swimming pool", "das Schwimmbad"),
]


def any_clock(rng: random.Random) -> Pair:
    """At some time of the day."""
    if rng.random() < 0.3:
        english, german = digital_clock(rng.randrange(24), rng.randrange(60))
    else:
        english, german = clock(rng.randint(1, 12), 5 * rng.randrange(12))
    return f"at {english}", f"um {german}"


def any_date(rng: random.Random, ending: str = "en") -> Pair:
    """A day, with its year or without."""
    style = rng.choice(["words", "words", "ordinal", "british", "american"])
    month = rng.randrange(12)
    english, german = day(rng.randint(1, DAYS_IN_MONTH[month]), month, style, ending)
    if rng.random() < 0.4:
        return english, german
    n = rng.randint(1920, 2039)
    en_year, de_year = year(n) if style == "words" else (str(n), str(n))
    comma = "," if style == "american" else ""
    return f"{english}{comma} {en_year}", f"{german} {de_year}"


def any_day(rng: random.Random) -> Pair:
    """On a weekday, on a date or both."""
    en_date, de_date = any_date(rng)
    en_weekday, de_weekday = rng.choice(WEEKDAYS)
    kind = rng.randrange(3)
    if kind == 0:
        return f"on {en_date}", f"am {de_date}"
    if kind == 1:
        return f"on {en_weekday}", f"am {de_weekday}"
    return f"on {en_weekday}, {en_date},", f"am {de_weekday}, dem {de_date},"


def any_period(rng: random.Random, case: str) -> Pair:
    """A number of minutes to years."""
    return counted(rng.randint(1, 30), rng.choice(PERIODS), case)


def any_place(rng: random.Random) -> Pair:
    """In a city."""
    return joined(("in", "in"), rng.choice(CITIES))


def any_duration(rng: random.Random) -> Pair:
    """For so long, and over."""
    english, german = any_period(rng, "acc")
    return f"for {english}", f"{german} lang"


def any_past(rng: random.Random) -> Pair:
    """When something happened."""
    if rng.random() < 0.5:
        return any_day(rng)
    english, german = any_period(rng, "dat")
    return f"{english} ago", f"vor {german}"


def any_things(rng: random.Random, case: str) -> Pair:
    """A number of things, often with an adjective."""
    adjective = rng.choice(ADJECTIVES) if rng.random() < 0.7 else ("", "")
    return counted(
        rng.choice([1, 1, rng.randint(2, 12), rng.randint(2, 99)]),
        rng.choice(THINGS),
        case,
        adjective,
    )


def any_price(rng: random.Random) -> Pair:
    """In words or digits, in the accusative."""
    amount = rng.choice([rng.randint(1, 100), rng.randint(1, 1000), rng.randint(1, 9999)])
    cents = rng.choice([0, 5 * rng.randint(2, 19)])
    if rng.random() < 0.4:
        return digital_price(amount, cents, rng.choice(SIGNS))
    if amount > 1 and amount % 100 == 1:
        amount += 1  # "hundertein" or "hunderteinen" is nobody's German
    return price(amount, cents, rng.choice(CURRENCIES))


def schedule(rng: random.Random) -> Pair:
    """The train leaves at half past seven on Monday."""
    subject, (verb, finite, particle) = rng.choice(SCHEDULES)
    inverted, last, time = ("does", verb), particle + finite, any_clock(rng)
    if rng.random() < 0.4:
        return Clause(subject, f"{verb}s", inverted, finite, particle, last).told(time, rng)
    clause = Clause(subject, f"{verb}s", inverted, finite, particle, last, rest=time)
    return clause.told(any_day(rng), rng)


def deed(rng: random.Random) -> Pair:
    """Two weeks ago Anna bought three red roses for twelve euros."""
    subject, action = rng.choice(SUBJECTS), rng.choice(DEEDS)
    rest = any_things(rng, "acc")
    if action[1] in ("buy", "sell") and rng.random() < 0.5:
        rest = joined(rest, ("for", "für"), any_price(rng))
    return past(subject, action, rest, subject.haben).told(any_past(rng), rng)


def cost(rng: random.Random) -> Pair:
    """The red lamp costs twelve euros fifty."""
    if rng.random() < 0.5:
        subject = any_things(rng, "nom")
        plural = not subject[0].startswith("one ")
    else:
        noun, (en_adjective, de_adjective) = rng.choice(THINGS), rng.choice(ADJECTIVES)
        german = f"{ARTICLES[noun.gender]} {de_adjective}e {noun.de}"
        subject, plural = (f"the {en_adjective} {noun.en}", german), False
    verb, auxiliary, finite = ("cost", "do", "kosten") if plural else ("costs", "does", "kostet")
    clause = Clause(subject, verb, (auxiliary, "cost"), finite, "", finite, any_price(rng))
    return clause.told(("", ""), rng)


def arrival(rng: random.Random) -> Pair:
    """On Monday Peter came with three old dogs."""
    subject = rng.choice(SUBJECTS)
    rest = joined(("with", "mit"), any_things(rng, "dat"))
    return past(subject, ("came", "come", "gekommen"), rest, subject.sein).told(any_past(rng), rng)


def living(rng: random.Random) -> Pair:
    """Maria has been living in Vienna for two years."""
    subject = rng.choice(SUBJECTS)
    has, finite = "has" if subject.singular else "have", "wohn" + subject.ending
    inverted = has, "been living"
    clause = Clause(subject.pair, " ".join(inverted), inverted, finite, "", finite, any_place(rng))
    return clause.told(joined(("for", "seit"), any_period(rng, "dat")), rng)


def coming_back(rng: random.Random) -> Pair:
    """Maria comes back in two years."""
    subject = rng.choice(SUBJECTS)
    verb, does = ("comes back", "does") if subject.singular else ("come back", "do")
    finite, particle = "komm" + subject.ending, "zurück"
    inverted = does, "come back"
    clause = Clause(subject.pair, verb, inverted, finite, particle, particle + finite)
    return clause.told(joined(("in", "in"), any_period(rng, "dat")), rng)


def staying(rng: random.Random) -> Pair:
    """Maria stayed in Vienna for two years."""
    subject, place = rng.choice(SUBJECTS), any_place(rng)
    clause = past(subject, ("stayed", "stay", "geblieben"), place, subject.sein)
    return clause.told(any_duration(rng), rng)


def waiting(rng: random.Random) -> Pair:
    """Maria waited in Vienna for two years."""
    subject, place = rng.choice(SUBJECTS), any_place(rng)
    clause = past(subject, ("waited", "wait", "gewartet"), place, subject.haben)
    return clause.told(any_duration(rng), rng)


def event(rng: random.Random) -> Pair:
    """The wedding is in Vienna on the third of May."""
    clause = Clause(rng.choice(EVENTS), "is", ("is", ""), "ist", "", "ist", any_place(rng))
    return clause.told(any_day(rng), rng)


def birth(rng: random.Random) -> Pair:
    """Anna was born on the third of May."""
    subject = rng.choice([subject for subject in SUBJECTS if subject.singular])
    inverted = "was", "born"
    clause = Clause(subject.pair, "was born", inverted, "wurde", "geboren", "geboren wurde")
    return clause.told(joined(("on", "am"), any_date(rng)), rng)


def closing(rng: random.Random) -> Pair:
    """The museum is closed from the third of May to the ninth of June."""
    (en_first, de_first), (en_last, de_last) = any_date(rng), any_date(rng)
    clause = Clause(
        rng.choice(CLOSED), "is closed", ("is", "closed"), "ist", "geschlossen", "geschlossen ist"
    )
    time = f"from {en_first} to {en_last}", f"vom {de_first} bis zum {de_last}"
    return clause.told(time, rng)


def today(rng: random.Random) -> Pair:
    """Today is Monday, the third of May."""
    (en_weekday, de_weekday), (english, german) = rng.choice(WEEKDAYS), any_date(rng, "e")
    return f"Today is {en_weekday}, {english}.", f"Heute ist {de_weekday}, der {german}."


def sums(rng: random.Random) -> Pair:
    """Twenty-one plus seven is twenty-eight."""
    a, b = rng.randint(0, 999), rng.randint(0, 99)
    en_sign, de_sign, result = rng.choice(
        [("plus", "plus", a + b), ("minus", "minus", abs(a - b)), ("times", "mal", a % 100 * b)]
    )
    a, b = (a % 100, b) if en_sign == "times" else (max(a, b), min(a, b))
    return (
        sentence(en_number(a), en_sign, en_number(b), "is", en_number(result)),
        sentence(de_number(a), de_sign, de_number(b), "ist", de_number(result)),
    )


KINDS: Sequence[tuple[int, Callable[[random.Random], Pair]]] = [
    (6, schedule),
    (6, deed),
    (4, cost),
    (3, arrival),
    (1, living),
    (1, coming_back),
    (1, staying),
    (1, waiting),
    (2, event),
    (2, birth),
    (2, closing),
    (1, today),
    (2, sums),
]


def generate(num_pairs: int, seed: int) -> list[Pair]:
    """Draws pairs with distinct English sides, the same for the same arguments."""
    rng = random.Random(seed)
    weights = [weight for weight, _ in KINDS]
    pairs: dict[str, str] = {}
    while len(pairs) < num_pairs:
        (_, kind), *_ = rng.choices(KINDS, weights=weights)
        english, german = kind(rng)
        pairs[english] = german
    return list(pairs.items())


def main() -> None:
    """Writes the corpus."""
    pairs = iter(generate(sum(SIZES.values()), SEED))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        english, german = zip(*(next(pairs) for _ in range(size)), strict=True)
        for suffix, lines in [("en", english), ("de", german)]:
            unfinished = FOLDER / f"{name}.{suffix}.part"
            unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
            unfinished.replace(FOLDER / f"{name}.{suffix}")


if __name__ == "__main__":
    main()
