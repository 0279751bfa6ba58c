"""Records of training: `metrics.jsonl` and the progress line."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from seq2seq.files import write_text

logger = logging.getLogger(__name__)


class MetricsLog:
    """A file with one JSON record a line.

    Each has `kind` (`train`, `validation`, `average` or `alarm`) and `update`, all but alarms have
    `epoch` and `minutes` (of training, over all starts of the run). Those of training tell of the
    updates since the one before: `loss` is the mean of what is minimised, `padding` the share of
    positions of batches that hold no token. Only `gradient_norm` and, by part of the model,
    `gradient_norms` are those of the last update, before they are clipped. Measures of validations
    are explained in `diagnosis`. An `alarm` has a name and a `text`; after that of a loss or
    gradient that is `not_finite` the updates since the last good state are made and recorded again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def truncate(self, update: int) -> None:
        """Drop the records after an update, which a resumed run will make again."""
        if not self.path.exists():
            return
        kept = []
        text = self.path.read_text(encoding="utf-8")
        for line in text.split("\n"):
            try:
                if json.loads(line)["update"] <= update:
                    kept.append(line + "\n")
            except ValueError:
                continue
        if "".join(kept) != text:
            write_text(self.path, "".join(kept))

    def write(self, record: dict[str, Any]) -> None:
        """Append a record."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def progress_line(record: dict[str, Any]) -> str:
    """A training record in one line for people."""
    eta = str(timedelta(seconds=int(record["eta_seconds"])))
    return (
        f"epoch {record['epoch']}  {record['done']:6.1%}  loss {record['loss']:.3f}  "
        f"ppl {record['perplexity']:.2f}  {record['tokens_per_second']:,.0f} tok/s  "
        f"lr {record['learning_rate']:.2e}  ETA {eta}"
    )


def validation_line(record: dict[str, Any], is_best: bool) -> str:
    """A validation record in one line for people."""
    names = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "accuracy": "accuracy"}
    scores = "".join(f"  {names[key]} {record[key]:.2f}" for key in names if key in record)
    return (
        f"epoch {record['epoch']}  update {record['update']:,}  {record['minutes']:.1f} min  "
        f"dev loss {record['loss']:.3f}  ppl {record['perplexity']:.2f}"
        f"{scores}{'  (best)' if is_best else ''}"
    )
