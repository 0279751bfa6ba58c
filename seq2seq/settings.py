"""Settings files: YAML into a frozen pydantic model, every mistake told with its file and line.

Nothing here knows a recipe. `load` merges a file over its `base` files and the overrides of the
command line over both, and checks the result as a whole; `dump` writes what `load` reads back.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from seq2seq.errors import SettingsError
from seq2seq.keys import Key, describe, dotted, find, limits, show, suggest, walk
from seq2seq.keys import Path as KeyPath
from seq2seq.nodes import (
    BASE,
    BASE_DOC,
    COMMAND_LINE,
    Dumper,
    Node,
    Place,
    Problem,
    merge,
    read_overrides,
    read_tree,
)


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Conflict:
    """Values that are legal one by one but not together.

    Attributes:
        text: What is wrong and what to do about it.
        keys: All keys that it is about. It is told at the first that is given, and not at all
            when one of them has a mistake of its own.
    """

    def __init__(self, text: str, *keys: KeyPath | str) -> None:
        """Takes keys as paths or dotted."""
        self.text = text
        self.keys = [tuple(key.split(".")) if isinstance(key, str) else key for key in keys]


Model = TypeVar("Model", bound=BaseModel)
_KEY_LINE = re.compile(r"( *)(\w+):(?: |$)")
Check = Callable[[Model], Iterable[Conflict]]


def load(
    path: Path,
    model: type[Model],
    overrides: Sequence[str] = (),
    *,
    defaults: Mapping[str, str] | None = None,
    checks: Sequence[Check[Model]] = (),
) -> Model:
    """Reads, merges and checks settings.

    Args:
        path: YAML file; it may name a `base` file, relative to itself, to inherit from.
        model: What to make of it.
        overrides: `key.sub=value`, the value in YAML.
        defaults: Values of top-level keys that are given nowhere.
        checks: Functions that find the conflicts of valid settings.

    Raises:
        SettingsError: With all mistakes, one line each.
    """
    problems: list[Problem] = []
    root = read_tree(path, problems)
    if root is not None and isinstance(root.value, dict):
        for key, value in (defaults or {}).items():
            root.value.setdefault(key, Node(Place(str(path), 1), value, value))
    return _load(root, model, overrides, checks, problems)


def from_overrides(model: type[Model], overrides: Sequence[str]) -> Model:
    """Makes settings of `key.sub=value` alone.

    Raises:
        SettingsError: With all mistakes, one line each.
    """
    return _load(Node(Place(COMMAND_LINE), {}), model, overrides, (), [])


def _load(
    root: Node | None,
    model: type[Model],
    overrides: Sequence[str],
    checks: Sequence[Check[Model]],
    problems: list[Problem],
) -> Model:
    trees = list(read_overrides(overrides, problems))
    if root is None:
        raise SettingsError(map(str, problems))
    main = root.place.file
    for tree in trees:
        root = merge(root, tree)
    settling = _Settling(model, root, problems)
    settings: Model = settling.settle()
    for check in checks:
        settling.report_conflicts(check(settings))
    if problems:
        raise SettingsError(map(str, _in_order(problems, main)))
    return settings


def _in_order(problems: list[Problem], main: str) -> list[Problem]:
    """Problems as they are written: those of the main file first, of the command line last."""

    def order(problem: Problem) -> tuple[int, str, int, int]:
        place = problem.place
        rank = 2 if place.file == COMMAND_LINE else int(place.file != main)
        return rank, place.file, place.line or 0, place.order

    return sorted(problems, key=order)


class _Settling:
    """Validates a tree again and again, each time without the values that proved wrong.

    So mistakes that hide behind others are found too, and in the end there is a valid model,
    made of what is right and of defaults, on which conflicts can be looked for.
    """

    def __init__(self, model: type[BaseModel], root: Node, problems: list[Problem]) -> None:
        self.model = model
        self.root = root
        self.problems = problems
        self.invalid: list[KeyPath] = []

    def settle(self) -> Any:
        while True:
            try:
                return self.model.model_validate(_plain(self.root), strict=True)
            except ValidationError as error:
                details = error.errors(include_url=False, include_input=False)
            # All are told before one is mended, which changes what is written.
            mends = [
                self._tell(detail["type"], detail["loc"], detail.get("ctx", {}), detail["msg"])
                for detail in sorted(details, key=lambda detail: -len(detail["loc"]))
                if not _is_consequence(detail["type"], detail["loc"], details)
            ]
            for mend in mends:
                mend()

    def report_conflicts(self, conflicts: Iterable[Conflict]) -> None:
        for conflict in conflicts:
            if any(self._is_known(key) for key in conflict.keys):
                continue
            traces = [self._trace(key) for key in conflict.keys]
            given = [trace for trace in traces if trace[2]]
            path, node, _ = given[0] if given else traces[0]
            key = path if given else conflict.keys[0]
            self.problems.append(Problem(node.place, dotted(key), conflict.text))

    def _is_known(self, path: KeyPath) -> bool:
        """Whether a mistake in this key, below or above it has been told."""
        return any(path[: len(bad)] == bad[: len(path)] for bad in self.invalid)

    def _trace(self, path: KeyPath) -> tuple[KeyPath, Node, bool]:
        """The part of a path that is written, its node, and whether a value is given there."""
        node = self.root
        walked: KeyPath = ()
        for part in path:
            if isinstance(node.value, dict) and isinstance(part, str):
                if part not in node.value:
                    return walked, node, False
                node, walked = node.value[part], (*walked, part)
            elif isinstance(node.value, list) and isinstance(part, int):
                if part >= len(node.value):
                    return walked, node, False
                node, walked = node.value[part], (*walked, part)
            elif isinstance(part, str):
                break
        return walked, node, True

    def _tell(
        self, kind: str, path: KeyPath, context: Mapping[str, Any], message: str
    ) -> Callable[[], None]:
        """Tells a mistake, if it is one that hasn't been told; what mends it."""
        written, node, _ = self._trace(path)
        key = find(self.model, path)
        if kind == "string_type" and _is_number(node):
            return partial(setattr, node, "value", node.text)
        is_section = kind in ("model_type", "dict_type") and isinstance(path[-1], str)
        if is_section and node.value is None:
            return partial(self._remove, path)
        if node.value is None and node.replaces and _is_entry(self.model, path):
            return partial(self._remove, path)
        if not self._is_known(path):
            self.invalid.append(path)
            if kind == "missing" and isinstance(path[-1], str):
                parent = self._trace(path[:-1])[1]
                text = _missing(key)
                self.problems.append(Problem(parent.place, dotted((*written, path[-1])), text))
            else:
                text = _wording(kind, key, path, node, context, message, self.model)
                self.problems.append(Problem(node.place, dotted(written), text))
        if kind == "missing" and isinstance(path[-1], str) and key is not None:
            return partial(self._fill, path, key)
        return partial(self._withdraw, path)

    def _withdraw(self, path: KeyPath) -> None:
        """Takes a mistake out, with the list that it stands in; nothing more is told of that."""
        self.invalid.append(_up_to_list(path))
        self._remove(path)

    def _remove(self, path: KeyPath) -> None:
        """Takes a key out, with the list that it stands in."""
        path = _up_to_list(path)
        walked, parent, _ = self._trace(path[:-1])
        if walked == path[:-1]:  # or else it is gone already
            assert isinstance(parent.value, dict)
            parent.value.pop(str(path[-1]), None)

    def _fill(self, path: KeyPath, key: Key) -> None:
        """Puts in something legal for a required key."""
        walked, parent, _ = self._trace(path[:-1])
        if walked == path[:-1]:  # or else it stood in a list that was taken out
            assert isinstance(parent.value, dict)
            example = key.field.examples[0] if key.field and key.field.examples else {}
            parent.value[str(path[-1])] = Node(parent.place, example)


