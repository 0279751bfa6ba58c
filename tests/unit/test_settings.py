from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from seq2seq.errors import SettingsError
from seq2seq.settings import Conflict, Section, changed_keys, dump, from_overrides, load


class Inner(Section):
    size: int = Field(default=2, ge=1)
    rate: float = 0.5
    kind: Literal["a", "b"] | None = "a"


class Outer(Section):
    name: str = Field(examples=["x"])
    inner: Inner = Inner()
    words: tuple[str, ...] = ("w",)
    named: dict[str, Inner] = Field(default={})
    flag: bool = False


def load_text(folder: Path, text: str, *overrides: str, **others: str) -> Outer:
    for name, content in others.items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    return load(folder / "s.yaml", Outer, overrides)


def lines_of(folder: Path, text: str, *overrides: str, **others: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_text(folder, text, *overrides, **others)
    return [line.replace(f"{folder}/", "") for line in caught.value.lines]


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "off", "y", "12:30", "0o9", "1e", "~x", "=", "<<"]
)
def test_words_that_look_like_values_stay_text(word: str, tmp_path: Path) -> None:
    assert load_text(tmp_path, f"name: {word}").name == word


@pytest.mark.parametrize("word", ["1", "007", "1e-3", "1.50", "0x1F", ".5"])
def test_numbers_are_text_as_written_where_text_is_wanted(word: str, tmp_path: Path) -> None:
    settings = load_text(tmp_path, f"name: {word}\nwords: [{word}]")
    assert settings.name == word
    assert settings.words == (word,)


@pytest.mark.parametrize("word", ["true", "null", ""])
def test_truth_and_null_are_not_text(word: str, tmp_path: Path) -> None:
    shown = word or "null"
    assert lines_of(tmp_path, f"name: {word}") == [f"s.yaml:1: name: must be text, not {shown}"]


@pytest.mark.parametrize(
    ("word", "value"), [("1e-3", 0.001), ("2", 2.0), ("-1.5E+2", -150.0), ("+.5", 0.5)]
)
def test_numbers(word: str, value: float, tmp_path: Path) -> None:
    assert load_text(tmp_path, f"name: x\ninner: {{rate: {word}}}").inner.rate == value


@pytest.mark.parametrize("word", ["true", "'2'", "2.0", "1_000", "[2]"])
def test_nothing_else_becomes_a_whole_number(word: str, tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path, f"name: x\ninner: {{size: {word}}}")
    assert line.startswith("s.yaml:2: inner.size: must be a whole number, not ")


def test_base_is_merged_key_by_key_over_several_levels(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path,
        "base: b.yaml\ninner: {size: 7}\nwords: [z]\nnamed: {two: {size: 5}}",
        b="base: c.yaml\ninner: {rate: 0.1}\nname: b",
        c="inner: {rate: 0.9, size: 9, kind: b}\nname: c\nwords: [u, v]\nnamed: {one: {size: 4}}",
    )
    assert settings.name == "b"
    assert settings.inner == Inner(size=7, rate=0.1, kind="b")
    assert settings.words == ("z",)
    assert settings.named == {"one": Inner(size=4), "two": Inner(size=5)}


def test_base_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yaml").write_text("base: ../c.yaml", encoding="utf-8")
    assert load_text(tmp_path, "base: sub/b.yaml", c="name: c").name == "c"


def test_null_resets_a_section_and_an_entry_and_sets_what_may_be_null(tmp_path: Path) -> None:
    base = "name: b\ninner: {size: 9, rate: 9}\nnamed: {one: {size: 4}, two: {}}"
    settings = load_text(tmp_path, "base: b.yaml\ninner: null\nnamed: {one: null}", b=base)
    assert settings.inner == Inner()
    assert settings.named == {"two": Inner()}
    settings = load_text(tmp_path, "base: b.yaml\ninner: {kind: null}", b=base)
    assert settings.inner == Inner(size=9, rate=9, kind=None)


def test_overrides_win_and_are_yaml(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path, "name: x\ninner: {size: 3}", "inner.size=4", "words=[a, b]", "inner.kind=null"
    )
    assert settings.inner == Inner(size=4, kind=None)
    assert settings.words == ("a", "b")


def test_dump_loads_back(tmp_path: Path) -> None:
    settings = Outer(
        name="no",
        inner=Inner(rate=1e-7, kind=None),
        words=("1e-3", "true", "007", "", "null", "ünï", "a: b", " x", "'", "12:30", "~", "\t"),
        named={"2016": Inner(size=3), "on": Inner()},
        flag=True,
    )
    assert load_text(tmp_path, dump(settings)) == settings


def test_dump_with_comments_and_open_keys(tmp_path: Path) -> None:
    settings = Outer(
        name="inner:\n  size: 7\n", inner=Inner(size=9, rate=0.1), named={"size": Inner(size=5)}
    )
    text = dump(settings, {"inner.size": "of nine: #9"}, {"inner.rate": "later"})
    assert "\n  size: 9  # of nine: #9\n  # rate: later\n  kind: a\n" in text
    assert text.count("of nine") == text.count("later") == 1
    expected = settings.model_copy(update={"inner": Inner(size=9)})
    loaded = load_text(tmp_path, text)
    assert loaded == expected
    assert loaded.inner.model_fields_set == {"size", "kind"}


def test_changed_keys() -> None:
    old = Outer(name="a", named={"x": Inner(), "z": Inner()})
    new = Outer(
        name="a", inner=Inner(size=9), words=("v",), named={"x": Inner(rate=1), "y": Inner()}
    )
    assert changed_keys(old, old) == []
    assert changed_keys(old, new) == ["inner.size", "words", "named.x.rate", "named.z", "named.y"]


def test_conflict_is_told_at_the_first_given_key_and_not_on_wrong_values(tmp_path: Path) -> None:
    def check(settings: Outer) -> list[Conflict]:
        return [Conflict("boo", "inner.rate", "inner.size", "flag")]

    (tmp_path / "s.yaml").write_text("name: x\ninner:\n  size: 3\nflag: true", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "s.yaml", Outer, checks=[check])
    assert caught.value.lines == [f"{tmp_path}/s.yaml:3: inner.size: boo"]
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "s.yaml", Outer, ["inner.rate=x"], checks=[check])
    assert caught.value.lines == ["command line: inner.rate: must be a number, not 'x'"]


def test_a_wrong_key_in_a_free_name(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "name: x\nnamed:\n  n:\n    sise: 2") == [
        "s.yaml:4: named.n.sise: unknown key; did you mean 'size'?"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: x\n? [a]\n: b", "s.yaml:2: a key must be a plain word"),
        (
            "name: !!python/name:os.system x",
            "s.yaml:1: name: the tag tag:yaml.org,2002:python/name:os.system means nothing here; "
            "remove it",
        ),
        ("name: \x07", "s.yaml:1: control character U+0007; remove it"),
        (
            "name: x\n--- \nname: y",
            "s.yaml:2: not valid YAML (but found another document); mend it",
        ),
        ("name: &a [*a]", "s.yaml:1: name.0.0: nested too deeply"),
    ],
)
def test_odd_yaml(text: str, line: str, tmp_path: Path) -> None:
    assert line in lines_of(tmp_path, text)


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes("\ufeffname: x\r\ninner:\r\n  size: 3\r\n".encode())
    assert load(tmp_path / "s.yaml", Outer).inner.size == 3


def test_from_overrides_alone() -> None:
    assert from_overrides(Inner, ["size=3"]) == Inner(size=3)
    with pytest.raises(SettingsError, match=r"^command line: size: must be at least 1, not 0$"):
        from_overrides(Inner, ["size=0"])
