"""Translating and scoring the test sets of a run."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq import recipe
from seq2seq.data.corpus import read_pairs
from seq2seq.files import digest, read_record, write_record, write_text
from seq2seq.metrics import Score, score
from seq2seq.run import CheckpointName, Run

if TYPE_CHECKING:
    from seq2seq.translate import Translator

logger = logging.getLogger(__name__)

_NO_PART = {"batch_size", "n_best"}
"""Keys of `decoding` that leave the best translations as they are."""


def evaluate(
    run_dir: Path,
    *,
    ensemble: Sequence[Path] = (),
    decoding: recipe.Decoding | None = None,
    device: str | None = None,
    checkpoint: CheckpointName = "best",
) -> dict[str, list[Score]]:
    """Translate and score each test set of a run's recipe.

    The translations go to `evaluation/NAME.hyp`, the scores with the settings that gave them to
    `evaluation/scores.json`. A test set that stands there with the same weights, settings and
    pairs is not translated again.

    Args:
        run_dir: the run directory.
        ensemble: runs that translate together with it.
        decoding: search settings other than the recipe's.
        device: device other than the recipe's.
        checkpoint: the weights to use.

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
    decoding = decoding or saved.decoding
    runs = [run, *map(Run, ensemble)]
    settings = {
        "checkpoint": checkpoint,
        "ensemble": [str(path) for path in ensemble],
        "weights": [digest(one.existing_checkpoint(checkpoint)) for one in runs],
        "decoding": decoding.model_dump(mode="json", exclude=_NO_PART),
        "evaluation": saved.evaluation.model_dump(mode="json"),
    }
    file = run.evaluation / "scores.json"
    tests = _stored(file, settings)
    data = saved.data
    pairs = {name: list(read_pairs(test, data, "test")) for name, test in data.test.items()}
    keys = {name: digest(json.dumps(found).encode()) for name, found in pairs.items()}
    missing = [name for name in pairs if not _is_done(run, name, keys[name], tests)]
    if missing:
        # Stored scores are told without waiting for torch.
        from seq2seq.translate import Translator

        translator = Translator.load(
            run_dir, ensemble=ensemble, decoding=decoding, device=device, checkpoint=checkpoint
        )
        with run.locked(run.evaluation):
            for name in missing:
                tests[name] = _test(run, name, pairs[name], translator, saved.evaluation)
                tests[name]["pairs"] = keys[name]
                write_record(file, settings | {"tests": tests})
    return {name: [_score(one) for one in tests[name]["scores"]] for name in data.test}


def _is_done(run: Run, name: str, key: str, tests: dict[str, Any]) -> bool:
    hyp, found = run.hypotheses(name), tests.get(name, {"pairs": None})
    return found["pairs"] == key and hyp.exists() and found["hyp"] == digest(hyp)


def _test(
    run: Run,
    name: str,
    pairs: list[tuple[str, str]],
    translator: "Translator",
    section: recipe.Evaluation,
) -> dict[str, Any]:
    """Translate and score a test set."""
    hypotheses = _translate(translator, name, [src for src, _ in pairs])
    scores = score(hypotheses, [[tgt for _, tgt in pairs]], section)
    hyp = run.hypotheses(name)
    write_text(hyp, "".join(hypothesis + "\n" for hypothesis in hypotheses))
    return {"hyp": digest(hyp), "scores": [asdict(one) for one in scores]}


def _translate(translator: "Translator", name: str, sources: list[str]) -> list[str]:
    hypotheses = []
    for translation in translator.translate(sources):
        hypotheses.append(translation.text)
        if len(hypotheses) % 100 == 0:
            count = f"{len(hypotheses):,} of {len(sources):,}"
            logger.info("translating %s: %s", name, count, extra={"progress": True})
    return hypotheses


def _stored(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The test sets that were translated and scored with these settings."""
    record = read_record(file) or {"tests": {}}
    tests: dict[str, Any] = record.pop("tests")
    return tests if record == settings else {}


def _score(stored: dict[str, Any]) -> Score:
    interval = stored["interval"]
    return Score(**stored | {"interval": interval and tuple(interval)})
