"""The first stage of a run: corpora are read, tokenizers trained, pairs encoded.

Everything is keyed by content: a tokenizer by the text and settings it was trained with, encoded
pairs by their text, the tokenizer models and the limits. What is there and fits is used again, so
a second call returns at once. Each part is built aside and renamed when it is complete.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from seq2seq import recipe as recipes
from seq2seq.choices import choose, open_keys
from seq2seq.data.clean import Ledger, Limits
from seq2seq.data.corpus import Use, read_pairs
from seq2seq.data.encoding import EncodedCorpus, Sampling, read_ledger, write_corpus
from seq2seq.data.noise import build_noise
from seq2seq.data.statistics import Statistics, count_statistics
from seq2seq.data.tokenizer import Tokenizer, Tokenizers, load_tokenizers, save_tokenizers
from seq2seq.errors import DataError, RunError
from seq2seq.files import digest, write_text
from seq2seq.recipe import dump_recipe
from seq2seq.run import Run

logger = logging.getLogger(__name__)

_FORMAT = 1
_KEY = "key"
_STATISTICS = "statistics.json"


@dataclass(frozen=True)
class Prepared:
    """What training needs.

    Attributes:
        recipe: With nothing left to choose.
        tokenizers: Of the two sides.
        train: Training pairs within the limits.
        dev: All development pairs, in the order of their lines.
        ledger: What became of the training pairs.
        key: Names the content of all these.
    """

    recipe: recipes.Recipe
    tokenizers: Tokenizers
    train: EncodedCorpus
    dev: EncodedCorpus
    ledger: Ledger
    key: str


def prepare(recipe: recipes.Recipe) -> Prepared:
    """Bring tokenizers and encoded pairs into the run directory, as far as they aren't there.

    What the recipe leaves open is chosen first.

    Raises:
        DataError: Files are missing and `data.script` doesn't make them, or corpora, tokenizer
            models or settings don't fit together.
        RunError: The run was trained with another recipe or on other text.
    """
    run = Run(Path(recipe.output_dir))
    data, folder = recipe.data, run.data
    _make_missing_files(data)
    digests = _Digests(folder / "digests.json")
    train_key = digests.of_corpora(data.train, data, "train")
    statistics = _count_or_recall(recipe, run, train_key)
    completed = choose(recipe, statistics)
    recipe, section = completed.recipe, completed.recipe.tokenizer
    run.claim(recipe, completed.reasons)
    folder.mkdir(exist_ok=True)
    _remember(statistics, run, train_key)
    dev_key = digests.of_corpora(data.dev, data, "dev")

    tokenizers = _prepare_tokenizers(recipe, run, train_key, digests).directed(data)
    models = [digest(side.serialize()) for side in (tokenizers.src, tokenizers.tgt)]
    turned = [side for side in ("src", "tgt") if getattr(data, f"reverse_{side}")]
    coding = [_FORMAT, *models, section.lowercase, *turned]
    limits = Limits(data.max_length, data.max_ratio)
    with_text = section.sampling > 0
    _prepare_corpus(
        run,
        "train",
        _key(coding, train_key, asdict(limits), with_text),
        lambda: read_pairs(data.train, data, "train"),
        tokenizers,
        limits,
        with_text,
    )
    _prepare_corpus(
        run,
        "dev",
        _key(coding, dev_key),
        lambda: read_pairs(data.dev, data, "dev"),
        tokenizers,
    )
    digests.save()
    ledger = read_ledger(folder / "train")
    if not ledger.kept:
        raise DataError(f"data.train: {ledger}; raise data.max_length or data.max_ratio")
    sampling = Sampling(tokenizers, section.sampling, recipe.seed) if with_text else None
    noise = build_noise(recipe.training, recipe.seed)
    train = EncodedCorpus(folder / "train", sampling, noise)
    key = _key(_read_key(folder / "train"), _read_key(folder / "dev"))
    return Prepared(recipe, tokenizers, train, EncodedCorpus(folder / "dev"), ledger, key)


def read_dev(recipe: recipes.Recipe) -> tuple[list[str], list[str]]:
    """Raw source and target lines of the development set, parallel to `Prepared.dev`."""
    pairs = list(read_pairs(recipe.data.dev, recipe.data, "dev"))
    return [src for src, _ in pairs], [tgt for _, tgt in pairs]


def preview(recipe: recipes.Recipe) -> str:
    """The recipe in full as `prepare` will save it, open where its training text isn't at hand.

    Raises:
        DataError: The text cannot be read.
    """
    data, run = recipe.data, Run(Path(recipe.output_dir))
    files = [file for corpus in data.train for file in corpus.files(data.src, data.tgt)]
    if not all(file.exists() for file in files) or any(c.kind == "hub" for c in data.train):
        return dump_recipe(recipe, still_open=open_keys(recipe))
    digests = _Digests(run.data / "digests.json")
    key = digests.of_corpora(data.train, data, "train")
    completed = choose(recipe, _count_or_recall(recipe, run, key))
    return dump_recipe(completed.recipe, completed.reasons)


def _count_or_recall(recipe: recipes.Recipe, run: Run, key: str) -> Statistics:
    """Statistics of the training text; for a trained run those that it was trained with.

    So choices stay as they are, and text that has changed is told as such.
    """
    try:
        found = json.loads((run.data / _STATISTICS).read_text(encoding="utf-8"))
        if found.pop("key") == key or run.is_trained:
            return Statistics.from_dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return count_statistics(read_pairs(recipe.data.train, recipe.data, "train"))


def _remember(statistics: Statistics, run: Run, key: str) -> None:
    path = run.data / _STATISTICS
    text = json.dumps({"key": key} | statistics.to_dict(), indent=1)
    if not path.exists() or not (run.is_trained or path.read_text(encoding="utf-8") == text):
        write_text(path, text)


def _make_missing_files(data: recipes.Data) -> None:
    missing = _missing_files(data)
    if missing and data.script is not None:
        logger.info("%s is missing; running %s", missing[0], data.script)
        status = subprocess.run([sys.executable, data.script], check=False).returncode
        if status:
            raise DataError(f"{data.script}: ended with status {status}; see its output above")
        missing = _missing_files(data)
        if missing:
            raise DataError(
                f"{missing[0]}: still missing after {data.script}; mend one or the other"
            )
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"{missing[0]}: no such file{more}; mend the path under data")


def _missing_files(data: recipes.Data) -> list[Path]:
    corpora = [*data.train, *data.dev, *(corpus for test in data.test.values() for corpus in test)]
    files = (file for corpus in corpora for file in corpus.files(data.src, data.tgt))
    return [file for file in files if not file.exists()]


def _prepare_tokenizers(
    recipe: recipes.Recipe, run: Run, train_key: str, digests: "_Digests"
) -> Tokenizers:
    section, folder = recipe.tokenizer, run.tokenizer
    given = section.model or section.src_model
    if given:
        models = [section.model] if section.model else [section.src_model, section.tgt_model]
        paths = [Path(str(model)) for model in models]
        key = _key("given", [digests.of_file(path) for path in paths], section.lowercase)
    else:
        settings = section.model_dump(exclude={"sampling", "model", "src_model", "tgt_model"})
        key = _key("trained", settings, train_key)
    if _is_done(run, folder, key, "the tokenizer models" if given else "data.train"):
        return load_tokenizers(folder)
    if given:
        sides = [Tokenizer.load(path, lowercase=section.lowercase) for path in paths]
        tokenizers = Tokenizers(sides[0], sides[-1])
    else:
        # Training alone needs this module, and a trained run none of it.
        from seq2seq.data.tokenizer_training import train_tokenizers

        logger.info("training the tokenizer")
        data = recipe.data
        tokenizers = train_tokenizers(lambda: read_pairs(data.train, data, "train"), section)
        sizes = {len(tokenizers.src): None, len(tokenizers.tgt): None}
        logger.info("trained the tokenizer: %s pieces", " and ".join(f"{n:,}" for n in sizes))
    with _building(folder, key) as partial:
        save_tokenizers(tokenizers, partial)
    return tokenizers


def _prepare_corpus(
    run: Run,
    name: str,
    key: str,
    read: Callable[[], Iterator[tuple[str, str]]],
    tokenizers: Tokenizers,
    limits: Limits | None = None,
    with_text: bool = False,
) -> None:
    folder = run.data / name
    if _is_done(run, folder, key, f"data.{name}"):
        return
    ledger = Ledger()
    with _building(folder, key) as partial:
        for ledger in write_corpus(read(), tokenizers, partial, limits=limits, with_text=with_text):
            logger.info(
                "encoding %s: %s pairs", folder.name, f"{ledger.read:,}", extra={"progress": True}
            )
    logger.info("encoded %s: %s", folder.name, ledger)


def _is_done(run: Run, folder: Path, key: str, source: str) -> bool:
    """Whether a folder holds the content of this key; a trained run may have no other."""
    found = _read_key(folder)
    if found not in (None, key) and run.is_trained:
        raise RunError(
            f"{run.path}: what is in {source} has changed since this run was trained; "
            "take it back, or give another output_dir to train anew"
        )
    return found == key


@contextmanager
def _building(folder: Path, key: str) -> Iterator[Path]:
    """Give an empty folder to fill, and put it in place with its key when that has gone well."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    (partial / _KEY).write_text(key, encoding="ascii")
    for path in partial.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _read_key(folder: Path) -> str | None:
    try:
        return (folder / _KEY).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None


