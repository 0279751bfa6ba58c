"""What there is to know about the keys of a settings model: types, ranges, defaults, meaning.

Error messages, `--explain` and the reference all take their words from here.
"""

import difflib
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Path = tuple[str | int, ...]

_PLAIN = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}
_PLURAL = {int: "whole numbers", float: "numbers", str: "texts", bool: "truth values"}


@dataclass(frozen=True)
class Form:
    """Annotation that says in words what values a type takes."""

    text: str


@dataclass(frozen=True)
class Chosen:
    """Annotation of a key whose default isn't fixed but chosen.

    The field's own default stands in until then.

    Attributes:
        source: What it is chosen from.
    """

    source: str


@dataclass(frozen=True)
class Key:
    """A key: its path and what its value may be."""

    path: Path
    annotation: Any
    metadata: tuple[Any, ...] = ()
    field: FieldInfo | None = None

    @property
    def bare(self) -> tuple[Any, tuple[Any, ...], bool]:
        """The type without its annotations and `None`, the annotations, and if it may be null."""
        return _strip(self.annotation, self.metadata)

    @property
    def section(self) -> type[BaseModel] | None:
        """The model of the keys below this one, looking into lists."""
        bare, _, _ = self.bare
        if get_origin(bare) is tuple:
            bare, _, _ = _strip(get_args(bare)[0], ())
        return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None

    @property
    def doc(self) -> str:
        """What the key means."""
        return " ".join((self.field.description or "").split()) if self.field else ""

    @property
    def default(self) -> str | None:
        """The default as YAML, or None if there is no fixed one or it is a section."""
        if self.field is None or self.field.is_required() or self.section is self.bare[0]:
            return None
        if self.chosen_from:
            return None
        return "" if self.field.default is PydanticUndefined else show(self.field.default)

    @property
    def chosen_from(self) -> str | None:
        """What the default is chosen from, or None if it is fixed."""
        _, metadata, _ = self.bare
        return next((item.source for item in metadata if isinstance(item, Chosen)), None)

    @property
    def is_required(self) -> bool:
        """Whether the key must be given."""
        return self.field is not None and self.field.is_required()


def _strip(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], bool]:
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extra = get_args(annotation)
            for item in extra:
                metadata += tuple(item.metadata) if isinstance(item, FieldInfo) else (item,)
        elif get_origin(annotation) in (Union, types.UnionType):
            members = [member for member in get_args(annotation) if member is not type(None)]
            nullable = nullable or len(members) < len(get_args(annotation))
            if len(members) > 1:
                return annotation, metadata, nullable
            annotation = members[0]
        else:
            return annotation, metadata, nullable


