"""Checks that the code keeps to its architecture: layers, sizes, names and where things may stand.

    python tools/check_layout.py

prints one line for each thing that is wrong and exits with 1 if there is any.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "seq2seq"

LAYERS = [
    ["errors", "records", "sizes", "special"],
    ["draws", "files", "keys", "nodes", "parallel"],
    ["device", "settings"],
    ["sections"],
    ["recipe"],
    [
        "arguments",
        "checkpoint",
        "console",
        "data",
        "formats",
        "model",
        "search",
    ],
    ["choices", "run", "scoring"],
    ["curves", "lint", "stages", "translation"],
    ["generate", "probability", "translate"],
    ["synthesis"],
    ["prepare"],
    ["evaluate", "training"],
    ["train"],
    ["plan"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
"""Modules and sub-packages from the bottom up: each imports from lines above its own only, so those
in one line never import one another."""

NEEDS_TORCH = [
    "checkpoint",
    "data.batch",
    "device",
    "generate",
    "model",
    "plan",
    "probability",
    "search",
    "train",
    "training",
    "translate",
    "translation.choosing",
    "translation.details",
    "translation.forced",
    "translation.models",
    "translation.parts",
    "translation.requests",
    "translation.shortlisting",
]
"""All other modules are imported without torch, which costs seconds."""

TOP_LEVEL = [
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "recipes",
    "seq2seq",
    "setup.cfg",
    "tests",
    "tools",
]
COMMAND_LINE = ["cli", "commands", "console", "__main__"]
"""What the user sees in the terminal is theirs; other modules log, return or raise."""

VAGUE_NAMES = ["builders", "common", "constants", "helpers", "misc", "util", "utils"]
MAX_MODULE, MAX_FUNCTION = 400, 60


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
        module: Full name of the module, or of a name in it.
        line: Where it stands.
        at_once: It is carried out as soon as its module is imported.
    """

    module: str
    line: int
    at_once: bool


@dataclass(frozen=True)
class Module:
    """A parsed file; `name` is empty outside the package."""

    path: Path
    name: str
    tree: ast.Module
    num_lines: int

    @property
    def unit(self) -> str:
        """The module or sub-package of the package that the layers speak of."""
        return self.name.split(".")[0]

    def imports(self) -> Iterator[Import]:
        """All imports but those for type checkers."""
        yield from _imports(self.tree.body, at_once=True)


def _imports(body: list[ast.stmt], at_once: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            for alias in node.names:
                yield Import(f"{start}.{alias.name}", node.lineno, at_once)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse, at_once)
        else:
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imports(getattr(node, field, []), at_once and not later)


def check(root: Path) -> list[str]:
    """Everything that is wrong in a checkout, as `file:line: what; remedy`."""
    modules = [
        _parse(path, root)
        for folder in (PACKAGE, "recipes", "tests", "tools")
        for path in sorted((root / folder).rglob("*.py"))
    ]
    package = [module for module in modules if module.name]
    found = [*_top_level(root)]
    for module in modules:
        found += [f"{module.path}:{line}: {text}" for line, text in _own(module)]
    for module in package:
        found += [f"{module.path}:{line}: {text}" for line, text in _layers(module)]
    return found + _torch(package)


