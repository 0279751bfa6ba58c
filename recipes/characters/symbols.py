"""Turns tables of words into parallel files of symbols between spaces.

    python recipes/characters/symbols.py deu.trn data/infl_deu/train --src 1 2 --tgt 3 --tags 2

Columns are counted from 1, those of a side follow one another. Letters (code points, NFC) are
spaced out, and a space within a word becomes U+2581. A column in `--tags` is split at semicolons,
commas and brackets into tags such as <PL>; one in `--spaced` is in symbols already.
"""

import argparse
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path


def letters(word: str) -> str:
    """The letters of a word between spaces."""
    return " ".join(unicodedata.normalize("NFC", word).replace(" ", "\u2581"))


def tags(features: str) -> str:
    """Features such as V;PST(1,SG) as tags between spaces."""
    return " ".join(f"<{tag}>" for tag in re.split(r"[;,()]", features) if tag)


def read_side(
    cells: Sequence[str], columns: Sequence[int], tagged: Sequence[int], spaced: Sequence[int]
) -> str:
    """One side of a pair, from the cells of its line."""
    parts = []
    for column in columns:
        cell = cells[column - 1].strip()
        parts.append(
            tags(cell) if column in tagged else cell if column in spaced else letters(cell)
        )
    return " ".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Converts the table that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", type=Path, help="a UTF-8 file of columns between tabs")
    parser.add_argument("prefix", type=Path, help="of the two files")
    parser.add_argument("--src", type=int, nargs="+", required=True, metavar="N", help="columns")
    parser.add_argument("--tgt", type=int, nargs="+", required=True, metavar="N", help="columns")
    parser.add_argument("--tags", type=int, nargs="+", default=[], metavar="N", help="of features")
    parser.add_argument("--spaced", type=int, nargs="+", default=[], metavar="N", help="of symbols")
    text = "of the two files (default: src tgt)"
    names = ["src", "tgt"]
    parser.add_argument("--suffixes", nargs=2, default=names, metavar="NAME", help=text)
    given = parser.parse_args(arguments)
    lines = given.table.read_text(encoding="utf-8").rstrip("\n").split("\n")
    given.prefix.parent.mkdir(parents=True, exist_ok=True)
    for columns, suffix in zip((given.src, given.tgt), given.suffixes, strict=True):
        rows = []
        for number, line in enumerate(lines, start=1):
            cells = line.rstrip("\r").split("\t")
            if len(cells) < max(columns):
                raise SystemExit(f"{given.table}:{number}: has no column {max(columns)}")
            rows.append(read_side(cells, columns, given.tags, given.spaced) + "\n")
        Path(f"{given.prefix}.{suffix}").write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
