"""Numbers, counted things, clock times, dates and prices in English and in German words."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[str, str]
"""A phrase in English and in German."""

EN_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
DE_SMALL = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
).split()
EN_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
DE_TENS = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
EN_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
    "twenty": "twentieth",
    "thirty": "thirtieth",
}
DE_ORDINALS = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}

EN_MONTHS = (
    "January February March April May June July August September October November December"
).split()
DE_MONTHS = (
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
).split()

NUMERAL_ONE = {
    "nom": {"m": "ein", "f": "eine", "n": "ein"},
    "acc": {"m": "einen", "f": "eine", "n": "ein"},
    "dat": {"m": "einem", "f": "einer", "n": "einem"},
}
ENDING_AFTER_ONE = {
    "nom": {"m": "er", "f": "e", "n": "es"},
    "acc": {"m": "en", "f": "e", "n": "es"},
    "dat": {"m": "en", "f": "en", "n": "en"},
}


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `gender` is the German one: m, f or n."""

    en: str
    en_plural: str
    gender: str
    de: str
    de_plural: str

    def de_after(self, count: int, case: str) -> str:
        """The German noun after a number."""
        if count == 1:
            return self.de
        needs_n = case == "dat" and not self.de_plural.endswith(("n", "s"))
        return self.de_plural + "n" * (needs_n and self not in CURRENCIES)


def _nouns(table: str) -> list[Noun]:
    return [Noun(*row.split()) for row in table.strip().split("\n")]


CURRENCIES = _nouns("""
    euro euros m Euro Euro
    dollar dollars m Dollar Dollar
    pound pounds n Pfund Pfund
    crown crowns f Krone Kronen
""")
SIGNS = ["€", "$", "£"]
PERIODS = _nouns("""
    minute minutes f Minute Minuten
    hour hours f Stunde Stunden
    day days m Tag Tage
    week weeks f Woche Wochen
    month months m Monat Monate
    year years n Jahr Jahre
""")
THINGS = _nouns("""
    book books n Buch Bücher
    rose roses f Rose Rosen
    apple apples m Apfel Äpfel
    dog dogs m Hund Hunde
    cat cats f Katze Katzen
    table tables m Tisch Tische
    lamp lamps f Lampe Lampen
    bicycle bicycles n Fahrrad Fahrräder
    car cars n Auto Autos
    shirt shirts n Hemd Hemden
    coat coats m Mantel Mäntel
    cup cups f Tasse Tassen
    chair chairs m Stuhl Stühle
    picture pictures n Bild Bilder
    key keys m Schlüssel Schlüssel
    suitcase suitcases m Koffer Koffer
    umbrella umbrellas m Regenschirm Regenschirme
    clock clocks f Uhr Uhren
""")

WEEKDAYS = [
    ("Monday", "Montag"),
    ("Tuesday", "Dienstag"),
    ("Wednesday", "Mittwoch"),
    ("Thursday", "Donnerstag"),
    ("Friday", "Freitag"),
    ("Saturday", "Samstag"),
    ("Sunday", "Sonntag"),
]
CITIES = [
    ("Berlin", "Berlin"),
    ("Hamburg", "Hamburg"),
    ("Munich", "München"),
    ("Cologne", "Köln"),
    ("Vienna", "Wien"),
    ("Zurich", "Zürich"),
    ("Prague", "Prag"),
    ("Rome", "Rom"),
]
ADJECTIVES = [
    ("small", "klein"),
    ("big", "groß"),
    ("old", "alt"),
    ("new", "neu"),
    ("red", "rot"),
    ("white", "weiß"),
    ("black", "schwarz"),
    ("green", "grün"),
    ("beautiful", "schön"),
    ("heavy", "schwer"),
    ("cheap", "billig"),
]


