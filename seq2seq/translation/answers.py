"""What a line of input holds, and the line or lines that answer it."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seq2seq.data.json_lines import kind_of, parse_object
from seq2seq.errors import DataError, UserError
from seq2seq.translation.alignment import format_links

if TYPE_CHECKING:
    from seq2seq.translation.result import TranslatedHypothesis, Translation


@dataclass(frozen=True)
class Shown:
    """What is told of translations besides their text.

    Attributes:
        n_best: how many there are of a line, at most.
        scores: how good they are held to be.
        alignments: which words go with which.
    """

    n_best: int = 1
    scores: bool = False
    alignments: bool = False

    @property
    def numbered(self) -> bool:
        """Whether each line begins with the number of the input line, as there may be several."""
        return self.n_best > 1

    @property
    def details(self) -> bool:
        """Whether a second look at translations is needed for JSON."""
        return self.scores or self.alignments

    def columns(self, hypothesis: TranslatedHypothesis) -> list[str]:
        """Score, text and alignment, as far as they are shown."""
        cells = [f"{hypothesis.score:.4f}"] if self.scores else []
        cells.append(hypothesis.text)
        if self.alignments:
            cells.append(format_links(hypothesis.alignment or []))
        return cells

    def record(self, hypothesis: TranslatedHypothesis) -> dict[str, Any]:
        """All that is known, for JSON."""
        found = {
            "text": hypothesis.text,
            "score": hypothesis.score,
            "log_prob": hypothesis.log_prob,
            "tokens": hypothesis.tokens,
        }
        if self.scores:
            found["log_probs"] = hypothesis.log_probs or []
        if self.alignments:
            weights = [] if hypothesis.attention is None else hypothesis.attention.tolist()
            found["alignment"] = hypothesis.alignment or []
            found["attention"] = [[round(weight, 4) for weight in row] for row in weights]
        return found


class Format(Protocol):
    """A way to read lines and to answer them."""

    def read(self, line: str, place: str) -> str:
        """The text to translate; `place` is for errors."""

    def write(self, line: str, translation: Translation) -> Iterator[str]:
        """The answer to a line."""

    def belongs(self, line: str, answer: str) -> bool:
        """Whether an answer written earlier can be that to a line; for `Shown.numbered` unused."""


class Text:
    """Plain text; a line for each translation."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def read(self, line: str, place: str) -> str:
        """The line."""
        return line

    def write(self, line: str, translation: Translation) -> Iterator[str]:
        """See `Format`."""
        number = f"{translation.line + 1}\t" if self.shown.numbered else ""
        for hypothesis in translation.hypotheses:
            yield number + "\t".join(self.shown.columns(hypothesis))

    def belongs(self, line: str, answer: str) -> bool:
        """Of blank lines the answer is known."""
        return bool(line.strip(" \t")) or not answer.removeprefix("0.0000").strip("\t")


