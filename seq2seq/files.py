"""Files that are whole or not there, and their digests."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write to, and put that file in place of `path` when it is complete."""
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    with partial.open("r+b") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in place of what is there; nobody ever sees half of it."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def digest(content: Path | bytes) -> str:
    """A name for content that nothing else has.

    Raises:
        OSError: The file cannot be read.
    """
    found = hashlib.blake2b(digest_size=16)
    if isinstance(content, bytes):
        found.update(content)
        return found.hexdigest()
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def drop_unfinished(path: Path) -> int:
    """Cut what follows the last line break of a file, if it exists; the lines before that."""
    count = size = 0
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    count, size = count + 1, size + len(line)
        os.truncate(path, size)
    return count
