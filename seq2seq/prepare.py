"""The first stages of a run: corpora are read, tokenizers trained, pairs made and encoded.

Everything is keyed by content: a tokenizer by the text and settings it was trained with, encoded
pairs by their text, the tokenizer models and the limits. What is there and fits is used again, so
a second call returns at once. Each part is built aside and renamed when it is complete.
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq import recipe as recipes
from seq2seq.choices import Completed, choose, open_keys, value_at
from seq2seq.data.build import LINES, build_stream, is_mixed, load_train, read_first
from seq2seq.data.clean import Ledger, Limits
from seq2seq.data.corpus import Pair, read_pairs, read_tests
from seq2seq.data.encoding import EncodedCorpus, write_corpus
from seq2seq.data.parallel import default_num_workers
from seq2seq.data.statistics import Statistics, count_statistics
from seq2seq.data.stream import Stream
from seq2seq.data.tokenizer import Tokenizer, Tokenizers, load_tokenizers, save_tokenizers
from seq2seq.errors import DataError
from seq2seq.files import digest, read_record, told, write_record
from seq2seq.lint import lint_dev, lint_pairs, lint_recipe
from seq2seq.recipe import dump_recipe
from seq2seq.run import Run
from seq2seq.stages import Digests, building, content_key, is_done, read_key
from seq2seq.synthesis import synthesise

logger = logging.getLogger(__name__)

_FORMAT = 1
_STATISTICS = "statistics.json"
_STAYS = "validate_every", "early_stopping_metric", "learning_rate"
_SECONDS_BETWEEN_BARS = 0.5
_PAIRS_BETWEEN_LOOKS = 10_000


@dataclass(frozen=True)
class Prepared:
    """What training needs.

    Attributes:
        recipe: With nothing left to choose.
        reasons: Why values were chosen that nobody gave, by dotted key.
        tokenizers: Of the two sides.
        train: Training pairs within the limits, or where they come from.
        dev: All development pairs, in the order of their lines.
        key: Names the content of all these.
    """

    recipe: recipes.Recipe
    reasons: Mapping[str, str]
    tokenizers: Tokenizers
    train: EncodedCorpus | Stream
    dev: EncodedCorpus
    key: str

    @property
    def ledger(self) -> Ledger:
        """What became of the training pairs; of a stream it is those of the first chunk."""
        return self.train.ledger

    @property
    def account(self) -> str:
        """That in words."""
        return f"{self.ledger}{' (the first chunk)' * isinstance(self.train, Stream)}"


def prepare(recipe: recipes.Recipe, batch_size: int | None = None) -> Prepared:
    """Bring tokenizers and encoded pairs into the run directory, as far as they aren't there.

    What the recipe leaves open is chosen first; `batch_size` is what `auto` was found to be.

    Raises:
        DataError: Files are missing and `data.script` doesn't make them, or corpora, tokenizer
            models or settings don't fit together.
        RunError: The run was trained with another recipe or on other text.
    """
    run = Run(Path(recipe.output_dir))
    data, folder = recipe.data, run.data
    _make_missing_files(data)
    if not run.is_trained:
        read_tests(data)
    digests = Digests(folder / "digests.json")
    train_key = digests.of_corpora(data.train, data, "train")
    statistics = _count_or_recall(recipe, run, train_key)
    completed = _complete(recipe, statistics, run, batch_size)
    with run.locked():
        run.claim(completed.recipe, completed.reasons)
        with told(folder, "written"):
            folder.mkdir(exist_ok=True)
        _remember(statistics, run, train_key)
        prepared = _prepare(completed, run, train_key, digests, statistics.pairs)
    if not run.is_trained:
        _warn(lint_recipe(prepared.recipe, statistics))
        _warn(lint_pairs(prepared.train.head, prepared.dev))
        _warn(lint_dev(prepared.recipe.training, prepared.train.head, prepared.dev))
    return prepared


def _prepare(
    completed: Completed, run: Run, train_key: str, digests: Digests, num_pairs: int
) -> Prepared:
    """Make what isn't there, in a run directory that is claimed."""
    recipe, reasons = completed.recipe, completed.reasons
    data, folder = recipe.data, run.data
    dev_key = digests.of_corpora(data.dev, data, "dev")

    tokenizers = _prepare_tokenizers(recipe, run, train_key, digests).directed(data)
    models = [digest(side.serialize()) for side in (tokenizers.src, tokenizers.tgt)]
    turned = [side for side in ("src", "tgt") if getattr(data, f"reverse_{side}")]
    coding = [_FORMAT, *models, tokenizers.src.lowercase, *turned]
    train: EncodedCorpus | Stream
    if data.streaming:
        train, key = build_stream(recipe, tokenizers), content_key(coding, train_key)
    else:
        corpora = _prepare_train(recipe, run, tokenizers, coding, digests, num_pairs)
        train = load_train(recipe, folder / "train", tokenizers, corpora)
        key = str(read_key(folder / "train"))
    _prepare_corpus(
        run,
        "dev",
        content_key(coding, dev_key),
        lambda: read_pairs(data.dev, data, "dev"),
        tokenizers,
    )
    digests.save()
    dev = EncodedCorpus(folder / "dev")
    key = content_key(key, read_key(folder / "dev"))
    return Prepared(recipe, reasons, tokenizers, train, dev, key)