class Json:
    """Plain text; a JSON object with all translations of a line."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def read(self, line: str, place: str) -> str:
        """The line."""
        return line

    def write(self, line: str, translation: Translation) -> Iterator[str]:
        """See `Format`."""
        found: dict[str, Any] = {"line": translation.line + 1, "src": translation.src}
        if self.shown.alignments:
            found["src_tokens"] = translation.src_tokens or []
        found["translations"] = [self.shown.record(each) for each in translation.hypotheses]
        yield dump(found)

    def belongs(self, line: str, answer: str) -> bool:
        """It repeats the line."""
        try:
            return bool(parse_object(answer, "").get("src") == line)
        except DataError:
            return False


class Tsv:
    """Columns between tabs, of which one is translated; more columns for the answer.

    They are as many for each line, blank ones where it has fewer translations.

    Args:
        shown: what the answer tells.
        field: number of the column, from 1.
    """

    def __init__(self, shown: Shown, field: str) -> None:
        if not field.isdecimal() or int(field) < 1:
            raise UserError(f"--field: {field!r} is no column; give its number, the first one is 1")
        self.shown = shown
        self.field = int(field)

    def read(self, line: str, place: str) -> str:
        """See `Format`.

        Raises:
            DataError: there is no such column.
        """
        cells = line.split("\t")
        if len(cells) < self.field:
            raise DataError(
                f"{place}: column {self.field} is missing, the line has {len(cells)}; separate "
                "columns by one tab, or name another --field"
            )
        return cells[self.field - 1]

    def write(self, line: str, translation: Translation) -> Iterator[str]:
        """See `Format`."""
        cells = [self.shown.columns(each) for each in translation.hypotheses]
        cells += [[""] * len(cells[0])] * (self.shown.n_best - len(cells))
        yield "\t".join([line, *chain(*cells)])

    def belongs(self, line: str, answer: str) -> bool:
        """It begins with the line."""
        return answer.startswith(f"{line}\t")


class JsonLines:
    """JSON objects of which one field is translated; one more field for the answer.

    It is a text, or where more is shown a list of all translations. What stands there stays as it
    is spelt, a blank line blank.

    Args:
        shown: what the answer tells.
        field: name, `a.b` for one within another.
        into: name of the answer.
    """

    def __init__(self, shown: Shown, field: str, into: str) -> None:
        self.shown = shown
        self.field = field
        self.added = [into, f"{into}_src_tokens"][: 1 + shown.alignments]

    def read(self, line: str, place: str) -> str:
        """See `Format`.

        Raises:
            DataError: it isn't JSON, has no such text or an answer already.
        """
        if not line.strip():
            return ""
        record = parse_object(line, place)
        for name in self.added:
            if name in record:
                raise DataError(f"{place}: has a field {name!r} already; name another with --into")
        value: Any = record
        for name in [self.field] if self.field in record else self.field.split("."):
            if not isinstance(value, dict) or name not in value:
                there = ", ".join(map(str, value)) if isinstance(value, dict) else "no record"
                raise DataError(
                    f"{place}: no field {self.field!r} (there: {there[:100]}); name it with --field"
                )
            value = value[name]
        if not isinstance(value, str):
            raise DataError(
                f"{place}: field {self.field!r} holds {kind_of(value)}, not text; name "
                "another with --field or mend the data"
            )
        # JSON can spell half a character.
        return value.replace("\n", " ").encode("utf-8", "replace").decode()

    def write(self, line: str, translation: Translation) -> Iterator[str]:
        """See `Format`."""
        if not line.strip():
            yield ""
            return
        answer: Any = translation.text
        if self.shown.numbered or self.shown.details:
            answer = [self.shown.record(each) for each in translation.hypotheses]
        values = [answer, translation.src_tokens or []]
        # Reading and writing a record would spell its numbers anew.
        yield _opened(line) + dump(dict(zip(self.added, values, strict=False)))[1:]

    def belongs(self, line: str, answer: str) -> bool:
        """It repeats the record."""
        return answer.startswith(_opened(line)) if line.strip() else not answer


FORMATS = ("text", "tsv", "jsonl")
"""Formats of input by name."""


def dump(record: dict[str, Any]) -> str:
    """A line of JSON, in escapes only if it has half a character, which UTF-8 cannot spell."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(record)
    return line


def _opened(record: str) -> str:
    """A line of JSON up to where one more field can stand; it has one already."""
    return f"{record.rpartition('}')[0].rstrip()}, "


def skip_answered(
    path: Path, lines: Iterator[str], form: Format, *, numbered: bool, window: int = 1
) -> tuple[int, int, Iterator[str]]:
    """Cut a half-done output down to the answers that are whole, to go on after these.

    Args:
        path: the output, which need not exist.
        lines: the input.
        form: how it is answered.
        numbered: a line may have several answers, which begin with its number. The last line that
            has some is answered again, for they may not be all.
        window: lines that are read together. Those of the first one that isn't all answered are
            given once more, since the last digits of a number depend on which others were
            computed beside it.

    Returns:
        How many lines are answered, how many of them are given once more, and these with the rest.

    Raises:
        UserError: the output isn't of this input.
    """
    if path.suffix == ".gz":
        raise UserError(f"{path}: cannot go on in a compressed file; leave out --resume or .gz")
    answered = start = end = 0
    recent: deque[str] = deque(maxlen=window)
    for first, last, answer in _answers(path, numbered):
        line = next(lines, None)
        answered, start, end = answered + 1, first, last
        if line is None or answer is None or not (numbered or form.belongs(line, answer)):
            raise UserError(
                f"{path}:{answered}: is not the answer to line {answered} of this input; give the "
                "input and the options that it was made with, or leave out --resume"
            )
        recent.append(line)
    unsure = int(numbered and answered > 0)
    answered, end = answered - unsure, start if unsure else end
    if path.exists():
        os.truncate(path, end)
    first_left = next(lines, None)
    if first_left is None and not unsure:
        return answered, 0, iter(())
    again = answered % window
    left = [] if first_left is None else [first_left]
    return answered, again, chain(list(recent)[len(recent) - again - unsure :], left, lines)


def _answers(path: Path, numbered: bool) -> Iterator[tuple[int, int, str | None]]:
    """For each line in turn where its answer begins and ends, and its text if it is one.

    What follows the last line break isn't whole.
    """
    start = end = count = 0
    answer: str | None = None
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            text = line.decode("utf-8", "replace").removesuffix("\n")
            goes_on = numbered and text.startswith(f"{count}\t")
            if count and not goes_on:
                yield start, end, answer
                start = end
            if not goes_on:
                count += 1
                answer = text if not numbered or text.startswith(f"{count}\t") else None
            end += len(line)
    if count:
        yield start, end, answer
