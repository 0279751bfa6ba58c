import importlib
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[3] / "recipes/quickstart"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Imports one of the recipe's modules, as running its script would."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in ("generate", "clauses", "wording"):
        sys.modules.pop(name, None)


@pytest.fixture
def wording(load) -> ModuleType:
    return load("wording")


@pytest.fixture
def generate(load) -> ModuleType:
    return load("generate")


@pytest.mark.parametrize(
    ("n", "english", "german"),
    [
        (0, "zero", "null"),
        (1, "one", "eins"),
        (17, "seventeen", "siebzehn"),
        (21, "twenty-one", "einundzwanzig"),
        (30, "thirty", "dreißig"),
        (42, "forty-two", "zweiundvierzig"),
        (76, "seventy-six", "sechsundsiebzig"),
        (100, "one hundred", "einhundert"),
        (101, "one hundred and one", "einhunderteins"),
        (342, "three hundred and forty-two", "dreihundertzweiundvierzig"),
        (1007, "one thousand and seven", "eintausendsieben"),
        (2100, "two thousand one hundred", "zweitausendeinhundert"),
        (
            9999,
            "nine thousand nine hundred and ninety-nine",
            "neuntausendneunhundertneunundneunzig",
        ),
    ],
)
def test_numbers(wording: ModuleType, n: int, english: str, german: str) -> None:
    assert (wording.en_number(n), wording.de_number(n)) == (english, german)


@pytest.mark.parametrize(
    ("n", "english", "short", "german"),
    [
        (1, "first", "1st", "ersten"),
        (2, "second", "2nd", "zweiten"),
        (3, "third", "3rd", "dritten"),
        (7, "seventh", "7th", "siebten"),
        (8, "eighth", "8th", "achten"),
        (11, "eleventh", "11th", "elften"),
        (12, "twelfth", "12th", "zwölften"),
        (20, "twentieth", "20th", "zwanzigsten"),
        (22, "twenty-second", "22nd", "zweiundzwanzigsten"),
        (31, "thirty-first", "31st", "einunddreißigsten"),
    ],
)
def test_ordinals(wording: ModuleType, n: int, english: str, short: str, german: str) -> None:
    assert wording.en_ordinal(n) == english
    assert wording.en_short_ordinal(n) == short
    assert wording.de_ordinal(n, "en") == german


@pytest.mark.parametrize(
    ("hour", "minute", "english", "german"),
    [
        (1, 0, "one o'clock", "ein Uhr"),
        (7, 5, "five past seven", "fünf nach sieben"),
        (7, 15, "quarter past seven", "Viertel nach sieben"),
        (7, 25, "twenty-five past seven", "fünf vor halb acht"),
        (7, 30, "half past seven", "halb acht"),
        (7, 35, "twenty-five to eight", "fünf nach halb acht"),
        (7, 40, "twenty to eight", "zwanzig vor acht"),
        (12, 30, "half past twelve", "halb eins"),
        (12, 45, "quarter to one", "Viertel vor eins"),
    ],
)
def test_clock(wording: ModuleType, hour: int, minute: int, english: str, german: str) -> None:
    assert wording.clock(hour, minute) == (english, german)


@pytest.mark.parametrize(
    ("hour", "minute", "english", "german"),
    [
        (0, 5, "12:05 am", "0:05 Uhr"),
        (11, 59, "11:59 am", "11:59 Uhr"),
        (12, 0, "12:00 pm", "12:00 Uhr"),
        (19, 45, "7:45 pm", "19:45 Uhr"),
    ],
)
def test_digital_clock(
    wording: ModuleType, hour: int, minute: int, english: str, german: str
) -> None:
    assert wording.digital_clock(hour, minute) == (english, german)


@pytest.mark.parametrize(
    ("n", "english", "german"),
    [
        (1900, "nineteen hundred", "neunzehnhundert"),
        (1905, "nineteen oh five", "neunzehnhundertfünf"),
        (1984, "nineteen eighty-four", "neunzehnhundertvierundachtzig"),
        (2000, "two thousand", "zweitausend"),
        (2007, "two thousand and seven", "zweitausendsieben"),
        (2015, "twenty fifteen", "zweitausendfünfzehn"),
    ],
)
def test_years(wording: ModuleType, n: int, english: str, german: str) -> None:
    assert wording.year(n) == (english, german)


def test_days(wording: ModuleType) -> None:
    assert wording.day(3, 4, "words", "en") == ("the third of May", "dritten Mai")
    assert wording.day(2, 2, "words", "e") == ("the second of March", "zweite März")
    assert wording.day(3, 4, "ordinal", "en") == ("the 3rd of May", "3. Mai")
    assert wording.day(3, 4, "british", "en") == ("3 May", "3. Mai")
    assert wording.day(3, 4, "american", "en") == ("May 3", "3. Mai")


