import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.errors import FileError
from seq2seq.files import (
    damaged_file,
    locked,
    read_record,
    read_seal,
    seal,
    unseal,
    write_record,
    write_text,
)

RECORD = {"a": [1, None, "ä"], "b": {"c": 0.1}}


def test_a_record_comes_back_unless_a_byte_of_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert read_record(path) is None
    write_record(path, RECORD)
    assert read_record(path) == RECORD
    content = path.read_bytes()
    assert json.loads(content).items() >= RECORD.items()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 0x11
        path.write_bytes(flipped)
        assert read_record(path) in (None, RECORD)  # white space counts for nothing
    for size in range(len(content) - 1):
        path.write_bytes(content[:size])
        assert read_record(path) is None


def test_a_seal_knows_every_file(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("one", "below/two"):
        (tmp_path / name).write_text(name)
    seal(tmp_path, "the key")
    assert (read_seal(tmp_path) or {})["key"] == "the key"
    assert damaged_file(tmp_path) is None
    (tmp_path / "below/two").write_text("twp")
    assert damaged_file(tmp_path) == tmp_path / "below/two"
    (tmp_path / "below/two").unlink()
    assert damaged_file(tmp_path) == tmp_path / "below/two"
    unseal(tmp_path)
    assert read_seal(tmp_path) is None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for path, why in {
        tmp_path / "none/file": "no such file or directory",
        tmp_path / "folder": "is a directory",
    }.items():
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(FileError, match=rf"^{path}: cannot be written \({why}\); "):
            write_text(path, "x")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def hold(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Another process that has the lock of a folder until its input ends, or says why it hasn't."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom seq2seq.files import locked\n"
        "with locked(Path(sys.argv[1])):\n print('in', flush=True)\n sys.stdin.read()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def test_a_folder_has_one_owner_until_it_ends_or_dies(tmp_path: Path) -> None:
    with hold(tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        message = rf"^{tmp_path}: is in use by process {other.pid} on \S+; wait until it ends"
        with pytest.raises(FileError, match=message), locked(tmp_path):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path):
            assert list(tmp_path.iterdir()) == [tmp_path / ".lock"]
        assert not list(tmp_path.iterdir())


def test_processes_that_train_together_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with locked(tmp_path):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(FileError), locked(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_without_locks_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with locked(tmp_path), locked(tmp_path):
        pass