def read_dev(recipe: recipes.Recipe) -> tuple[list[str], list[str]]:
    """Raw source and target lines of the development set, parallel to `Prepared.dev`."""
    pairs = list(read_pairs(recipe.data.dev, recipe.data, "dev"))
    return [src for src, _ in pairs], [tgt for _, tgt in pairs]


def _prepare_train(
    recipe: recipes.Recipe,
    run: Run,
    tokenizers: Tokenizers,
    coding: Sequence[object],
    digests: Digests,
    num_pairs: int,
) -> list[recipes.Corpus]:
    """Encode the training pairs; the corpora that they come from, synthetic ones included."""
    data, with_text = recipe.data, recipe.tokenizer.sampling > 0
    limits = Limits(data.max_length, data.max_ratio, recipe.model.reads_source)
    bounds = {key: getattr(data, key) for key in ("max_length", "max_ratio")}
    origins: dict[str, Sequence[recipes.Corpus]] = {"pairs": data.train}
    origins |= synthesise(recipe, run, digests)
    if not data.distillation.keep_original:
        del origins["pairs"]
    corpora = [corpus for group in origins.values() for corpus in group]
    text = digests.of_corpora(corpora, data, "train")
    lines: list[int] = []
    _prepare_corpus(
        run,
        "train",
        # Caches of older versions don't know whose their lines are.
        content_key(coding, text, bounds, with_text, *[LINES] * is_mixed(data)),
        lambda: _read_origins(origins, data, lines),
        tokenizers,
        limits,
        with_text,
        data.num_workers or default_num_workers(len(origins) * num_pairs),
        num_pairs if list(origins) == ["pairs"] else None,
        lines,
    )
    return corpora


def _read_origins(
    origins: Mapping[str, Sequence[recipes.Corpus]], data: recipes.Data, lines: list[int]
) -> Iterator[Pair]:
    """Read training pairs of all origins, and tell at the end how many there were of each.

    Those of each corpus are added to `lines`.
    """
    counts = dict.fromkeys(origins, 0)
    for name, corpora in origins.items():
        for corpus in corpora:
            lines.append(0)
            for pair in read_pairs([corpus], data, "train"):
                lines[-1] += 1
                yield pair
            counts[name] += lines[-1]
    if list(origins) != ["pairs"]:
        logger.info("training on %s", " + ".join(f"{n:,} {name}" for name, n in counts.items()))


def preview(recipe: recipes.Recipe) -> str:
    """The recipe in full as `prepare` will save it, open where its training text isn't at hand.

    Warnings are those of `prepare`, but for what only encoded pairs show.

    Raises:
        DataError: The text cannot be read.
    """
    data, run = recipe.data, Run(Path(recipe.output_dir))
    files = [file for corpus in data.train for file in corpus.files(data.src, data.tgt)]
    if not all(file.exists() for file in files) or any(c.kind == "hub" for c in data.train):
        _warn(lint_recipe(recipe))
        return dump_recipe(recipe, still_open=open_keys(recipe))
    digests = Digests(run.data / "digests.json")
    key = digests.of_corpora(data.train, data, "train")
    statistics = _count_or_recall(recipe, run, key)
    completed = _complete(recipe, statistics, run)
    _warn(lint_recipe(completed.recipe, statistics))
    return dump_recipe(completed.recipe, completed.reasons)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        logger.warning("warning: %s", line)


def _count_or_recall(recipe: recipes.Recipe, run: Run, key: str) -> Statistics:
    """Statistics of the training text; for a trained run those that it was trained with.

    So choices stay as they are, and text that has changed is told as such.
    """
    found = read_record(run.data / _STATISTICS) or {}
    known = found.pop("key", None)
    # Those of older versions lack some.
    if found.keys() == Statistics.names() and (known == key or run.is_trained):
        return Statistics.from_dict(found)
    pairs = _watched(read_first(recipe.data), "reading train")
    if not recipe.model.reads_source:
        pairs = ((tgt, tgt) for _, tgt in pairs)  # like the pairs of one language with itself
    return count_statistics(pairs)


def _complete(
    recipe: recipes.Recipe, statistics: Statistics, run: Run, batch_size: int | None = None
) -> Completed:
    """The recipe with nothing left to choose.

    A trained run keeps the batch size it has found, its network and pieces, and when and by what it
    is validated: limits that may change have a part in it, or older versions chose otherwise.
    """
    kept = {}
    if run.is_trained and run.recipe_file.exists():
        saved = run.load_recipe()
        own = ("tokenizer.", "model.", *map("training.{}".format, _STAYS))
        kept = {key: value_at(saved, key) for key in open_keys(recipe) if key.startswith(own)}
        if recipe.training.batch_size == recipes.AUTO:
            batch_size = saved.training.batch_size
    return choose(recipe, statistics, _first_recipe(recipe), batch_size, kept)


