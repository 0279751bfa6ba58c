"""The files and runs that a recipe names, and which of them are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.keys import Path as KeyPath
from seq2seq.sections.sources import Corpus
from seq2seq.settings import Conflict

if TYPE_CHECKING:
    from seq2seq.recipe import Data, Recipe

_START = "paths start at the working directory"


def find_missing_files(recipe: Recipe) -> Iterator[Conflict]:
    """The files that a recipe names and that neither exist nor have a script to make them."""
    script = recipe.data.script
    if script is not None and not Path(script).is_file():
        yield Conflict(_no_file(script), "data.script")
    elif script is None:
        for path, corpus in corpora_of(recipe.data):
            files = corpus.files(recipe.data.src, recipe.data.tgt)
            if missing := [str(file) for file in files if not file.is_file()]:
                yield Conflict(_no_file(*missing), *_file_keys(path, corpus, missing))
        for index, text in enumerate(recipe.data.back_translation.text or ()):
            if not Path(text).is_file():
                yield Conflict(_no_file(text), ("data", "back_translation", "text", index))
    for key in ("model", "src_model", "tgt_model"):
        model = getattr(recipe.tokenizer, key)
        if model is not None and not Path(model).is_file():
            yield Conflict(_no_file(model), f"tokenizer.{key}")
    glossary = recipe.decoding.glossary
    if glossary is not None and not Path(glossary).is_file():
        yield Conflict(_no_file(glossary), "decoding.glossary")
    for path, run in _runs(recipe):
        if not (Path(run) / "checkpoints" / "best.safetensors").is_file():
            text = f"no trained run '{run}' (it has no checkpoints/best.safetensors); {_START}"
            yield Conflict(text, path)


def _runs(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """The other runs that a recipe builds on."""
    if recipe.training.init_from is not None:
        yield ("training", "init_from"), recipe.training.init_from
    if recipe.decoding.language_model is not None:
        yield ("decoding", "language_model"), recipe.decoding.language_model
    for key in ("distillation", "back_translation"):
        for index, run in enumerate(getattr(recipe.data, key).runs or ()):
            yield ("data", key, "runs", index), run


def _no_file(*names: str) -> str:
    files = " and ".join(f"'{name}'" for name in names)
    if all(Path(name).exists() for name in names):
        return f"{files}: no plain file, which can be read again; give one"
    return f"no such file{'s' * (len(names) > 1)} {files}; {_START}"


def corpora_of(data: Data) -> Iterator[tuple[KeyPath, Corpus]]:
    """All corpora of a recipe and where they stand in it."""
    uses: dict[KeyPath, tuple[Corpus, ...]] = {
        ("data", "train"): data.train,
        ("data", "dev"): data.dev,
    }
    uses |= {("data", "test", name): corpora for name, corpora in data.test.items()}
    for path, corpora in uses.items():
        for index, corpus in enumerate(corpora):
            yield (*path, index), corpus


def _file_keys(path: KeyPath, corpus: Corpus, missing: list[str]) -> Iterator[KeyPath]:
    if corpus.path is None:
        sides = [side for side in ("src", "tgt") if getattr(corpus, side) in missing]
        yield from ((*path, side) for side in sides)
    else:
        yield (*path, "path")
    if corpus.path is not None and corpus.kind == "pair":
        yield from (("data", "src"), ("data", "tgt"))
