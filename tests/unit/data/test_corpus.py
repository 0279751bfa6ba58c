import gzip
import io
import json
from pathlib import Path

import pytest

from seq2seq.data.corpus import read_lines, read_pairs
from seq2seq.errors import DataError
from seq2seq.recipe import Corpus, Data

PAIRS = [
    ("A dog.", "Ein Hund."),
    ("", "leer"),
    ("x\u2028y\x85z\x0b\x0cw", "ein\rzeln \U0001f600"),
    ("last  one", "das Ende"),
]


def make_data(*corpora: Corpus) -> Data:
    return Data(src="en", tgt="de", train=corpora, dev=corpora)


def read(*corpora: Corpus, use="train") -> list[tuple[str, str]]:
    return list(read_pairs(corpora, make_data(*corpora), use))


def write_parallel(folder: Path, pairs=PAIRS, ending="\n") -> str:
    for side, suffix in enumerate(("en", "de")):
        text = "".join(pair[side] + ending for pair in pairs)
        (folder / f"text.{suffix}").write_bytes(text.encode())
    return str(folder / "text")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\r\n", ["a", "b\r"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        ("a\u2028b\x85c\x0bd\x0ce\x1cf\n".encode(), ["a\u2028b\x85c\x0bd\x0ce\x1cf"]),
    ],
)
def test_lines_end_at_newlines_only(content, lines, tmp_path):
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content))
    assert list(read_lines(io.BytesIO(content), "stdin")) == lines
    assert list(read_lines(tmp_path / "plain")) == lines
    assert list(read_lines(tmp_path / "packed")) == lines


def test_open_files_are_read_line_by_line(tmp_path):
    (tmp_path / "packed").write_bytes(gzip.compress(b"a\nb\n"))
    with (tmp_path / "packed").open("rb") as file:
        assert list(read_lines(file, "stdin")) == ["a", "b"]
        assert not file.closed


def test_invalid_utf8_is_named_by_line(tmp_path):
    path = tmp_path / "latin"
    path.write_bytes(b"ok\nFu\xdf\n")
    with pytest.raises(DataError, match=r"latin:2: not UTF-8 at byte 3 of the line \(0xdf\)"):
        list(read_lines(path))
    with pytest.raises(DataError, match=r"^stdin:1: "):
        list(read_lines(io.BytesIO(b"\xff"), "stdin"))


def test_truncated_gzip_is_named(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"line\n" * 1000)[:-10])
    with pytest.raises(DataError, match=r"cut\.gz:\d+: damaged gzip"):
        list(read_lines(path))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing: cannot be read"):
        list(read_lines(tmp_path / "nothing"))


def save_jsonl(path: Path, records: list) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def corpora_of_all_forms(folder: Path) -> dict[str, Corpus]:
    prefix = write_parallel(folder)
    packed = folder / "packed"
    packed.mkdir()
    for suffix in ("en", "de"):
        content = Path(f"{prefix}.{suffix}").read_bytes()
        (packed / f"text.{suffix}.gz").write_bytes(gzip.compress(content))
    (folder / "t.tsv").write_bytes("".join(f"{s}\t{t}\n" for s, t in PAIRS).encode())
    (folder / "u.tsv").write_bytes("".join(f"{t}\tid\t{s}\n" for s, t in PAIRS).encode())
    flat = [{"en": s, "de": t, "n": 1} for s, t in PAIRS]
    nested = [{"translation": record} for record in flat]
    return {
        "prefix": Corpus(path=prefix),
        "gz prefix": Corpus(path=str(packed / "text")),
        "two files": Corpus(src=f"{prefix}.en", tgt=str(packed / "text.de.gz")),
        "tsv": Corpus(path=str(folder / "t.tsv")),
        "tsv columns": Corpus(path=str(folder / "u.tsv"), columns=("3", "1")),
        "jsonl": Corpus(path=save_jsonl(folder / "f.jsonl", flat)),
        "jsonl record": Corpus(
            path=save_jsonl(folder / "r.jsonl", nested),
            columns=("translation.en", "translation.de"),
        ),
        "jsonl translation": Corpus(path=str(folder / "r.jsonl")),
    }


def test_every_form_gives_the_same_pairs(tmp_path):
    forms = corpora_of_all_forms(tmp_path)
    assert {name: read(corpus) for name, corpus in forms.items()} == dict.fromkeys(forms, PAIRS)
    assert read(*forms.values()) == PAIRS * len(forms)