def _first_recipe(recipe: recipes.Recipe) -> recipes.Recipe | None:
    """The recipe of the run that training begins with, if it does with one."""
    first = recipe.training.init_from
    return None if first is None else Run(Path(first)).load_recipe()


def _remember(statistics: Statistics, run: Run, key: str) -> None:
    path, record = run.data / _STATISTICS, {"key": key} | statistics.to_dict()
    known = read_record(path)
    if known is None or (known != record and not run.is_trained):
        write_record(path, record)


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
    text = map(Path, data.back_translation.text or ())
    return [file for file in (*files, *text) if not file.exists()]


def _prepare_tokenizers(
    recipe: recipes.Recipe, run: Run, train_key: str, digests: Digests
) -> Tokenizers:
    section, folder = recipe.tokenizer, run.tokenizer
    given = _given_tokenizers(recipe)
    if given is not None:
        read, files, lowercase, source = given
        key = content_key("given", [digests.of_file(file) for file in files], lowercase)
    else:
        settings = section.model_dump(exclude={"sampling", "model", "src_model", "tgt_model"})
        if not settings["tgt_min_count"]:
            del settings["tgt_min_count"]  # older versions made the key without it
        key, source = content_key("trained", settings, train_key), "data.train"
    if is_done(run, folder, key, source):
        return load_tokenizers(folder)
    if given is not None:
        tokenizers = read()
    else:
        # Training alone needs this module, and a trained run none of it.
        from seq2seq.data.tokenizer_training import train_tokenizers

        logger.info("training the tokenizer")
        tokenizers = train_tokenizers(lambda: read_first(recipe.data), section)
        sizes = {len(tokenizers.src): None, len(tokenizers.tgt): None}
        logger.info("trained the tokenizer: %s pieces", " and ".join(f"{n:,}" for n in sizes))
    with building(folder, key) as partial:
        save_tokenizers(tokenizers, partial)
    return tokenizers


def _given_tokenizers(
    recipe: recipes.Recipe,
) -> tuple[Callable[[], Tokenizers], list[Path], bool, str] | None:
    """What loads tokenizers that aren't to be trained, their files, casing and name for errors."""
    section = recipe.tokenizer
    if recipe.training.init_from is not None:
        folder = Run(Path(recipe.training.init_from)).tokenizer
        files = sorted(folder.glob("*.model"))
        lowercase = load_tokenizers(folder).src.lowercase
        return lambda: load_tokenizers(folder), files, lowercase, "training.init_from"
    models = [section.model] if section.model else [section.src_model, section.tgt_model]
    files = [Path(model) for model in models if model is not None]
    if not files:
        return None

    def read() -> Tokenizers:
        sides = [Tokenizer.load(file, lowercase=section.lowercase) for file in files]
        return Tokenizers(sides[0], sides[-1].for_target())

    return read, files, section.lowercase, "the tokenizer models"


def _prepare_corpus(
    run: Run,
    name: str,
    key: str,
    read: Callable[[], Iterator[tuple[str, str]]],
    tokenizers: Tokenizers,
    limits: Limits | None = None,
    with_text: bool = False,
    num_workers: int = 1,
    total: int | None = None,
    lines: Sequence[int] = (),
) -> None:
    folder = run.data / name
    if is_done(run, folder, key, f"data.{name}"):
        return
    ledger, show = Ledger(), _bar(f"encoding {name}", total)
    with building(folder, key) as partial:
        for ledger in write_corpus(
            read(), tokenizers, partial, limits=limits, with_text=with_text, num_workers=num_workers
        ):
            show(ledger.read - ledger.blank)
        (partial / LINES).write_text(json.dumps(lines), encoding="utf-8")
    logger.info("encoded %s: %s", folder.name, ledger)


def _watched(pairs: Iterable[Pair], name: str) -> Iterator[Pair]:
    """The same pairs, while the log tells how many."""
    show = _bar(name, None)
    for count, pair in enumerate(pairs, start=1):
        yield pair
        if count % _PAIRS_BETWEEN_LOOKS == 0:
            show(count)


def _bar(name: str, total: int | None) -> Callable[[int], None]:
    """What logs, now and then, how many pairs of all are done, how fast and for how long yet."""
    from tqdm import tqdm

    started = shown = time.monotonic()

    def show(done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_BARS:
            shown = now
            seconds, size = now - started, total or 0
            bar = tqdm.format_meter(done, size, seconds, 79, name, unit=" pairs", unit_scale=True)
            logger.info("%s", bar, extra={"progress": True, "passing": True})

    return show
