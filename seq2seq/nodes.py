"""YAML as a tree of values that know their place, with `base:` files and overrides merged in.

The scalars are those of YAML 1.2: `1e-3` is a number, `no` and `on` are text. Whatever is wrong
is collected, not raised, so that all of it can be told at once.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COMMAND_LINE = "command line"
BASE = "base"
BASE_DOC = (
    "Recipe to inherit from, relative to this file. Sections are inherited key by key, "
    "lists and single values are replaced as a whole, a section set to `null` starts afresh."
)
MAX_DEPTH = 20

_BOOLEANS = {"true": True, "True": True, "TRUE": True} | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
_RESOLVERS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class Loader(yaml.SafeLoader):
    """Composes YAML with the scalars of version 1.2."""


class Dumper(yaml.SafeDumper):
    """Writes YAML that versions 1.1 and 1.2 read alike."""


Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _RESOLVERS.items():
    _tag, _regexp = f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$")
    Loader.add_implicit_resolver(_tag, _regexp, _first)
    Dumper.add_implicit_resolver(_tag, _regexp, _first)


@dataclass(frozen=True)
class Place:
    """Where something is written; without a line it is about the whole file.

    Attributes:
        order: Tells apart what stands in one line, or on the command line.
    """

    file: str
    line: int | None = None
    order: int = 0

    def __str__(self) -> str:
        """The place as it begins a message."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One mistake: its place, the dotted key if it is about one, and what is wrong."""

    place: Place
    key: str
    text: str

    def __str__(self) -> str:
        """The message, on one line."""
        return ": ".join(part for part in (str(self.place), self.key, self.text) if part)


@dataclass
class Node:
    """A value and where it is written: for the value of a key, the line of the key.

    Attributes:
        text: A scalar as it is written, without its quotes.
        quoted: Whether the scalar has quotes.
        replaces: Whether a base file gives the key another value.
    """

    place: Place
    value: "bool | int | float | str | list[Node] | dict[str, Node] | None"
    text: str = ""
    quoted: bool = False
    replaces: bool = False


class _Reader:
    """Turns the text of one place into nodes and collects what is wrong with it."""

    def __init__(self, file: str, problems: list[Problem], override: int | None = None) -> None:
        self.file = file
        self.problems = problems
        self.override = override

    def place(self, mark: Any) -> Place:
        return self.at(mark.line + 1, mark.column)

    def at(self, line: int, column: int = 0) -> Place:
        if self.override is not None:
            return Place(self.file, order=self.override)
        return Place(self.file, line, column)

    def parse(self, text: str, key: str = "") -> Node | None:
        try:
            composed = yaml.compose(text, Loader=Loader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, int(error.position)) + 1
            character = f"U+{int(error.character):04X}"
            self._report(self.at(line), key, f"control character {character}; remove it")
        except yaml.MarkedYAMLError as error:
            self._report(*_explain_syntax(error, text, self.place, key))
        else:
            if composed is None:
                return Node(self.at(1), None)
            return self.convert(composed, self.place(composed.start_mark), (key,) if key else ())
        return None

    def convert(self, node: yaml.Node, place: Place, path: tuple[str, ...]) -> Node:
        if len(path) > MAX_DEPTH:
            self._report(place, ".".join(path[:3]), "nested too deeply")
            return Node(place, None)
        if isinstance(node, yaml.MappingNode):
            return Node(place, self._mapping(node, path))
        if isinstance(node, yaml.SequenceNode):
            return Node(
                place,
                [
                    self.convert(v, self.place(v.start_mark), (*path, str(i)))
                    for i, v in enumerate(node.value)
                ],
            )
        return self._scalar(node, place, path)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(place, ".".join(path), "a key must be a plain word")
                continue
            key = str(key_node.value)
            if key in entries:
                first = "keep one" if self.override else f"first in line {entries[key].place.line}"
                self._report(place, ".".join((*path, key)), f"given twice, {first}")
                continue
            entries[key] = self.convert(value_node, place, (*path, key))
        return entries

    def _scalar(self, node: Any, place: Place, path: tuple[str, ...]) -> Node:
        text, quoted = str(node.value), node.style is not None
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        value: bool | int | float | str | None = text
        if kind == "null":
            value = None
        elif kind == "bool" and text in _BOOLEANS:
            value = _BOOLEANS[text]
        elif kind == "int" and re.fullmatch(_RESOLVERS["int"][0], text):
            value = int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        elif kind == "float" and re.fullmatch(_RESOLVERS["float"][0], text):
            value = float(re.sub(r"\.(?=[a-zA-Z])", "", text))
        elif kind != "str":
            self._report(place, ".".join(path), f"the tag {node.tag} means nothing here; remove it")
        return Node(place, value, text, quoted)

    def _report(self, place: Place, key: str, text: str) -> None:
        self.problems.append(Problem(place, key, text))


