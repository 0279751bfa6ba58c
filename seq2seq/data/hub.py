"""Records of data sets in the layouts that the `datasets` library reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets

from seq2seq import recipe
from seq2seq.data.cursor import Cursor
from seq2seq.errors import DataError

HUB = "hub:"


def read_records(
    corpus: recipe.Corpus, split: str, streaming: bool, cursor: Cursor
) -> Iterator[dict[str, Any]]:
    """Read the records of a split.

    Data sets of the hub are downloaded into the library's own cache, or streamed without a copy,
    and these and directories can go on from the state of a cursor. Directories are read where
    they are, both those with data files and those that `save_to_disk` wrote.

    Raises:
        DataError: The library finds no such data set, configuration or split.
    """
    name = str(corpus.path)
    try:
        dataset = _open(name, corpus.config, split, streaming)
        if isinstance(dataset, datasets.IterableDataset):
            if cursor.state is not None:
                dataset.load_state_dict(cursor.state)
            cursor.tell = dataset.state_dict
        yield from dataset
    except Exception as error:  # The library raises whatever its loaders do.
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        number = cursor.spots[0].number
        place = f"{name} ({split})" + f":{number + 1}" * (number > 0)
        raise DataError(
            f"{place}: cannot be read ({reason}); check its name, `config` and `split`"
        ) from error


def _open(name: str, config: str | None, split: str, streaming: bool) -> Any:
    if name.startswith(HUB):
        name = name.removeprefix(HUB)
        return datasets.load_dataset(name, config, split=split, streaming=streaming)
    if (Path(name) / "dataset_dict.json").exists():
        return datasets.load_from_disk(str(Path(name) / split)).to_iterable_dataset()
    if (Path(name) / "state.json").exists():
        return datasets.load_from_disk(name).to_iterable_dataset()
    return datasets.load_dataset(name, config, split=split, streaming=True)
