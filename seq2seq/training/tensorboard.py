"""The records of training as scalars for TensorBoard, an optional package."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seq2seq.errors import SettingsError

_AXES = ("kind", "update")


def require_tensorboard() -> None:
    """See that the package is there.

    Raises:
        SettingsError: it is not.
    """
    if find_spec("tensorboard") is None:
        text = "needs a package that is not installed; pip install 'seq2seq[tensorboard]'"
        raise SettingsError([f"training.tensorboard: {text}"])


class TensorBoard:
    """Writes records, when it is called with one, as scalars `KIND/KEY` over the updates.

    It begins anew each time, with the records that there are: so a resumed run has each point once,
    and a run that is told late has all of them.

    Args:
        folder: for its files; what is in there is dropped.
        records: those so far.
    """

    def __init__(self, folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(str(folder))
        for record in records:
            self._add(record)
        self.writer.flush()

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Add a record, to be seen at once."""
        self._add(record)
        self.writer.flush()

    def _add(self, record: Mapping[str, Any]) -> None:
        for name, value in _numbers({k: v for k, v in record.items() if k not in _AXES}):
            tag = f"{record['kind']}/{name}"
            self.writer.add_scalar(tag, value, record["update"])


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers among values by their names, those in mappings as `NAME/NAME`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{below}", number) for below, number in _numbers(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value