def _parse(path: Path, root: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    relative = path.relative_to(root)
    parts = list(relative.with_suffix("").parts)
    name = ""
    if parts[0] == PACKAGE:
        # The package itself is named as its file, so that it has a name.
        name = ".".join(parts[1:]).removesuffix(".__init__")
    return Module(relative, name, ast.parse(text), text.count("\n"))


def _top_level(root: Path) -> Iterator[str]:
    """Checks what is committed; other files are nobody's business."""
    done = subprocess.run(
        ["git", "-C", str(root), "ls-files"], capture_output=True, encoding="utf-8", check=False
    )
    for name in sorted({Path(line).parts[0] for line in done.stdout.splitlines()}):
        if name not in TOP_LEVEL:
            yield f"{name}:1: not a top-level entry; put it in one of the folders"


def _own(module: Module) -> Iterator[tuple[int, str]]:
    """What is wrong with a module by itself."""
    folder = module.path.parts[0]
    if module.num_lines > MAX_MODULE and folder != "tests":
        yield 1, f"{module.num_lines} lines; at most {MAX_MODULE}"
    for part in module.path.with_suffix("").parts:
        if part in VAGUE_NAMES:
            yield 1, f"{part!r} says nothing; name it for what is in it"
    if folder == PACKAGE and module.path.name == "__init__.py":
        yield from _init(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MAX_FUNCTION:
                yield node.lineno, f"{node.name} has {size} lines; at most {MAX_FUNCTION}"
        if folder == PACKAGE and module.unit not in COMMAND_LINE:
            yield from _command_line_only(node)
    for item in module.imports():
        if folder == "recipes" and item.module.split(".")[0] in ("torch", PACKAGE):
            yield item.line, "recipes hold settings and data preparation; no torch, no seq2seq"
        if folder == "tools" and item.module.startswith(f"{PACKAGE}.") and "._" in item.module:
            yield item.line, f"{item.module} is private; tools use public names"


def _init(module: Module) -> Iterator[tuple[int, str]]:
    if ast.get_docstring(module.tree) is None:
        yield 1, "no docstring; say what the package is for"
    at_root = module.path.parent.name == PACKAGE
    for node in module.tree.body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_version = isinstance(node, ast.Assign) and "__version__" in map(
            ast.unparse, node.targets
        )
        if not (is_text or (at_root and is_version)):
            yield node.lineno, "code in __init__; a docstring is all that belongs here"


def _command_line_only(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "exit", "sys.exit"):
        yield (
            node.lineno,
            f"{ast.unparse(node.func)}() outside cli.py; log, return or raise",
        )
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.argv":
        yield node.lineno, "sys.argv outside cli.py; take a parameter"


def _layers(module: Module) -> Iterator[tuple[int, str]]:
    levels = {unit: level for level, units in enumerate(LAYERS) for unit in units}
    if module.unit == "__init__":
        return
    if module.unit not in levels:
        yield 1, f"{module.unit!r} has no layer; add it to LAYERS in tools/check_layout.py"
        return
    for item in module.imports():
        if item.module.startswith("."):
            yield item.line, f"relative import {item.module!r}; write the full name"
        elif item.module.startswith(f"{PACKAGE}."):
            unit = item.module.split(".")[1]
            is_below = levels.get(unit, -1) < levels[module.unit]
            if unit != module.unit and not is_below:
                yield item.line, f"{module.unit} imports {unit}; imports go down the layers only"


def _torch(package: list[Module]) -> list[str]:
    """Modules that import torch, themselves or through others, but are said not to."""
    names = {f"{PACKAGE}.{module.name}" for module in package}
    graph: dict[str, dict[str, int]] = {}
    for module in package:
        targets = graph.setdefault(f"{PACKAGE}.{module.name}", {})
        for item in module.imports():
            if item.at_once:
                # `from a import b` imports the module a.b or the name b of the module a.
                parent = item.module.rpartition(".")[0]
                target = item.module if item.module in names else parent
                torch = "torch" in item.module.split(".")[:2]
                targets.setdefault("torch" if torch else target, item.line)
    found = []
    for module in package:
        is_free = not any(f"{module.name}.".startswith(f"{name}.") for name in NEEDS_TORCH)
        if is_free and (path := _path(graph, f"{PACKAGE}.{module.name}", "torch")):
            line = graph[path[0]][path[1]]
            found.append(
                f"{module.path}:{line}: imports torch ({' -> '.join(path[1:])}) but must start "
                "without it; import inside the function that needs it"
            )
    return found


def _path(graph: dict[str, dict[str, int]], start: str, goal: str) -> list[str]:
    """The shortest way along imports, empty if there is none."""
    paths = [[start]]
    seen = {start}
    for path in paths:
        if path[-1] == goal:
            return path
        following = [name for name in graph.get(path[-1], {}) if name not in seen]
        seen.update(following)
        paths += [[*path, name] for name in following]
    return []


def main() -> None:
    """Checks the checkout that this file belongs to."""
    found = check(Path(__file__).resolve().parent.parent)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