def en_number(n: int) -> str:
    """From 0 to 9999: 342 is `three hundred and forty-two`."""
    if n < 20:
        return EN_SMALL[n]
    if n < 100:
        return EN_TENS[n // 10] + (f"-{EN_SMALL[n % 10]}" if n % 10 else "")
    power, word = (100, "hundred") if n < 1000 else (1000, "thousand")
    head, rest = f"{EN_SMALL[n // power]} {word}", n % power
    link = " and " if rest < 100 else " "
    return head + link + en_number(rest) if rest else head


def de_number(n: int) -> str:
    """From 0 to 9999: 342 is `dreihundertzweiundvierzig`."""
    if n < 20:
        return DE_SMALL[n]
    if n < 100:
        return (f"{_de_factor(n % 10)}und" if n % 10 else "") + DE_TENS[n // 10]
    power, word = (100, "hundert") if n < 1000 else (1000, "tausend")
    return f"{_de_factor(n // power)}{word}" + (de_number(n % power) if n % power else "")


def _de_factor(n: int) -> str:
    return "ein" if n == 1 else DE_SMALL[n]


def en_ordinal(n: int) -> str:
    """From 1 to 99: 21 is `twenty-first`."""
    tens, hyphen, last = en_number(n).rpartition("-")
    return tens + hyphen + EN_ORDINALS.get(last, last + "th")


def de_ordinal(n: int, ending: str) -> str:
    """From 1 to 99 with an adjective's ending: 21 with `en` is `einundzwanzigsten`."""
    return DE_ORDINALS.get(n, de_number(n) + ("t" if n < 20 else "st")) + ending


def en_short_ordinal(n: int) -> str:
    """From 1 to 99: 3 is `3rd`."""
    suffix = "th" if n in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"


def counted(count: int, noun: Noun, case: str, adjective: Pair = ("", "")) -> Pair:
    """So many things: one in the dative is `one red rose`, `einer roten Rose`."""
    if count == 1:
        numeral, ending = NUMERAL_ONE[case][noun.gender], ENDING_AFTER_ONE[case][noun.gender]
    else:
        numeral, ending = de_number(count), "en" if case == "dat" else "e"
    english, german = adjective
    return (
        phrase(en_number(count), english, noun.en if count == 1 else noun.en_plural),
        phrase(numeral, german and german + ending, noun.de_after(count, case)),
    )


def phrase(*parts: str) -> str:
    """The parts that are there, with spaces between."""
    return " ".join(part for part in parts if part)


def clock(hour: int, minute: int) -> Pair:
    """Twelve-hour clock, minutes in fives: 7, 25 is `fünf vor halb acht`."""
    this, following = hour, hour % 12 + 1
    if minute == 0:
        return f"{en_number(hour)} o'clock", f"{_de_factor(hour)} Uhr"
    if minute == 30:
        return f"half past {en_number(this)}", f"halb {de_number(following)}"
    past = minute < 30
    amount = minute if past else 60 - minute
    near = this if past else following
    en_amount = "quarter" if amount == 15 else en_number(amount)
    de_amount = "Viertel" if amount == 15 else de_number(amount)
    english = f"{en_amount} {'past' if past else 'to'} {en_number(near)}"
    if amount == 25:
        return english, f"fünf {'vor' if past else 'nach'} halb {de_number(following)}"
    return english, f"{de_amount} {'nach' if past else 'vor'} {de_number(near)}"


def digital_clock(hour: int, minute: int) -> Pair:
    """Hours from 0 to 23: 19, 5 is `7:05 pm` and `19:05 Uhr`."""
    half_day = "am" if hour < 12 else "pm"
    return f"{(hour + 11) % 12 + 1}:{minute:02} {half_day}", f"{hour}:{minute:02} Uhr"


def year(n: int) -> Pair:
    """From 1900 to 2099: 1905 is `nineteen oh five` and `neunzehnhundertfünf`."""
    century, rest = divmod(n, 100)
    german = (
        de_number(n) if century == 20 else "neunzehnhundert" + (de_number(rest) if rest else "")
    )
    if 2000 <= n < 2010:
        return en_number(n), german
    last = "hundred" if rest == 0 else f"oh {EN_SMALL[rest]}" if rest < 10 else en_number(rest)
    return f"{en_number(century)} {last}", german


def day(number: int, month: int, style: str, ending: str) -> Pair:
    """A day of a month from 0 to 11; in German without its article.

    Args:
        number: Day of the month.
        month: January is 0.
        style: `words`, `ordinal` (the 3rd of May), `british` (3 May) or `american` (May 3).
        ending: Of the German ordinal, where it is spelled out.
    """
    en_month, de_month = EN_MONTHS[month], DE_MONTHS[month]
    if style == "words":
        german = f"{de_ordinal(number, ending)} {de_month}"
        return f"the {en_ordinal(number)} of {en_month}", german
    english = {
        "ordinal": f"the {en_short_ordinal(number)} of {en_month}",
        "british": f"{number} {en_month}",
        "american": f"{en_month} {number}",
    }
    return english[style], f"{number}. {de_month}"


def price(amount: int, cents: int, currency: Noun) -> Pair:
    """In words, in the accusative: `one crown fifty`, `eine Krone fünfzig`."""
    english, german = counted(amount, currency, "acc")
    if not cents:
        return english, german
    return f"{english} {en_number(cents)}", f"{german} {de_number(cents)}"


def digital_price(amount: int, cents: int, sign: str) -> Pair:
    """In digits: `€1,250.50`, `1.250,50 €`."""
    english = f"{amount:,}" + (f".{cents:02}" if cents else "")
    return sign + english, english.translate(str.maketrans(",.", ".,")) + f" {sign}"
