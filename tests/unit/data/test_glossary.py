from pathlib import Path

import pytest

from seq2seq.data.glossary import digest_glossary, load_glossary, split_words
from seq2seq.errors import DataError
from seq2seq.recipe import Decoding


def load(tmp_path: Path, text: str, **keys):
    path = tmp_path / "g.tsv"
    path.write_text(text, encoding="utf-8")
    return load_glossary(path, **keys)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("the cat sat", ["Katze"]),
        ("The Cat", []),
        ("a catalogue of cats", []),
        ("the cat, the cat!", ["Katze"]),
        ("the black cat", ["schwarze Katze"]),
        ("the black black  cat.", ["schwarz", "schwarze Katze"]),
        ("state-of-the-art cat", ["modern", "Katze"]),
        ("state of the art", []),
        ("(cat)", ["Katze"]),
        ("naïve cafe\u0301", ["Café"]),
        ("我在東京大學", ["Tokyo University"]),
        ("東京", ["Tokyo"]),
        ("हिन्दी", ["Hindi"]),
        ("हिन्दीयों", []),
        ("", []),
    ],
)
def test_phrases_are_found_as_whole_words_and_the_longest_counts(tmp_path, line, expected):
    text = (
        "\ufeffcat\tKatze\r\nblack cat\tschwarze Katze\n\nblack\tschwarz\n"
        "state-of-the-art\tmodern\ncafe\u0301 \tCafé\n東京\tTokyo\n東京大學\tTokyo University\n"
        "हिन्दी\tHindi"
    )
    assert load(tmp_path, text).find(line) == expected


def test_lower_case_is_that_of_the_tokenizer(tmp_path):
    assert load(tmp_path, "Big Cat\tKatze\n", lowercase=True).find("a big cat") == ["Katze"]


def test_words_leave_nothing_out_but_spaces():
    for text in ("a-b c_d", "1,000.5 €", "שלום world", "ไทย", "a\u3000b\tc"):
        assert "".join(split_words(text)) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nc d\n", ":2: not of the form PHRASE, tab, TRANSLATION; mend the line"),
        ("a\tb\tc\n", ":1: not of the form PHRASE, tab, TRANSLATION; mend the line"),
        ("\tb\n", ":1: not of the form PHRASE, tab, TRANSLATION; mend the line"),
        ("a\t \n", ":1: not of the form PHRASE, tab, TRANSLATION; mend the line"),
        (
            "a b\tx\na  b\tx\na b\ty\n",
            ":3: 'a b' has another translation in line 1; keep one",
        ),
    ],
)
def test_lines_of_another_form_are_told(tmp_path, text, message):
    with pytest.raises(DataError) as told:
        load(tmp_path, text)
    assert str(told.value) == f"{tmp_path / 'g.tsv'}{message}"


def test_the_digest_is_that_of_the_content(tmp_path):
    path = tmp_path / "g.tsv"
    decoding = Decoding(glossary=str(path))
    found = []
    for text in ("a\tb\n", "a\tc\n", "a\tb\n"):
        path.write_text(text)
        found.append(digest_glossary(decoding))
    assert found[0] == found[2] != found[1]
    assert digest_glossary(Decoding()) is None
    path.unlink()
    with pytest.raises(DataError):
        digest_glossary(decoding)