def test_prices(wording: ModuleType) -> None:
    euro, _, pound, crown = wording.CURRENCIES
    assert wording.price(21, 50, euro) == ("twenty-one euros fifty", "einundzwanzig Euro fünfzig")
    assert wording.price(1, 0, euro) == ("one euro", "einen Euro")
    assert wording.price(1, 10, crown) == ("one crown ten", "eine Krone zehn")
    assert wording.price(2, 0, crown) == ("two crowns", "zwei Kronen")
    assert wording.price(3, 0, pound) == ("three pounds", "drei Pfund")
    assert wording.digital_price(1250, 50, "€") == ("€1,250.50", "1.250,50 €")
    assert wording.digital_price(7, 5, "$") == ("$7.05", "7,05 $")


@pytest.mark.parametrize(
    ("count", "noun", "case", "adjective", "german"),
    [
        (1, "dog", "nom", ("", ""), "ein Hund"),
        (1, "dog", "acc", ("small", "klein"), "einen kleinen Hund"),
        (1, "dog", "nom", ("small", "klein"), "ein kleiner Hund"),
        (1, "rose", "dat", ("red", "rot"), "einer roten Rose"),
        (1, "book", "nom", ("old", "alt"), "ein altes Buch"),
        (3, "dog", "acc", ("small", "klein"), "drei kleine Hunde"),
        (3, "dog", "dat", ("small", "klein"), "drei kleinen Hunden"),
        (3, "rose", "dat", ("", ""), "drei Rosen"),
        (3, "car", "dat", ("", ""), "drei Autos"),
        (21, "apple", "dat", ("", ""), "einundzwanzig Äpfeln"),
    ],
)
def test_counted_things_agree(
    wording: ModuleType,
    count: int,
    noun: str,
    case: str,
    adjective: tuple[str, str],
    german: str,
) -> None:
    (thing,) = (thing for thing in wording.THINGS if thing.en == noun)
    assert wording.counted(count, thing, case, adjective)[1] == german


def test_clauses_order_their_words_as_german_does(load) -> None:
    clauses = load("clauses")
    train = clauses.Clause(
        ("the train", "der Zug"), "leaves", ("does", "leave"), "fährt", "ab", "abfährt"
    )
    time, rng = ("at half past seven", "um halb acht"), random.Random(0)
    assert train.plain(time, rng) == (
        "The train leaves at half past seven.",
        "Der Zug fährt um halb acht ab.",
    )
    assert train.fronted(time, rng)[1] == "Um halb acht fährt der Zug ab."
    assert train.asked(time, rng) == (
        "Does the train leave at half past seven?",
        "Fährt der Zug um halb acht ab?",
    )
    assert train.reported(time, rng)[1].endswith(", dass der Zug um halb acht abfährt.")
    monday = ("on Monday, the third of May,", "am Montag, dem dritten Mai,")
    assert train.plain(monday, rng) == (
        "The train leaves on Monday, the third of May.",
        "Der Zug fährt am Montag, dem dritten Mai, ab.",
    )


def test_english_sentences_are_distinct_and_have_one_translation(generate: ModuleType) -> None:
    first, second = (dict(generate.generate(20_000, seed=seed)) for seed in (3, 4))
    assert len(first) == len(second) == 20_000
    shared = first.keys() & second.keys()
    assert len(shared) > 100
    assert {line: first[line] for line in shared} == {line: second[line] for line in shared}


def test_sentences_are_clean(generate: ModuleType) -> None:
    for pair in generate.generate(3000, seed=random.randrange(1000)):
        for line in pair:
            assert line[0] == line[0].upper() and line[-1] in ".?"
            assert line == " ".join(line.split())
            assert not any(wrong in line for wrong in (",.", ",?", " ,", "..", " ."))


def test_the_script_writes_the_files_of_the_recipe(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = []
    for _ in range(2):
        generate.main()
        files = sorted((tmp_path / "data/quickstart").iterdir())
        written.append({file.name: file.read_text(encoding="utf-8") for file in files})
    assert written[0] == written[1]
    names = {f"{split}.{suffix}" for split in generate.SIZES for suffix in ("en", "de")}
    assert written[0].keys() == names
    lines = {name: text.split("\n")[:-1] for name, text in written[0].items()}
    for split, size in generate.SIZES.items():
        assert len(lines[f"{split}.en"]) == len(lines[f"{split}.de"]) == size
    everything = [line for split in generate.SIZES for line in lines[f"{split}.en"]]
    assert len(set(everything)) == len(everything)