def test_blank_lines_of_a_table_are_blank_pairs(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\n\nc\td\n\n")
    pairs = [("a", "b"), ("", ""), ("c", "d"), ("", "")]
    assert read(Corpus(path=str(tmp_path / "t.tsv"))) == pairs


@pytest.fixture
def local_datasets(monkeypatch):
    """The library with the network out of bounds."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return datasets


def test_directories_in_the_layout_of_datasets(tmp_path, local_datasets):
    flat = [{"en": s, "de": t} for s, t in PAIRS]
    save_jsonl(tmp_path / "plain" / "train.jsonl", flat)
    save_jsonl(tmp_path / "plain" / "validation.jsonl", flat[:1])
    corpus = Corpus(path=str(tmp_path / "plain"))
    assert read(corpus) == PAIRS
    assert read(corpus, use="dev") == PAIRS[:1]
    assert read(corpus.model_copy(update={"split": "validation"})) == PAIRS[:1]

    saved = local_datasets.Dataset.from_list([{"translation": record} for record in flat])
    saved.save_to_disk(tmp_path / "one")
    local_datasets.DatasetDict(train=saved).save_to_disk(tmp_path / "several")
    for name in ("one", "several"):
        corpus = Corpus(path=str(tmp_path / name), columns=("translation.en", "translation.de"))
        assert read(corpus) == PAIRS


def test_unknown_split_of_a_directory(tmp_path, local_datasets):
    save_jsonl(tmp_path / "d" / "train.jsonl", [{"en": "a", "de": "b"}])
    with pytest.raises(DataError, match=r"d \(nope\): cannot be read .*`split`"):
        read(Corpus(path=str(tmp_path / "d"), split="nope"))


@pytest.mark.parametrize(
    ("src", "tgt", "message"),
    [
        ("a\nb\nc\n", "x\n", r"text\.de:1: ends here, but .*text\.en has 3 lines"),
        ("a\n", "x\ny", r"text\.en:1: ends here, but .*text\.de has 2 lines"),
        ("", "x\n", r"text\.en: is empty"),
        ("a\n", "", r"text\.de: is empty"),
        ("", "", r"text\.en: is empty"),
    ],
)
def test_unequal_sides(src, tgt, message, tmp_path):
    (tmp_path / "text.en").write_text(src)
    (tmp_path / "text.de").write_text(tgt)
    with pytest.raises(DataError, match=message):
        read(Corpus(path=str(tmp_path / "text")))


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("x.tsv", "a\tb\nonly one\n", None, r"x\.tsv:2: column 2 is missing, the line has 1"),
        ("x.tsv", "a\tb\n", ("en", "de"), r"x\.tsv: columns 'en' and 'de' don't fit"),
        ("x.tsv", "a\tb\n", ("0", "1"), r"x\.tsv: columns '0' and '1' don't fit"),
        ("x.tsv", "", None, r"x\.tsv: is empty"),
        ("x.jsonl", '{"en": "a", "de": "b"}\n\n{"en"\n', None, r"x\.jsonl:3: not JSON"),
        ("x.jsonl", "[1]\n", None, r"x\.jsonl:1: not a JSON object"),
        ("x.jsonl", "[" * 100_000, None, r"x\.jsonl:1: JSON nested too deeply; write one object"),
        ("x.jsonl", '{"en": "a"}\n', None, r"x\.jsonl:1: no column 'de' \(there: en\)"),
        ("x.jsonl", '{"en": 3, "de": "b"}\n', None, r"x\.jsonl:1: column 'en' holds a number"),
        ("x.jsonl", '{"en": "a", "de": null}\n', None, r"x\.jsonl:1: column 'de' holds null, no"),
        ("x.jsonl", '{"en": {}, "de": ""}\n', ("en.x", "de"), r"x\.jsonl:1: no column 'en\.x'"),
        ("x.jsonl", "\n", None, r"x\.jsonl: is empty"),
    ],
)
def test_malformed_files(name, content, columns, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read(Corpus(path=str(tmp_path / name), columns=columns))
    assert "\n" not in str(caught.value)


def test_records_become_single_lines(tmp_path):
    path = save_jsonl(tmp_path / "x.jsonl", [{"en": "a\nb\r\nc", "de": "d"}])
    assert read(Corpus(path=path)) == [("a b c", "d")]


def test_half_characters_become_question_marks(tmp_path):
    """As in what is translated; UTF-8 cannot spell what JSON can."""
    path = save_jsonl(tmp_path / "x.jsonl", [{"en": "a\ud83d b", "de": "\ud83d\ude00"}])
    assert read(Corpus(path=path)) == [("a? b", "\U0001f600")]


def test_reading_is_a_stream(tmp_path):
    (tmp_path / "text.en").write_bytes(b"a\n" * 10 + b"\xff\n")
    (tmp_path / "text.de").write_bytes(b"b\n" * 10 + b"\n")
    corpus = Corpus(path=str(tmp_path / "text"))
    pairs = read_pairs([corpus], make_data(corpus), "train")
    assert [next(pairs) for _ in range(10)] == [("a", "b")] * 10
    with pytest.raises(DataError, match=r"text\.en:11"):
        next(pairs)


def test_without_a_source_language_the_target_is_read_alone(tmp_path):
    texts = [tgt for _, tgt in PAIRS]
    prefix = write_parallel(tmp_path)
    (tmp_path / "text.jsonl").write_text(
        "".join(json.dumps({"de": text, "other": "x"}) + "\n" for text in texts)
    )
    lines = [text.replace("\r", "") for text in texts]
    (tmp_path / "one.tsv").write_text("".join(line + "\n" for line in lines))
    (tmp_path / "two.tsv").write_text("".join(f"x\t{line}\n" for line in lines))

    def read_alone(corpus):
        data = Data(tgt="de", train=(corpus,), dev=(corpus,))
        return list(read_pairs(data.train, data, "train"))

    expected = [("", text) for text in texts]
    for corpus in (
        Corpus(path=prefix),
        Corpus(path=f"{prefix}.de"),
        Corpus(tgt=f"{prefix}.de"),
        Corpus(path=str(tmp_path / "text.jsonl")),
    ):
        assert read_alone(corpus) == expected
    for corpus in (
        Corpus(path=str(tmp_path / "one.tsv")),
        Corpus(path=str(tmp_path / "two.tsv"), columns=("1", "2")),
    ):
        assert read_alone(corpus) == [("", line) for line in lines]
    (tmp_path / "empty.de").write_text("")
    with pytest.raises(DataError, match="is empty; put one sentence on each line"):
        read_alone(Corpus(path=str(tmp_path / "empty")))
