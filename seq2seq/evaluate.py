"""Translating and scoring the test sets of a run."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seq2seq import recipe
from seq2seq.data.corpus import read_pairs
from seq2seq.metrics import Score, score
from seq2seq.run import CheckpointName, Run
from seq2seq.translate import Translator

logger = logging.getLogger(__name__)


def evaluate(
    run_dir: Path,
    *,
    decoding: recipe.Decoding | None = None,
    device: str | None = None,
    checkpoint: CheckpointName = "best",
) -> dict[str, list[Score]]:
    """Translate and score each test set of a run's recipe.

    The translations go to `evaluation/NAME.hyp`, the scores with the search settings that gave
    them to `evaluation/scores.json`.

    Args:
        run_dir: the run directory.
        decoding: search settings other than the recipe's.
        device: device other than the recipe's.
        checkpoint: the weights to use.

    Returns:
        Scores by the name of the test set.

    Raises:
        RunError: there is no trained model in this directory.
        DataError: a test set cannot be read.
    """
    run = Run(run_dir)
    saved = run.load_recipe()
    decoding = decoding or saved.decoding
    translator = Translator.load(run_dir, decoding=decoding, device=device, checkpoint=checkpoint)
    run.evaluation.mkdir(exist_ok=True)
    results: dict[str, list[Score]] = {}
    for name, corpora in saved.data.test.items():
        pairs = list(read_pairs(corpora, saved.data, "test"))
        hypotheses = []
        for translation in translator.translate(src for src, _ in pairs):
            hypotheses.append(translation.text)
            if len(hypotheses) % 100 == 0:
                logger.info(
                    "translating %s: %d of %d", name, len(hypotheses), len(pairs),
                    extra={"progress": True},
                )  # fmt: skip
        text = "".join(hypothesis + "\n" for hypothesis in hypotheses)
        (run.evaluation / f"{name}.hyp").write_text(text, encoding="utf-8", newline="\n")
        results[name] = score(hypotheses, [[tgt for _, tgt in pairs]], saved.evaluation)
    _save(run.evaluation / "scores.json", results, decoding, checkpoint)
    return results


def _save(
    path: Path, results: dict[str, list[Score]], decoding: recipe.Decoding, checkpoint: str
) -> None:
    record: dict[str, Any] = {
        "checkpoint": checkpoint,
        "decoding": decoding.model_dump(),
        "scores": {name: [asdict(one) for one in scores] for name, scores in results.items()},
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
