"""Records of data sets in the layouts that the `datasets` library reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets

from seq2seq import recipe
from seq2seq.errors import DataError

HUB = "hub:"


def read_records(corpus: recipe.Corpus, split: str) -> Iterator[dict[str, Any]]:
    """Read the records of a split.

    Data sets of the hub are downloaded into the library's own cache. Directories are read where
    they are, both those with data files and those that `save_to_disk` wrote.

    Raises:
        DataError: The library finds no such data set, configuration or split.
    """
    name = str(corpus.path)
    try:
        yield from _open(name, corpus.config, split)
    except Exception as error:  # The library raises whatever its loaders do.
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"{name} ({split}): cannot be read ({reason}); check its name, `config` and `split`"
        ) from error


def _open(name: str, config: str | None, split: str) -> Any:
    if name.startswith(HUB):
        return datasets.load_dataset(name.removeprefix(HUB), config, split=split)
    if (Path(name) / "dataset_dict.json").exists():
        return datasets.load_from_disk(str(Path(name) / split))
    if (Path(name) / "state.json").exists():
        return datasets.load_from_disk(name)
    return datasets.load_dataset(name, config, split=split, streaming=True)
