"""Translating and scoring the test sets of a run, or measuring a language model on them."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq import recipe
from seq2seq.data.corpus import read_pairs
from seq2seq.data.glossary import digest_glossary
from seq2seq.files import digest, read_record, write_record, write_text
from seq2seq.parallel import ALONE, World
from seq2seq.run import CheckpointName, Chosen, Run, digest_language_model
from seq2seq.scoring.metrics import Score, score
from seq2seq.scoring.suspicion import suspicions

if TYPE_CHECKING:
    from seq2seq.translate import Translator
    from seq2seq.translation.models import Models

Pairs = list[tuple[str, str]]
Measured = tuple[list[str], list[Score]]
"""A line for each of a test set, and scores."""

Measure = Callable[[str, Pairs], Measured]
"""What is made of a test set, by its name."""

PERPLEXITY = "PPL"
"""Score of language models: perplexity of a piece."""

logger = logging.getLogger(__name__)

_SCORES = "scores.json"


def evaluate(
    run_dir: Path,
    *,
    ensemble: Sequence[str | Path] = (),
    weights: Sequence[float] | None = None,
    decoding: recipe.Decoding | None = None,
    device: str | None = None,
    checkpoint: CheckpointName = "best",
    world: World = ALONE,
) -> dict[str, list[Score]]:
    """Translate and score each test set of a run's recipe.

    The translations go to `evaluation/NAME.hyp`, the scores with the settings that gave them to
    `evaluation/scores.json`. A test set that stands there with the same weights, settings and
    pairs is not translated again. Of a language model the score is perplexity, and the file has
    the log-probability of each line instead.

    Args:
        run_dir: the run directory.
        ensemble: runs that translate together with it.
        weights: of the run and of these; by default all alike.
        decoding: search settings other than the recipe's.
        device: device other than the recipe's.
        checkpoint: the weights to use.
        world: the processes that share the lines.

    Returns:
        Scores by the name of the test set.

    Raises:
        RunError: there is no trained model in one of the directories, or their target
            vocabularies differ.
        DataError: a test set cannot be read.
        FileError: another process evaluates this run, or its files cannot be written.
    """
    run = Run(run_dir)
    saved = run.load_recipe()
    decoding, data = decoding or saved.decoding, saved.data
    runs = [run, *(Run(Path(path)) for path in ensemble)]
    chosen = Chosen(ensemble=ensemble, weights=weights, device=device, checkpoint=checkpoint)
    settings = {
        "checkpoint": checkpoint,
        "ensemble": [str(path) for path in ensemble],
        "ensemble_weights": weights,
        "weights": [digest(one.existing_checkpoint(checkpoint)) for one in runs],
        "decoding": decoding.model_dump(mode="json", exclude=_no_part(decoding)),
        "glossary": digest_glossary(decoding),
        "language_model": digest_language_model(decoding),
        "evaluation": saved.evaluation.model_dump(mode="json"),
    }
    tests = _stored(run, settings)
    pairs = {name: list(read_pairs(test, data, "test")) for name, test in data.test.items()}
    missing = {name: own for name, own in pairs.items() if not _is_done(run, name, own, tests)}
    if missing:
        measure = _build_measure(run, chosen, decoding, world)
        with run.locked(run.evaluation):
            for name, own in missing.items():
                world.once(_store, run, settings, name, own, *measure(name, own))
        tests = _stored(run, settings)
    return {name: [_score(one) for one in tests[name]["scores"]] for name in data.test}


def _build_measure(run: Run, chosen: Chosen, decoding: recipe.Decoding, world: World) -> Measure:
    # Not for stored scores, as it takes seconds.
    from seq2seq.translate import Translator
    from seq2seq.translation.models import Models

    saved = run.load_recipe()
    if not saved.model.reads_source:
        return partial(_find_perplexity, Models.load(run.path, **chosen))
    translator = Translator.load(run.path, decoding=decoding, world=world, **chosen)
    return partial(_translate, translator, saved.evaluation)


def _is_done(run: Run, name: str, pairs: Pairs, tests: dict[str, Any]) -> bool:
    hyp, found = run.hypotheses(name), tests.get(name, {"pairs": None})
    return found["pairs"] == _key(pairs) and hyp.exists() and found["hyp"] == digest(hyp)


def _key(pairs: Pairs) -> str:
    return digest(json.dumps(pairs).encode())


def _store(
    run: Run,
    settings: dict[str, Any],
    name: str,
    pairs: Pairs,
    lines: list[str],
    scores: list[Score],
) -> None:
    """Write what was made of a test set, and its scores, beside those of the others."""
    hyp = run.hypotheses(name)
    if scores[0].name != PERPLEXITY:
        section = run.load_recipe().evaluation
        sources, references = map(list, zip(*pairs, strict=True))
        for message in suspicions(str(hyp), lines, [references], section, sources):
            logger.warning("warning: %s", message)
    write_text(hyp, "".join(line + "\n" for line in lines))
    test = {
        "hyp": digest(hyp),
        "scores": [asdict(one) for one in scores],
        "pairs": _key(pairs),
    }
    record = settings | {"tests": _stored(run, settings) | {name: test}}
    write_record(run.evaluation / _SCORES, record)


def _translate(
    translator: "Translator", section: recipe.Evaluation, name: str, pairs: Pairs
) -> Measured:
    """Translations, and their scores."""
    hypotheses = []
    for translation in translator.translate(src for src, _ in pairs):
        hypotheses.append(translation.text)
        if len(hypotheses) % 100 == 0:
            count = f"{len(hypotheses):,} of {len(pairs):,}"
            logger.info("translating %s: %s", name, count, extra={"progress": True})
    return hypotheses, score(hypotheses, [[tgt for _, tgt in pairs]], section)


def _find_perplexity(models: "Models", name: str, pairs: Pairs) -> Measured:
    """Log-probabilities, and the perplexity of all lines together, per piece and per word."""
    from seq2seq.probability import find_probabilities, perplexity

    lines, log_prob, pieces, words = [], 0.0, 0, 0
    for one in find_probabilities(models, pairs):
        lines.append(f"{one.log_prob:.4f}")
        log_prob += one.log_prob
        pieces, words = pieces + len(one.log_probs), words + len(one.words)
    scores = []
    for title, unit, count in ((PERPLEXITY, "piece", pieces), ("word PPL", "word", words)):
        signature = f"unit:{unit}|count:{count}|end:counted|case:mixed"
        scores.append(Score(title, perplexity(log_prob, count), signature, None))
    return lines, scores


def _stored(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """The test sets that were translated and scored with these settings."""
    record = read_record(run.evaluation / _SCORES) or {"tests": {}}
    tests: dict[str, Any] = record.pop("tests")
    return tests if record == settings else {}


def _score(stored: dict[str, Any]) -> Score:
    interval = stored["interval"]
    return Score(**stored | {"interval": interval and tuple(interval)})


def _no_part(decoding: recipe.Decoding) -> set[str]:
    """Keys of `decoding` that leave the best translations as they are."""
    return {"batch_size"} if decoding.sampling and decoding.mbr else {"batch_size", "n_best"}
