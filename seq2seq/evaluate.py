"""Translating and scoring the test sets of a run."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq import recipe
from seq2seq.data.corpus import read_pairs
from seq2seq.data.glossary import digest_glossary
from seq2seq.files import digest, read_record, write_record, write_text
from seq2seq.parallel import ALONE, World
from seq2seq.run import CheckpointName, Run
from seq2seq.scoring.metrics import Score, score
from seq2seq.scoring.suspicion import suspicions

if TYPE_CHECKING:
    from seq2seq.translate import Translator

Pairs = list[tuple[str, str]]

logger = logging.getLogger(__name__)

_SCORES = "scores.json"
_NO_PART = {"batch_size", "n_best"}
"""Keys of `decoding` that leave the best translations as they are."""


def evaluate(
    run_dir: Path,
    *,
    ensemble: Sequence[Path] = (),
    weights: Sequence[float] | None = None,
    decoding: recipe.Decoding | None = None,
    device: str | None = None,
    checkpoint: CheckpointName = "best",
    world: World = ALONE,
) -> dict[str, list[Score]]:
    """Translate and score each test set of a run's recipe.

    The translations go to `evaluation/NAME.hyp`, the scores with the settings that gave them to
    `evaluation/scores.json`. A test set that stands there with the same weights, settings and
    pairs is not translated again.

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
    runs = [run, *map(Run, ensemble)]
    settings = {
        "checkpoint": checkpoint,
        "ensemble": [str(path) for path in ensemble],
        "ensemble_weights": weights,
        "weights": [digest(one.existing_checkpoint(checkpoint)) for one in runs],
        "decoding": decoding.model_dump(mode="json", exclude=_NO_PART),
        "glossary": digest_glossary(decoding),
        "evaluation": saved.evaluation.model_dump(mode="json"),
    }
    tests = _stored(run, settings)
    pairs = {name: list(read_pairs(test, data, "test")) for name, test in data.test.items()}
    missing = {name: own for name, own in pairs.items() if not _is_done(run, name, own, tests)}
    if missing:
        from seq2seq.translate import Translator  # not for stored scores, as it takes seconds

        load = partial(Translator.load, run_dir, ensemble=ensemble, weights=weights)
        translator = load(decoding=decoding, device=device, checkpoint=checkpoint, world=world)
        with run.locked(run.evaluation):
            for name, own in missing.items():
                world.once(_store, run, settings, name, own, _translate(translator, name, own))
        tests = _stored(run, settings)
    return {name: [_score(one) for one in tests[name]["scores"]] for name in data.test}


def _is_done(run: Run, name: str, pairs: Pairs, tests: dict[str, Any]) -> bool:
    hyp, found = run.hypotheses(name), tests.get(name, {"pairs": None})
    return found["pairs"] == _key(pairs) and hyp.exists() and found["hyp"] == digest(hyp)


def _key(pairs: Pairs) -> str:
    return digest(json.dumps(pairs).encode())


def _store(
    run: Run, settings: dict[str, Any], name: str, pairs: Pairs, hypotheses: list[str]
) -> None:
    """Score the translations of a test set, and write both beside those of the others."""
    section = run.load_recipe().evaluation
    sources, references = map(list, zip(*pairs, strict=True))
    scores = score(hypotheses, [references], section)
    hyp = run.hypotheses(name)
    for message in suspicions(str(hyp), hypotheses, [references], section, sources):
        logger.warning("warning: %s", message)
    write_text(hyp, "".join(hypothesis + "\n" for hypothesis in hypotheses))
    test = {
        "hyp": digest(hyp),
        "scores": [asdict(one) for one in scores],
        "pairs": _key(pairs),
    }
    record = settings | {"tests": _stored(run, settings) | {name: test}}
    write_record(run.evaluation / _SCORES, record)


def _translate(translator: "Translator", name: str, pairs: Pairs) -> list[str]:
    hypotheses = []
    for translation in translator.translate(src for src, _ in pairs):
        hypotheses.append(translation.text)
        if len(hypotheses) % 100 == 0:
            count = f"{len(hypotheses):,} of {len(pairs):,}"
            logger.info("translating %s: %s", name, count, extra={"progress": True})
    return hypotheses


def _stored(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """The test sets that were translated and scored with these settings."""
    record = read_record(run.evaluation / _SCORES) or {"tests": {}}
    tests: dict[str, Any] = record.pop("tests")
    return tests if record == settings else {}


def _score(stored: dict[str, Any]) -> Score:
    interval = stored["interval"]
    return Score(**stored | {"interval": interval and tuple(interval)})