def _is_consequence(kind: str, path: KeyPath, details: Sequence[Any]) -> bool:
    """Whether a mistake comes of others and goes with them."""
    deeper = any(d["loc"] != path and d["loc"][: len(path)] == path for d in details)
    return kind == "default_factory_not_called" or (kind == "too_short" and deeper)


def _up_to_list(path: KeyPath) -> KeyPath:
    """The path of the first list that a path leads into; without one the path."""
    return next((path[:i] for i, part in enumerate(path) if isinstance(part, int)), path)


def _is_number(node: Node) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _is_entry(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether the path is an entry of a section of free names."""
    key = find(model, path)
    return key is not None and key.field is None and isinstance(path[-1], str)


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return tuple(_plain(value) for value in node.value)
    return node.value


def _missing(key: Key | None) -> str:
    if key is None or key.field is None or not key.field.examples:
        return "required, but not given"
    return f"required, but not given; for example `{key.path[-1]}: {show(key.field.examples[0])}`"


_RANGES = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "too_short")


def _wording(
    kind: str,
    key: Key | None,
    path: KeyPath,
    node: Node,
    context: Mapping[str, Any],
    message: str,
    model: type[BaseModel],
) -> str:
    """What is wrong with the value of a key, without the words of pydantic."""
    if kind == "extra_forbidden":
        return f"unknown key; {suggest(model, path)}"
    if kind == "value_error":
        return str(context["error"])
    if isinstance(path[-1], int) and kind == "missing":
        key = find(model, path[:-1])
    if key is None:
        return message
    if kind == "finite_number":
        return f"must be finite, not {_shown(node)}"
    if kind == "string_too_short" or (kind == "too_short" and limits(key)):
        return "must not be empty"
    if kind in _RANGES and limits(key):
        return f"must be {' and '.join(limits(key))}, not {_shown(node)}"
    return f"must be {describe(key)}, not {_shown(node)}{_remedy(kind, key, node)}"


def _remedy(kind: str, key: Key, node: Node) -> str:
    if node.value is None and key.default:
        return f"; the default is {key.default}"
    if node.value is None and key.chosen_from:
        return f"; without the key it is chosen from {key.chosen_from}"
    if kind in ("int_type", "float_type", "bool_type") and node.quoted:
        return "; write it without quotes"
    return ""


def _shown(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a section of keys"
    if isinstance(node.value, list):
        return f"a list of {len(node.value)}"
    if isinstance(node.value, str):
        return f"'{node.value}'"
    return "null" if node.value is None else node.text


def dump(
    settings: BaseModel,
    comments: Mapping[str, str] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """The settings in full as YAML; loading it gives the same settings.

    Args:
        settings: What to write.
        comments: Comments on single values, by dotted key.
        left_out: Keys, dotted, to leave to their defaults, and what to write in their place.
    """
    text = yaml.dump(
        _dumped(settings), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return "\n".join(_annotated(text, comments or {}, left_out or {}))


def _annotated(
    text: str, comments: Mapping[str, str], left_out: Mapping[str, str]
) -> Iterable[str]:
    """The lines of a dump with comments, which the dumper cannot write."""
    parents: list[tuple[str, str]] = []
    is_left_out = False
    for line in text.split("\n"):
        if found := _KEY_LINE.match(line):
            indent, name = found.groups()
            parents = [parent for parent in parents if parent[0] < indent] + [(indent, name)]
            key = ".".join(name for _, name in parents)
            if is_left_out := key in left_out:
                line = f"{indent}# {name}: {left_out[key]}"
            elif key in comments:
                line = f"{line}  # {comments[key]}"
        if found or not (is_left_out and line.lstrip().startswith("- ")):  # of its list
            yield line


def _dumped(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _dumped(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {name: _dumped(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [
            {name: part for name, part in _dumped(item).items() if part is not None}
            if isinstance(item, BaseModel)
            else _dumped(item)
            for item in value
        ]
    return value


def changed_keys(old: BaseModel, new: BaseModel) -> list[str]:
    """The keys, dotted, in which two settings differ, in the order of the model."""
    return list(_changed(_dumped(old), _dumped(new), ()))


def _changed(old: Any, new: Any, path: tuple[str, ...]) -> Iterable[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _changed(old.get(name), new.get(name), (*path, name))
    elif old != new:
        yield ".".join(path)


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schema for editors. Nothing is required in it: `base` may supply anything."""
    schema = model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("required", None)
    for key in walk(model):
        parent = find(model, key.path[:-1])
        if key.default is None and parent is not None and parent.section is not None:
            part = schema if parent.section is model else schema["$defs"][parent.section.__name__]
            part["properties"][key.path[-1]].pop("default", None)
    base = {"type": "string", "description": BASE_DOC}
    schema["properties"] = {BASE: base} | schema["properties"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
