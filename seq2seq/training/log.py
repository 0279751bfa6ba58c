"""Records of training: `metrics.jsonl` and the progress line."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seq2seq.data.clean import Ledger
from seq2seq.files import told, write_text
from seq2seq.formats import duration
from seq2seq.records import read_records

logger = logging.getLogger(__name__)


class MetricsLog:
    """A file with one JSON record a line.

    Each has `kind` (`train`, `validation`, `average` or `alarm`) and `update`, all but alarms have
    `epoch` and `minutes` (of training, over all starts of the run). Those of training tell of the
    updates since the one before: `loss` is the mean of what is minimised, `highest_loss` the
    highest cross-entropy of an update, in nats per token, `padding` the share of positions of
    batches that hold no token, `loader_wait` the share of time in which nothing was done but read
    the next batch, `splits` counts batches that were split in two for want of memory. Only
    `gradient_norm` and, by part of the model, `gradient_norms` are those of the last update, before
    they are clipped. Measures of validations are explained in `diagnosis`; where pairs are
    streamed, `pairs` says what became of those that this pass has read so far. An `alarm` has a
    name and a `text`; after that of a loss or gradient that is `not_finite`, in `failed_update`,
    the updates since the last good state are made and recorded again, `update` the first of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listeners: list[Callable[[dict[str, Any]], None]] = []

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

    def read(self) -> list[dict[str, Any]]:
        """The records so far."""
        return list(read_records(self.path))

    def write(self, record: dict[str, Any]) -> None:
        """Append a record, and pass it on to the listeners."""
        with told(self.path, "written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        for listener in self.listeners:
            listener(record)


def progress_line(record: dict[str, Any]) -> str:
    """A training record in one line for people, the least important last."""
    return (
        f"epoch {record['epoch']}  {record['done']:.1%}  ETA {duration(record['eta_seconds'])}  "
        f"loss {record['loss']:.3f}  ppl {_short(record['perplexity'])}  "
        f"{record['tokens_per_second']:,.0f} tok/s  lr {record['learning_rate']:.1e}"
    )


def split_line(record: dict[str, Any]) -> str:
    """What to do about batches of a training record that memory did not suffice for."""
    return (
        f"update {record['update']:,}: memory ran out; {record['splits']:,} batches since the last "
        "record were split in two, which takes time; halve training.batch_size and double "
        "training.accumulate"
    )


def validation_line(record: dict[str, Any], is_best: bool) -> str:
    """A validation record in one line for people."""
    names = {"bleu": "BLEU", "chrf": "chrF", "chrf++": "chrF++", "ter": "TER"}
    names |= {"accuracy": "accuracy", "wer": "WER", "cer": "CER"}
    scores = "".join(f"  {names[key]} {record[key]:.2f}" for key in names if key in record)
    pairs = dict(record.get("pairs", {}))
    read = f"  pass {pairs.pop('pass')}: {Ledger.from_dict(pairs)}" if pairs else ""
    return (
        f"epoch {record['epoch']}  update {record['update']:,}  "
        f"{duration(60 * record['minutes'])}  dev loss {record['loss']:.3f}  "
        f"ppl {_short(record['perplexity'])}{scores}{'  best' if is_best else ''}{read}"
    )


def _short(value: float) -> str:
    """A number above 1 with three digits or more, but without digits that say nothing."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"
