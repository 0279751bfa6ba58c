"""Files that are whole or not there, their digests, and who may write where.

What is written here is written aside, synced and renamed, and says by a digest whether it still is
what was written. What the system refuses is told in a line, with what to do.
"""

import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from seq2seq.errors import FileError

_DIGEST = "digest"
_ROOM = "make room there, then give the same command again"
_RIGHTS = "give yourself the right to, or name another place"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOENT: "is the path right?",
}


def refusal(error: OSError, path: object, what: str = "used") -> FileError:
    """What the system refused, in a line for people: `path: cannot be WHAT (why); remedy`."""
    why = (error.strerror or str(error)).lower()
    remedy = _REMEDIES.get(error.errno or 0, "mend that, then give the same command again")
    return FileError(f"{path}: cannot be {what} ({why}); {remedy}")


@contextmanager
def told(path: Path, what: Literal["read", "written"]) -> Iterator[None]:
    """Tell what the system refuses to do with a file, or with one in a folder.

    Raises:
        FileError: it did.
    """
    try:
        yield
    except OSError as error:
        is_below = str(error.filename).startswith(f"{path}{os.sep}")
        raise refusal(error, error.filename if is_below else path, what) from None


@contextmanager
def replacing(path: Path, *, keep_previous: bool = False) -> Iterator[Path]:
    """Give a name to write to, and put that file in place of `path` when it is complete.

    Until then `path` stays as it is, and nothing is left behind when writing fails.

    Args:
        path: the file.
        keep_previous: keep the replaced one as `previous_path(path)`.

    Raises:
        FileError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with told(path, "written"):
            yield partial
            sync(partial)
            if keep_previous and path.exists():
                path.replace(previous_path(path))
            partial.replace(path)
            sync_names(path.parent)
    except Exception:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def previous_path(path: Path) -> Path:
    """Where the generation before `path` is kept."""
    return path.with_name(f"previous-{path.name}")


def sync_names(folder: Path) -> None:
    """Have the names in a folder on the disk itself, where the file system can say so."""
    with suppress(OSError):
        sync(folder)


def sync(path: Path) -> None:
    """Have a file on the disk itself."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in place of what is there; nobody ever sees half of it."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON with a digest of itself."""
    marked = {**record, _DIGEST: _digest_of(record)}
    write_text(path, json.dumps(marked, indent=2, ensure_ascii=False) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """Read what `write_record` wrote; None if it is damaged, or there is none.

    Raises:
        FileError: it cannot be read.
    """
    try:
        with told(path, "read"):
            content = path.read_bytes() if path.exists() else b""
        record = json.loads(content)
        found = record.pop(_DIGEST)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if found == _digest_of(record) else None


def _digest_of(record: Mapping[str, Any]) -> str:
    return digest(json.dumps(record, sort_keys=True).encode())


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


SEAL = "key"
"""File of a folder that says what is in it."""


def seal(folder: Path, key: str) -> None:
    """Note in a complete folder what its content goes by, and the digest of each file."""
    write_record(folder / SEAL, {"key": key, "files": _digests_of(folder)})


def read_seal(folder: Path) -> dict[str, Any] | None:
    """What `seal` noted, as `key` and `files`; None if that is damaged, or there is none."""
    return read_record(folder / SEAL)


def unseal(folder: Path) -> None:
    """Take the note away, before the content goes."""
    (folder / SEAL).unlink(missing_ok=True)


def damaged_file(folder: Path) -> Path | None:
    """A file of a folder that isn't as it was sealed; None if all are, or there is no seal."""
    sealed, there = (read_seal(folder) or {"files": {}})["files"], _digests_of(folder)
    return next((folder / name for name in sealed if sealed[name] != there.get(name)), None)


def _digests_of(folder: Path) -> dict[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL)
    return {path.relative_to(folder).as_posix(): digest(path) for path in paths}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder, until the block or this process ends.

    The processes that train one run together (torchrun) count as one, of which the first has the
    lock. Where the system has no locks, or nothing can be written, there is none.

    Raises:
        FileError: another process has it.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    try:
        file = _lock(folder / ".lock")
    except BlockingIOError as error:
        owner = error.filename or "another process"
        raise FileError(f"{folder}: is in use by {owner}; wait until it ends, or stop it") from None
    except (ImportError, OSError):
        yield
        return
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                Path(file.name).unlink()


def _lock(path: Path) -> TextIO:
    """A file that no other process can lock; BlockingIOError names the process that has done so."""
    import fcntl

    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with file:
                file.seek(0)
                raise BlockingIOError(error.errno, error.strerror, file.read()) from None
        except OSError:
            file.close()
            raise
        with suppress(FileNotFoundError):
            # Whoever had it may have removed the file that was opened here.
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                break
        file.close()
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
    return file