def show(value: Any) -> str:
    """A value as it would be written in YAML, on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {show(item)}' for key, item in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: `data.train[0].src`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def find(model: type[BaseModel], path: Sequence[str | int]) -> Key | None:
    """The key at a path; the items of a list may be left out of it."""
    key = Key((), model)
    for part in path:
        below = _step(key, part)
        if below is None:
            return None
        key = below
    return key


def _step(key: Key, part: str | int) -> Key | None:
    bare, _, _ = key.bare
    path = (*key.path, part)
    if isinstance(part, int):
        if get_origin(bare) is not tuple:
            return None
        items = get_args(bare)
        return Key(path, items[0] if items[-1] is ... else items[min(part, len(items) - 1)])
    if get_origin(bare) is dict:
        return Key(path, get_args(bare)[1])
    field = key.section.model_fields.get(part) if key.section else None
    return Key(path, field.annotation, tuple(field.metadata), field) if field else None


def walk(model: type[BaseModel], path: Path = ()) -> Iterator[Key]:
    """All keys of the sections in the order in which they are written, not looking into lists."""
    for name, field in model.model_fields.items():
        key = Key((*path, name), field.annotation, tuple(field.metadata), field)
        yield key
        if key.section is not None and key.section is key.bare[0]:
            yield from walk(key.section, key.path)


def describe(key: Key) -> str:
    """The values that a key takes, to follow "must be"."""
    bare, metadata, nullable = key.bare
    forms = [item.text for item in metadata if isinstance(item, Form)]
    if forms:
        words = forms[0]
    elif get_origin(bare) is Literal:
        options = [show(option) for option in get_args(bare)] + ["null"] * nullable
        return f"one of {', '.join(options)}"
    elif get_origin(bare) is tuple:
        words = _describe_list(get_args(bare))
    elif get_origin(bare) is dict:
        words = f"a section of names, each with {describe(Key((), get_args(bare)[1]))}"
    elif key.section is not None:
        words = "a section of keys"
    else:
        words = _PLAIN.get(bare, str(bare))
    return f"{words} or null" if nullable else words


def _describe_list(items: tuple[Any, ...]) -> str:
    bare, _, _ = _strip(items[0], ())
    if get_origin(bare) is Literal:
        return f"a list of {', '.join(show(option) for option in get_args(bare))}"
    count = "" if items[-1] is ... else f"{len(items)} "
    return f"a list of {count}{_PLURAL.get(bare, 'items')}"


def limits(key: Key) -> list[str]:
    """The range of a key in words, such as "at least 1"."""
    _, metadata, _ = key.bare
    words = []
    for item in metadata:
        match item:
            case Ge(ge):
                words.append(f"at least {show(ge)}")
            case Gt(gt):
                words.append(f"greater than {show(gt)}")
            case Le(le):
                words.append(f"at most {show(le)}")
            case Lt(lt):
                words.append(f"less than {show(lt)}")
            case MinLen(length) if length > 0:
                words.append("not empty")
    return words


def legal(key: Key) -> str:
    """Type and range of a key in words."""
    bare, _, _ = key.bare
    words = [describe(key), *limits(key)]
    if get_origin(bare) is tuple and (each := limits(Key(key.path, get_args(bare)[0]))):
        words.append(f"each {' and '.join(each)}")
    return ", ".join(words)


def suggest(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What may have been meant by an unknown key, to follow "unknown key; "."""
    name, parent = str(path[-1]), find(model, path[:-1])
    # Those near the top first: they are meant more often.
    known = sorted((dotted(key.path) for key in walk(model)), key=lambda name: name.count("."))
    if name in known:
        if "." not in name:
            return "it belongs at the top level"
        return f"write '{name.rpartition('.')[2]}' under '{name.rpartition('.')[0]}'"
    if same := [key for key in known if key.rpartition(".")[2] == name]:
        nearest = [key for key in same if key.count(".") == same[0].count(".")]
        homes = [f"'{key.rpartition('.')[0]}'" for key in nearest]
        return f"it belongs under {' or '.join(homes)}"
    section = parent.section if parent else None
    siblings = list(section.model_fields) if section else []
    if close := difflib.get_close_matches(name, siblings, 1):
        return f"did you mean '{close[0]}'?"
    by_name = {key.rpartition(".")[2]: key for key in reversed(known)}
    if close := difflib.get_close_matches(name, by_name, 1, 0.7):
        return f"did you mean '{by_name[close[0]]}'?"
    place = f" {dotted([part for part in path[:-1] if isinstance(part, str)])}".rstrip()
    return f"`seq2seq recipe --explain{place}` lists the known ones"


def explain(model: type[BaseModel], name: str) -> str | None:
    """What `--explain` prints about a dotted key or, without a name, about the top level.

    None if there is no such key.
    """
    key = find(model, [part for part in name.split(".") if part])
    if key is None:
        return None
    lines = [name, *(f"  {fact}" for fact in _facts(key)), ""] if name else []
    if key.section is not None:
        lines += [_summary(below) for below in walk(key.section) if len(below.path) == 1]
    return "\n".join(lines).rstrip()


def _facts(key: Key) -> Iterator[str]:
    yield from textwrap.wrap(key.doc, 88)
    if key.section is None or key.section is not key.bare[0]:
        yield f"legal    {legal(key)}"
    if key.default:
        yield f"default  {key.default}"
    elif key.chosen_from:
        yield f"default  chosen from {key.chosen_from}"
    elif key.is_required and key.section is not key.bare[0]:
        yield "default  none; it must be given"


def _summary(key: Key) -> str:
    name = str(key.path[-1]) + ":" * (key.section is not None and key.section is key.bare[0])
    doc = textwrap.shorten(key.doc, 70, placeholder=" …")
    return f"  {name:<24} {key.default or ('chosen' if key.chosen_from else ''):<12} {doc}".rstrip()
