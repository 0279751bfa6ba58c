"""Reading pairs of sentences from files, as a stream."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from seq2seq import recipe
from seq2seq.data.cursor import Cursor, Spot
from seq2seq.data.json_lines import kind_of, parse_object
from seq2seq.errors import DataError

Use = Literal["train", "dev", "test"]
Pair = tuple[str, str]
Columns = tuple[str | None, str]

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


def read_lines(
    source: Path | BinaryIO, name: str | None = None, spot: Spot | None = None
) -> Iterator[str]:
    r"""Read the lines of UTF-8 text.

    Lines end at `\n` only; a `\r` before it and a byte order mark at the start are no part of
    the text. Compressed input is recognised by its first bytes.

    Args:
        source: A file by path, or one that is open in binary mode.
        name: What errors call it; by default its path.
        spot: Where to begin; it moves on with each line.

    Raises:
        DataError: The file cannot be read or is not UTF-8, by name and line number.
    """
    name = name or str(source)
    spot = spot or Spot()
    try:
        with ExitStack() as stack:
            file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            peek = getattr(file, "peek", None)
            if peek is not None and peek(2)[:2] == _GZIP:
                file = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=file)))
            if spot.offset:
                file.seek(spot.offset)
            for line in file:
                spot.number += 1
                spot.offset += len(line)
                if spot.number == 1:
                    line = line.removeprefix(_BOM)
                yield line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}:{spot.number}: not UTF-8 at byte {error.start + 1} of the line "
            f"(0x{error.object[error.start]:02x}); convert it, for example with iconv -t UTF-8"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name}:{spot.number + 1}: damaged gzip file ({error}); fetch it again"
        ) from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror}); is the path right?") from None


def read_pairs(corpora: Sequence[recipe.Corpus], data: recipe.Data, use: Use) -> Iterator[Pair]:
    """Read the pairs of corpora, one corpus after the other.

    Args:
        corpora: Where the pairs are.
        data: Its languages name files and columns. Without a source language the source of each
            pair is blank.
        use: What the pairs are for, which is the default split of `datasets` data sets.

    Raises:
        DataError: A file is missing, empty or malformed, or sides differ in their line counts.
    """
    for corpus in corpora:
        yield from read_corpus(corpus, data, use, Cursor())


def read_tests(data: recipe.Data) -> None:
    """Read the files of test sets to their ends, so that what is wrong is told before training.

    Raises:
        DataError: As of `read_pairs`.
    """
    for corpora in data.test.values():
        for _ in read_pairs([each for each in corpora if each.kind != "hub"], data, "test"):
            pass


def read_corpus(
    corpus: recipe.Corpus, data: recipe.Data, use: Use, cursor: Cursor
) -> Iterator[Pair]:
    """Read the pairs of a corpus from a place on, as `read_pairs` does.

    Args:
        corpus: Where the pairs are.
        data: Its languages name files and columns; whether training data sets are streamed.
        use: What the pairs are for.
        cursor: The place; it is behind the last pair that was given.
    """
    files = corpus.files(data.src, data.tgt)
    # Of the source, if there is one, and of the target.
    columns: Columns = (data.src, data.tgt)
    if corpus.kind == "tsv":
        columns = ("1", "2") if data.src is not None else (None, "1")
    if corpus.columns is not None:
        columns = corpus.columns if data.src is not None else (None, corpus.columns[1])
    if corpus.kind == "pair" and data.src is None:
        return _read_text(files[0], cursor.spots[0])
    if corpus.kind == "pair":
        return _read_parallel(files[0], files[1], *cursor.spots)
    if corpus.kind == "tsv":
        return _read_tsv(files[0], columns, cursor.spots[0])
    if corpus.kind == "jsonl":
        return _read_jsonl(files[0], columns, cursor.spots[0])
    return _read_dataset(corpus, columns, use, data.streaming and use == "train", cursor)


def _read_text(path: Path, spot: Spot) -> Iterator[Pair]:
    for line in read_lines(path, spot=spot):
        yield "", line
    if not spot.number:
        raise DataError(f"{path}: is empty; put one sentence on each line")


def _read_parallel(src: Path, tgt: Path, src_spot: Spot, tgt_spot: Spot) -> Iterator[Pair]:
    sides = zip_longest(read_lines(src, spot=src_spot), read_lines(tgt, spot=tgt_spot))
    for src_line, tgt_line in sides:
        number = max(src_spot.number, tgt_spot.number)
        if src_line is None or tgt_line is None:
            shorter, longer = (src, tgt) if src_line is None else (tgt, src)
            if number == 1:
                raise DataError(f"{shorter}: is empty; line by line it must match {longer}")
            rest = sum(1 for _ in sides)
            raise DataError(
                f"{shorter}:{number - 1}: ends here, but {longer} has {number + rest} lines; "
                "the two must match line by line"
            )
        yield src_line, tgt_line
    if not src_spot.number:
        raise DataError(f"{src}: is empty; put one sentence on each line")


def _read_tsv(path: Path, columns: Columns, spot: Spot) -> Iterator[Pair]:
    try:
        src, tgt = (None if column is None else int(column) - 1 for column in columns)
        assert tgt is not None
        last = max(tgt, src or 0)
        if min(tgt, src or 0) < 0:
            raise ValueError
    except ValueError:
        raise DataError(
            f"{path}: columns {columns[0]!r} and {columns[1]!r} don't fit a TSV file; "
            "give their numbers, the first one is 1"
        ) from None
    for line in read_lines(path, spot=spot):
        cells = line.split("\t")
        if not line.strip():
            cells = [""] * (last + 1)  # blank on both sides, as in plain text
        if len(cells) <= last:
            raise DataError(
                f"{path}:{spot.number}: column {last + 1} is missing, the line has "
                f"{len(cells)}; separate columns by one tab"
            )
        yield "" if src is None else cells[src], cells[tgt]
    if not spot.number:
        raise DataError(f"{path}: is empty; put one pair on each line")


def _read_jsonl(path: Path, columns: Columns, spot: Spot) -> Iterator[Pair]:
    found = spot.number > 0
    for line in read_lines(path, spot=spot):
        if not line.strip():
            continue
        place = f"{path}:{spot.number}"
        found = True
        yield _pick_pair(parse_object(line, place), columns, place)
    if not found:
        raise DataError(f"{path}: is empty; put one JSON object on each line")


def _pick_pair(record: dict[str, Any], columns: Columns, place: str) -> Pair:
    src, tgt = columns
    return "" if src is None else _pick(record, src, place), _pick(record, tgt, place)


def _pick(record: dict[str, Any], column: str, place: str) -> str:
    """The text under a column's name, `a.b` reaching into a record, as a single line."""
    value: Any = record
    names = [column] if column in record else column.split(".")
    if names[0] not in record and isinstance(record.get("translation"), dict):
        value = record["translation"]
    for name in names:
        if not isinstance(value, dict) or name not in value:
            there = ", ".join(map(str, value)) if isinstance(value, dict) else "no record"
            raise DataError(f"{place}: no column {column!r} (there: {there}); name it in `columns`")
        value = value[name]
    if not isinstance(value, str):
        raise DataError(
            f"{place}: column {column!r} holds {kind_of(value)}, not text; "
            "name another one in `columns` or mend the data"
        )
    # JSON can spell half a character.
    line = value.replace("\r\n", " ").replace("\n", " ")
    return line.encode("utf-8", "replace").decode()


def _read_dataset(
    corpus: recipe.Corpus, columns: Columns, use: Use, streaming: bool, cursor: Cursor
) -> Iterator[Pair]:
    # The library takes a second to import, which readers of plain files needn't wait for.
    from seq2seq.data.hub import read_records

    split = corpus.split or {"dev": "validation"}.get(use, use)
    spot = cursor.spots[0]
    for record in read_records(corpus, split, streaming, cursor):
        spot.number += 1
        place = f"{corpus.path} ({split}):{spot.number}"
        yield _pick_pair(record, columns, place)
    if not spot.number:
        raise DataError(f"{corpus.path} ({split}): is empty; name another `split`")