def _explain_syntax(
    error: yaml.MarkedYAMLError, text: str, place: Any, key: str
) -> tuple[Place, str, str]:
    """Place, key and wording of a syntax error."""
    problem, context = str(error.problem), str(error.context)
    mark = error.problem_mark or error.context_mark
    start = error.context_mark or mark
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return place(mark), key, "a tab in the indentation; YAML wants spaces"
    if "mapping values" in problem:
        return place(mark), key, "a ':' out of place; check the indentation, or quote the value"
    if "quoted scalar" in context:
        return place(start), key, "a quote that is never closed; close it"
    if "flow" in context:
        return place(start), key, "a bracket that is never closed, or a missing comma; mend it"
    if "expected ':'" in problem:
        return place(start), key, "no 'key: value'; a ':' (and a space) is missing"
    if "block" in context:
        return place(mark), key, "out of line; indent the keys of a section alike"
    return place(mark), key, f"not valid YAML ({problem}); mend it"


def read_tree(path: Path, problems: list[Problem]) -> Node | None:
    """The tree of a file merged over those that it names as `base`, or None if it has none."""
    return _read(str(path), Place(str(path)), "", (), problems)


def _read(
    file: str, named_at: Place, key: str, chain: tuple[str, ...], problems: list[Problem]
) -> Node | None:
    text = _read_text(file, named_at, key, problems)
    root = None if text is None else _Reader(file, problems).parse(text)
    if root is None:
        return None
    if not isinstance(root.value, dict):
        what = "empty" if root.value is None else "not a section of keys"
        problems.append(Problem(root.place, "", f"{what}; write `key: value` lines"))
        return None
    base = root.value.pop(BASE, None)
    if base is None or base.value is None:
        return root
    if not isinstance(base.value, str):
        problems.append(Problem(base.place, BASE, "must be the name of one file"))
        return root
    parent = os.path.normpath(os.path.join(os.path.dirname(file), base.value))
    chain = (*chain, os.path.realpath(file))
    if os.path.realpath(parent) in chain:
        text = f"leads back to {parent}; a file cannot inherit from itself"
        problems.append(Problem(base.place, BASE, text))
        return root
    inherited = _read(parent, base.place, BASE, chain, problems)
    return root if inherited is None else merge(inherited, root)


def _read_text(file: str, named_at: Place, key: str, problems: list[Problem]) -> str | None:
    try:
        content = Path(file).read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(Problem(Place(file, line), "", "not UTF-8; save the file as UTF-8"))
    except FileNotFoundError:
        what = f"no such file '{file}'" if key else "no such file"
        remedy = "it is looked for beside this one" if key else "check the name"
        problems.append(Problem(named_at, key, f"{what}; {remedy}"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = "name a file that you may read"
        problems.append(Problem(named_at, key, f"cannot read '{file}' ({reason}); {remedy}"))
    return None


def merge(base: Node, over: Node) -> Node:
    """`over` on top of `base`: sections key by key, anything else replaced."""
    over.replaces = True
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    entries = dict(base.value)
    for key, node in over.value.items():
        entries[key] = merge(entries[key], node) if key in entries else node
    return Node(over.place, entries, replaces=True)


def read_overrides(overrides: Sequence[str], problems: list[Problem]) -> Iterator[Node]:
    """A tree of one key for each `key.sub=value`."""
    seen: set[str] = set()
    for number, override in enumerate(overrides, 1):
        place = Place(COMMAND_LINE, order=number)
        key, separator, text = override.partition("=")
        key = key.strip()
        if not separator or not all(key.split(".")):
            problems.append(Problem(place, "", f"'{override}': not of the form KEY=VALUE"))
        elif key == BASE:
            problems.append(Problem(place, key, "can only stand in a file"))
        elif key in seen:
            problems.append(Problem(place, key, "given twice; keep one"))
        elif (node := _Reader(COMMAND_LINE, problems, number).parse(text, key)) is not None:
            seen.add(key)
            for part in reversed(key.split(".")):
                node = Node(place, {part: node})
            yield node
