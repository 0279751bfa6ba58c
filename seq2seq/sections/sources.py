"""Where pairs of sentences come from: the part of a recipe that names corpora."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from seq2seq.keys import Chosen, Form
from seq2seq.settings import Section

FROM_CORPUS = Chosen("the corpus")
"""Marks keys whose best value depends on the training corpus; `seq2seq.choices` chooses them."""

Kind = Literal["pair", "tsv", "jsonl", "hub", "directory"]


class Corpus(Section):
    """Where pairs of sentences come from. A plain string is short for `path`."""

    path: str | None = None
    """What to read, by its form: `NAME.tsv`, `NAME.jsonl` (both also `.gz`), `hub:NAME` for a
    data set of the `datasets` hub, a directory in that layout, or else a prefix: `data/train`
    reads `data/train.SRC` and `data/train.TGT` (or these with `.gz`), SRC and TGT being
    `data.src` and `data.tgt`. Without a source language (`data.src: null`) a prefix reads
    `data/train.TGT` alone; the path of a file, that file."""

    src: str | None = None
    """File with the source side, one sentence a line (`.gz` allowed); instead of `path`."""

    tgt: str | None = None
    """File with the target side, line by line parallel to `src` if there is a source language;
    instead of `path`."""

    columns: tuple[str, str] | None = None
    """Source and target column: names for JSON lines and `datasets` (`translation.en` reaches
    into a record), 1-based numbers for TSV. Default: `data.src` and `data.tgt`, for TSV 1 and 2.
    Without a source language only the second one is read."""

    config: str | None = None
    """Configuration of a `datasets` data set."""

    split: str | None = None
    """Split of a `datasets` data set. Default: `train`, `validation` or `test` by its use here."""

    @property
    def kind(self) -> Kind:
        """The form that the corpus has; `pair` is two parallel files."""
        if self.path is None:
            return "pair"
        if self.path.startswith("hub:"):
            return "hub"
        name = self.path.removesuffix(".gz")
        if name.endswith(".tsv"):
            return "tsv"
        if name.endswith(".jsonl"):
            return "jsonl"
        return "directory" if Path(self.path).is_dir() else "pair"

    def files(self, src_lang: str | None, tgt_lang: str) -> list[Path]:
        """The files to read, of which `NAME.gz` stands in for `NAME` where only that exists.

        They may be missing. Source (if there is a source language) and target for a pair, one for
        TSV and JSON lines, all files below it for a directory, none for the hub.
        """
        kind = self.kind
        if kind == "hub":
            return []
        if kind == "directory":
            return sorted(file for file in Path(str(self.path)).rglob("*") if file.is_file())
        if kind in ("tsv", "jsonl"):
            names = [str(self.path)]
        elif self.path is not None:
            names = [f"{self.path}.{lang}" for lang in (src_lang, tgt_lang) if lang is not None]
            if src_lang is None and Path(self.path).is_file():
                names = [self.path]
        else:
            names = [name for name in (self.src, self.tgt) if name is not None]
        return [_or_compressed(Path(name)) for name in names]


def _or_compressed(file: Path) -> Path:
    compressed = Path(f"{file}.gz")
    return compressed if not file.exists() and compressed.exists() else file


def _corpus_from_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str | dict | Corpus) else value


CorpusList = Annotated[
    tuple[
        Annotated[Corpus, BeforeValidator(_corpus_from_path, json_schema_input_type=str | Corpus)],
        ...,
    ],
    BeforeValidator(_one_or_more, json_schema_input_type=str | Corpus | tuple[str | Corpus, ...]),
    Form("a corpus (a path, or a section with path or src and tgt) or a list of corpora"),
]

PathList = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...]),
    Form("a path or a list of paths"),
]
