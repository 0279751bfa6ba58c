"""Stages of a run: folders that are known by the content of what went into them.

What is there and fits is used again. A folder is built aside and renamed when it is complete, so
it is whole or not there; one that was damaged since is made again.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from seq2seq import recipe as recipes
from seq2seq.data.corpus import Use
from seq2seq.errors import DataError, FileError, RunError
from seq2seq.files import (
    SEAL,
    damaged_file,
    digest,
    read_record,
    read_seal,
    seal,
    sync,
    sync_names,
    told,
    unseal,
    write_record,
)
from seq2seq.run import Run

logger = logging.getLogger(__name__)

_END = 1 << 20


def is_done(run: Run, folder: Path, key: str, source: str) -> bool:
    """Whether a folder holds the content of this key; a trained run may have no other."""
    found = read_key(folder)
    if found not in (None, key) and run.is_trained:
        raise RunError(
            f"{run.path}: what is in {source} has changed since this run was trained; "
            "take it back, or give another output_dir to train anew"
        )
    if found not in (None, key) or not folder.exists():
        return False
    with told(folder, "read"):
        damaged = folder / SEAL if found is None else damaged_file(folder)
    if damaged is not None:
        logger.warning("%s: is missing or damaged; making %s again", damaged, folder.name)
    return damaged is None


@contextmanager
def building(folder: Path, key: str, *, goes_on: bool = False) -> Iterator[Path]:
    """Give a folder to fill, and put it in place with its key when that has gone well.

    It is empty, unless it `goes_on` where an attempt at the same content broke off.

    Raises:
        FileError: it cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    with told(folder, "written"):
        if not (goes_on and read_key(partial) == key):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            seal(partial, key)
        yield partial
        for path in partial.rglob("*"):
            if path.is_file():
                sync(path)
        seal(partial, key)
        if folder.exists():
            unseal(folder)
            shutil.rmtree(folder)
        partial.rename(folder)
        sync_names(folder.parent)


def read_key(folder: Path) -> str | None:
    """The key of a folder; None if there is none."""
    found = read_seal(folder)
    return None if found is None else str(found["key"])


def content_key(*parts: object) -> str:
    """A name for content, from anything that JSON can write."""
    return digest(json.dumps(parts, sort_keys=True).encode())


def _digest_of_ends(path: Path) -> str:
    """The digest of a file's size and of the first and the last of what it holds."""
    try:
        with path.open("rb") as file:
            first, size = file.read(_END), path.stat().st_size
            file.seek(max(0, size - _END))
            return digest(b"%d " % size + first + file.read(_END))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); is the path right?") from None


class Digests:
    """Digests of files, remembered by path, size, time of change and inode."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: dict[str, list[object]] = {}
        self._known = read_record(path) or {}
        self._saved = dict(self._known)

    def of_file(self, path: Path) -> str:
        """The digest of a file.

        Raises:
            DataError: it cannot be read.
        """
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
            name = str(path.resolve())
            known = self._known.get(name)
            if known is None or known[:-1] != stamp:
                known = [*stamp, digest(path)]
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); is the path right?"
            ) from None
        self._used[name] = self._known[name] = known
        return str(known[-1])

    def of_corpora(self, corpora: Sequence[recipes.Corpus], data: recipes.Data, use: Use) -> str:
        """The key of the pairs that `read_pairs` gives.

        A data set of the hub goes by its name: it isn't asked again for news. Files that are
        streamed go by their size and ends: reading all of them may take hours.
        """
        parts: list[object] = []
        digest_of = _digest_of_ends if data.streaming and use == "train" else self.of_file
        for corpus in corpora:
            files = corpus.files(data.src, data.tgt)
            names = [file.name for file in files] if corpus.kind == "directory" else []
            contents = [digest_of(file) for file in files]
            where = corpus.path if corpus.kind == "hub" else None
            columns, config, split = corpus.columns, corpus.config, corpus.split
            parts.append([corpus.kind, where, names, contents, columns, config, split])
        return content_key(use, data.src, data.tgt, parts)

    def save(self) -> None:
        """Remember what was asked for, where that can be written: it only spares reading again."""
        if self._used == self._saved:
            return
        with suppress(FileError):
            write_record(self._path, self._used)
