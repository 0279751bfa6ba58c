"""Training pairs that trained runs make: distillation and back-translation.

Translating takes the time of a training, so it is a stage of its own: kept in the run directory by
the content of what goes into it (weights, tokenizers, search settings, text), and when it is
broken off it goes on after the last line that was translated.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq import recipe as recipes
from seq2seq.data.corpus import read_lines, read_pairs
from seq2seq.data.glossary import digest_glossary
from seq2seq.errors import DataError
from seq2seq.files import drop_unfinished
from seq2seq.run import Run, digest_language_model
from seq2seq.stages import Digests, building, content_key, is_done

logger = logging.getLogger(__name__)

_GIVEN, _MADE = "given.txt", "made.txt"
_LINES_PER_RECORD = 100
"""Lines between two records of progress."""


@dataclass(frozen=True)
class Stage:
    """Text to be translated.

    Attributes:
        key: of the recipe.
        name: how the pairs come about, in a word for the log and the folder.
        runs: that translate together.
        decoding: search settings.
        text_key: names the content of the text.
        read: reads the text line by line.
        tag: word before each translation.
    """

    key: str
    name: str
    runs: Sequence[Run]
    decoding: recipes.Decoding
    text_key: str
    read: Callable[[], Iterator[str]]
    tag: str | None = None


def synthesise(
    recipe: recipes.Recipe, run: Run, digests: Digests
) -> dict[str, tuple[recipes.Corpus]]:
    """Bring the synthetic pairs of a recipe into its run directory, as far as they aren't there.

    Args:
        recipe: the recipe.
        run: its run, claimed.
        digests: of files.

    Returns:
        Where the pairs are, by how they came about: nothing if the recipe asks for nothing.

    Raises:
        RunError: a run that is to translate isn't trained or of the opposite direction, or what
            goes into a stage has changed since the recipe's own run was trained.
        DataError: the text cannot be read.
    """
    data, found = recipe.data, {}
    if data.distillation.runs is not None:
        stage = _distillation(data, data.distillation.runs, digests)
        folder = _carry_out(stage, recipe.device, run, digests)
        found[stage.name] = (_corpus(folder / _GIVEN, folder / _MADE),)
    if data.back_translation.runs is not None:
        stage = _back_translation(data, data.back_translation.runs, digests, recipe.seed)
        folder = _carry_out(stage, recipe.device, run, digests)
        found[stage.name] = (_corpus(folder / _MADE, folder / _GIVEN),)
    return found


def _corpus(src: Path, tgt: Path) -> recipes.Corpus:
    return recipes.Corpus(src=str(src), tgt=str(tgt))


def _distillation(data: recipes.Data, names: Sequence[str], digests: Digests) -> Stage:
    key, runs = "data.distillation", [Run(Path(name)) for name in names]
    return Stage(
        key,
        "distilled",
        runs,
        _decoding(key, runs, _best(data.distillation.beam_size), data.src, data.tgt),
        digests.of_corpora(data.train, data, "train"),
        lambda: (src for src, _ in read_pairs(data.train, data, "train")),
    )


def _back_translation(
    data: recipes.Data, names: Sequence[str], digests: Digests, seed: int
) -> Stage:
    key, runs = "data.back_translation", [Run(Path(name)) for name in names]
    section = data.back_translation
    files = [Path(name) for name in section.text or ()]
    how = _samples(seed) if section.sampling else _best(section.beam_size)
    return Stage(
        key,
        "back-translated",
        runs,
        _decoding(key, runs, how, data.tgt, data.src),
        content_key([digests.of_file(file) for file in files]),
        lambda: (line for file in files for line in read_lines(file)),
        section.tag,
    )


def _best(beam_size: int) -> dict[str, Any]:
    """Search settings of the best translation."""
    return {"sampling": False, "beam_size": beam_size, "n_best": 1, "diversity_groups": 1}


def _samples(seed: int) -> dict[str, Any]:
    """Those of one sample, a function of seed and sentence; what only search knows is off."""
    search = {"mbr": None, "glossary": None, "coverage_penalty": 0.0, "diversity_groups": 1}
    return {"sampling": True, "sampling_seed": seed, "n_best": 1, **search}


def _decoding(
    key: str, runs: Sequence[Run], changed: dict[str, Any], src: str | None, tgt: str | None
) -> recipes.Decoding:
    """Search settings of the first run; all of the runs must translate from src into tgt."""
    for run in runs:
        run.check_direction(f"{key}.runs", src, tgt)
    return runs[0].load_recipe().decoding.model_copy(update=changed)


def _carry_out(stage: Stage, device: str, run: Run, digests: Digests) -> Path:
    """Translate what isn't translated yet; the folder with the two sides."""
    folder = run.path / "data" / stage.name
    files = [
        [one.existing_checkpoint("best"), *sorted(one.tokenizer.iterdir())] for one in stage.runs
    ]
    models = [[digests.of_file(file) for file in own if file.is_file()] for own in files]
    settings = stage.decoding.model_dump(mode="json", exclude={"batch_size"})
    files_of_search = [digest_glossary(stage.decoding), digest_language_model(stage.decoding)]
    key = content_key(models, settings, files_of_search, stage.text_key, stage.tag)
    if is_done(run, folder, key, stage.key):
        return folder
    with building(folder, key, goes_on=True) as partial:
        total = _copy(stage, partial / _GIVEN)
        _translate(stage, device, partial, total)
    names = " and ".join(str(one.path) for one in stage.runs)
    logger.info("%s %s lines by %s", stage.name, f"{total:,}", names)
    return folder


def _copy(stage: Stage, given: Path) -> int:
    """Write the text itself; the number of its lines."""
    count = 0
    with given.open("w", encoding="utf-8", newline="\n") as file:
        for line in stage.read():
            file.write(f"{line}\n")
            count += 1
    if not count:
        raise DataError(f"{stage.key}: its text has no lines; give some, or set runs: null")
    return count


def _translate(stage: Stage, device: str, folder: Path, total: int) -> None:
    """Write the translations that follow those that are there, a line for each of the text."""
    # A stage that is done does without torch.
    from seq2seq.translate import Translator

    given, made = folder / _GIVEN, folder / _MADE
    count = drop_unfinished(made)
    if count:
        logger.info("going on after %s %s lines", f"{count:,}", stage.name)
    first, *others = (one.path for one in stage.runs)
    translator = Translator.load(first, ensemble=others, decoding=stage.decoding, device=device)
    tag = f"{stage.tag} " if stage.tag else ""
    with made.open("a", encoding="utf-8", newline="\n") as file:
        for translation in translator.translate(islice(read_lines(given), count, None)):
            text = translation.text
            file.write(f"{tag}{text}\n" if text else "\n")
            count += 1
            if count % _LINES_PER_RECORD == 0:
                file.flush()
                done = f"{count:,} of {total:,}"
                logger.info("%s: %s lines", stage.name, done, extra={"progress": True})
    assert count == total, (count, total)