def _key(*parts: object) -> str:
    return digest(json.dumps(parts, sort_keys=True).encode())


class _Digests:
    """Digests of files, remembered by path, size and time of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: dict[str, list[object]] = {}
        try:
            self._known = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            self._known = {}
        self._saved = dict(self._known)

    def of_file(self, path: Path) -> str:
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            name = str(path.resolve())
            known = self._known.get(name)
            if known is None or known[:2] != stamp:
                known = [*stamp, digest(path)]
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); is the path right?"
            ) from None
        self._used[name] = self._known[name] = known
        return str(known[2])

    def of_corpora(self, corpora: Sequence[recipes.Corpus], data: recipes.Data, use: Use) -> str:
        """The key of the pairs that `read_pairs` gives.

        A data set of the hub goes by its name: it isn't asked again for news.
        """
        parts: list[object] = []
        for corpus in corpora:
            files = corpus.files(data.src, data.tgt)
            names = [file.name for file in files] if corpus.kind == "directory" else []
            contents = [self.of_file(file) for file in files]
            where = corpus.path if corpus.kind == "hub" else None
            columns, config, split = corpus.columns, corpus.config, corpus.split
            parts.append([corpus.kind, where, names, contents, columns, config, split])
        return _key(use, data.src, data.tgt, parts)

    def save(self) -> None:
        if self._used == self._saved:
            return
        write_text(self._path, json.dumps(self._used, indent=1))
