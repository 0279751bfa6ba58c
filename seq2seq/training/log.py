"""Records of training: `metrics.jsonl` and the progress line."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from seq2seq.files import told, write_text

logger = logging.getLogger(__name__)


class MetricsLog:
    """A file with one JSON record a line.

    Each has `kind` (`train`, `validation` or `average`), `update`, `epoch` and `minutes` (of
    training, over all starts of the run). Those of training tell of the updates since the one
    before: `loss` is the mean of what is minimised, `padding` the share of positions of batches
    that hold no token.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def truncate(self, update: int) -> None:
        """Drop the records after an update, which a resumed run will make again.

        What isn't a record is dropped too: half of one at the end, as a killed process leaves it,
        without a word.
        """
        with told(self.path, "read"):
            content = self.path.read_bytes() if self.path.exists() else b""
        *lines, _ = content.split(b"\n")
        kept, damaged = [], []
        for number, line in enumerate(lines, start=1):
            try:
                if json.loads(line)["update"] <= update:
                    kept.append(line.decode() + "\n")
            except (ValueError, KeyError, TypeError):
                damaged.append(number)
        if damaged:
            logger.warning(
                "%s:%d: is no record (%d in all); left out", self.path, damaged[0], len(damaged)
            )
        if "".join(kept).encode() != content:
            write_text(self.path, "".join(kept))

    def write(self, record: dict[str, Any]) -> None:
        """Append a record."""
        with told(self.path, "written"):
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
    names = {"bleu": "BLEU", "chrf": "chrF", "chrf++": "chrF++", "ter": "TER"}
    names |= {"accuracy": "accuracy", "wer": "WER", "cer": "CER"}
    scores = "".join(f"  {names[key]} {record[key]:.2f}" for key in names if key in record)
    return (
        f"epoch {record['epoch']}  update {record['update']:,}  {record['minutes']:.1f} min  "
        f"dev loss {record['loss']:.3f}  ppl {record['perplexity']:.2f}"
        f"{scores}{'  (best)' if is_best else ''}"
    )
