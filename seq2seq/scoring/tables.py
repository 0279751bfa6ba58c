"""Tables as plain text, Markdown and LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]<>|~"}
_LATEX = {ord(mark): f"\\{mark}" for mark in "{}$&#_%"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord("["): "{[}",  # at the start of a row it would be an option of the row before
    ord("]"): "{]}",
}


@dataclass(frozen=True)
class Table:
    """Cells with a heading, and lines of text.

    Attributes:
        header: A name for each column.
        rows: As many cells each.
        notes: Lines that stand below.
        title: A line that stands above, or nothing.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    title: str = ""

    def is_right(self) -> list[bool]:
        """For each column whether it is of numbers only, which stand at its right."""
        return [
            all(re.match(r"[+-]?\d|$", row[place]) for row in self.rows)
            for place in range(len(self.header))
        ]


def format_text(table: Table) -> str:
    """For a terminal."""
    cells = [[printable(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(map(display_width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            _pad(cell, width, right)
            for cell, width, right in zip(row, widths, table.is_right(), strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    title = [printable(table.title)] if table.title else []
    notes = ["", *map(printable, table.notes)] if table.notes else []
    return "\n".join([*title, *lines, *notes]) + "\n"


def format_markdown(table: Table) -> str:
    """For GitHub and its like."""
    rule = ["--:" if right else ":--" for right in table.is_right()]
    header, *rows = (
        [printable(cell).translate(_MARKDOWN) for cell in row]
        for row in (table.header, *table.rows)
    )
    lines = [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
    title = [f"**{printable(table.title).translate(_MARKDOWN)}**", ""] if table.title else []
    notes = [f"- {printable(note).translate(_MARKDOWN)}" for note in table.notes]
    return "\n".join([*title, *lines, *([""] if notes else []), *notes]) + "\n"


def format_latex(table: Table) -> str:
    """A `tabular` that needs the package booktabs; title and notes are comments."""
    columns = "".join("r" if right else "l" for right in table.is_right())
    header, *rows = (
        " & ".join(printable(cell).translate(_LATEX) for cell in row) + r" \\"
        for row in (table.header, *table.rows)
    )
    lines = [r"\toprule", header, r"\midrule", *rows, r"\bottomrule"]
    title = [f"% {printable(table.title)}"] if table.title else []
    notes = [f"% {printable(note)}" for note in table.notes]
    body = [rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}"]
    return "\n".join([*title, *body, *notes]) + "\n"


TABLE_FORMATS: dict[str, Callable[[Table], str]] = {
    "text": format_text,
    "markdown": format_markdown,
    "latex": format_latex,
}


def display_width(text: str) -> int:
    """Columns that a text takes at a terminal: wide characters two, combining ones none."""
    return sum(
        0
        if unicodedata.category(mark) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(mark) in "WF")
        for mark in text
    )


def _pad(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - display_width(text))
    return blanks + text if right else text + blanks


def printable(text: str) -> str:
    """A text in one line, with the marks that steer terminals spelled out."""
    if text.isprintable():
        return text
    return "".join(
        mark
        if mark.isprintable() or unicodedata.category(mark) in ("Cf", "Zs")
        else mark.encode("unicode_escape").decode()
        for mark in text
    )
