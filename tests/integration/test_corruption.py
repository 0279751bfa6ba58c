"""Whatever happens to a file of a run: no traceback, a line that says what to do, nothing lost."""

import ctypes
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import write_toy

from seq2seq import checkpoint
from seq2seq.cli import main
from seq2seq.files import previous_path
from seq2seq.recipe import load_recipe
from seq2seq.run import Run
from seq2seq.train import train

SETTINGS = [
    "training.keep_best=2",
    "training.average_best=true",
    "training.average_last=2",
    "training.validate_every=5",
    "training.max_updates=15",
    "training.save_every=2",
    "tokenizer.sampling=0.1",
    "data.distillation.keep_original=false",
    "data.distillation.beam_size=1",
]


class Case:
    """A run to damage, and what becomes of it.

    Attributes:
        command: that makes or continues the run.
        run: its directory.
        whole: a copy of the directory as it was.
    """

    def __init__(self, folder: Path, teacher: Path, stops_after: int | None) -> None:
        settings = [*SETTINGS, f"data.distillation.runs={teacher}"]
        self.command = ["run", str(write_toy(folder)), *settings]
        self.run = Run(folder / "run")
        recipe = load_recipe(folder / "toy.yaml", settings)
        if stops_after is None:
            assert main(self.command) == 0
        else:
            updates = iter(range(1, 99))
            train(recipe, stop=lambda: next(updates) == stops_after)
        self.whole = shutil.copytree(self.run.path, folder / "whole")
        self.files = [
            path.relative_to(self.whole) for path in sorted(self.whole.rglob("*")) if path.is_file()
        ]
        assert main(self.command) == 0
        self.expected = self.result()

    def result(self) -> dict[str, bytes]:
        """What a run is good for."""
        found = {"hyp": self.run.hypotheses("t").read_bytes()}
        for name in ("best", "last"):
            saved = checkpoint.load(self.run.path / f"checkpoints/{name}.safetensors")
            for key, tensor in saved.tensors.items():
                found[f"{name}.{key}"] = tensor.numpy().tobytes()
        return found

    def reset(self) -> None:
        """Take the directory back as it was."""
        for path in self.run.path.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.rmtree(self.run.path)
        shutil.copytree(self.whole, self.run.path)

    def check(self, name: str, capsys: pytest.CaptureFixture[str]) -> bool:
        """Whether running it gives what it should; if not, a line has told why."""
        capsys.readouterr()
        status = main(self.command)
        errors = capsys.readouterr().err
        if status == 0:
            assert self.result() == self.expected, errors
        else:
            self.check_refusal(status, errors, name)
        return status == 0

    def check_refusal(self, status: int, errors: str, name: str) -> None:
        assert status == 2
        line = errors.splitlines()[-1]
        # What a value of the recipe must be is remedy enough.
        assert re.fullmatch(rf"{self.run.path}\S*: (.+; |.*must be ).+", line), errors
        assert name in line

    def check_translation(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Translating gives what it should, unless a line tells why not."""
        capsys.readouterr()
        source = self.run.path.parent / "test.in"
        status = main(["translate", str(self.run.path), "--input", str(source)])
        output, errors = capsys.readouterr()
        if status:
            self.check_refusal(status, errors, name)
        elif not errors:
            assert output.encode() == self.expected["hyp"]
        else:
            assert name in errors


@pytest.fixture(scope="module")
def finished(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("finished"), toy_run, None)


@pytest.fixture(scope="module")
def unfinished(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("unfinished"), toy_run, 12)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_each(case: Case, damage: Callable[[Path], None], folders: str, capsys: Any) -> None:
    for name in case.files:
        if re.match(folders, str(name)):
            case.reset()
            damage(case.run.path / name)
            if folders == "":
                case.check_translation(name.name, capsys)
            if not case.check(str(case.run.path), capsys):
                shutil.copy(case.whole / name, case.run.path / name)
                assert case.check("", capsys)


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_damaged_files(
    damage: Callable[[Path], None], finished: Case, unfinished: Case, capsys: Any
) -> None:
    damage_each(finished, damage, "", capsys)
    damage_each(unfinished, damage, "checkpoints|metrics", capsys)


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_translating_goes_on_with_the_checkpoint_before(
    damage: Callable[[Path], None], finished: Case, tmp_path: Path, capsys: Any
) -> None:
    finished.reset()
    best, source = finished.run.checkpoint("best"), finished.run.path.parent / "test.in"
    previous = Run(shutil.copytree(finished.run.path, tmp_path / "previous"))
    previous_path(best).replace(previous.checkpoint("best"))
    shutil.copy(previous.checkpoint("best"), previous_path(best))
    assert main(["translate", str(previous.path), "--input", str(source)]) == 0
    expected = capsys.readouterr().out
    damage(best)
    assert main(["translate", str(finished.run.path), "--input", str(source)]) == 0
    found = capsys.readouterr()
    assert found.out == expected
    (warning,) = found.err.splitlines()
    assert re.fullmatch(rf"{best}: is .*; going on with the one before it", warning)


def test_all_checkpoints_lost(finished: Case, capsys: Any) -> None:
    """Of the best ones: the last one is measured again. Of the last ones: there is no going on."""
    finished.reset()
    for path in [
        *(finished.run.path / "checkpoints").glob("*best*"),
        *finished.run.kept_checkpoints(),
    ]:
        path.unlink()
    assert main(finished.command) == 0
    assert checkpoint.load(finished.run.checkpoint("best")).values["update"] == 15
    finished.reset()
    for path in (finished.run.path / "checkpoints").glob("*last*"):
        path.unlink()
    assert not finished.check("last.safetensors: is missing, so training cannot go on", capsys)


DAC_OVERRIDE = 1
"""The capability that lets root read and write everything."""


@pytest.fixture
def obeying() -> Iterator[None]:
    """Rights of files count for this process, even if it is root's."""
    if os.geteuid():
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("root may do everything")
    libc = ctypes.CDLL(None)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    before = data[0]
    data[0] &= ~(3 << DAC_OVERRIDE)  # and the right to read, which is the next one
    assert libc.capset(header, data) == 0
    yield
    data[0] = before
    assert libc.capset(header, data) == 0


@pytest.mark.usefixtures("obeying")
def test_rights(finished: Case, unfinished: Case, capsys: Any) -> None:
    """A file that cannot be written is replaced or told, one that cannot be read is told."""
    for name in ("last.safetensors", "metrics.jsonl"):
        check_rights(unfinished, 0o444, name, capsys)
    for name in ("best.safetensors", "joint.model", "pairs.arrow", "scores.json", "recipe.yaml"):
        check_rights(finished, 0o000, name, capsys)
    finished.reset()
    (finished.run.path / "checkpoints/best.safetensors").chmod(0o000)
    assert not finished.check("best.safetensors: cannot be read (permission denied); ", capsys)


def check_rights(case: Case, rights: int, name: str, capsys: Any) -> None:
    case.reset()
    (path,) = case.run.path.rglob(name) if name != "pairs.arrow" else [case.run.data / "dev" / name]
    path.chmod(rights)
    if not case.check(name, capsys):
        path.chmod(0o644)
        assert case.check("", capsys)


@pytest.mark.usefixtures("obeying")
def test_a_folder_that_cannot_be_written(finished: Case, unfinished: Case, capsys: Any) -> None:
    for case, is_readable in ((finished, True), (unfinished, False)):
        case.reset()
        folders = [case.run.path, *(path for path in case.run.path.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        assert case.check("permission denied); give yourself the right to", capsys) == is_readable
        for path in folders:
            path.chmod(0o755)
        assert case.check("", capsys)


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Sets how large files may become, as a full disk would; -1 is no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


@pytest.mark.parametrize("size", [0, 400, 1500, 50_000, 300_000])
def test_a_full_disk(
    size: int, unfinished: Case, limit: Callable[[int], None], capsys: Any
) -> None:
    """At each step of a run that begins, and of one that goes on."""
    for begins in (True, False):
        unfinished.reset()
        if begins:
            shutil.rmtree(unfinished.run.path)
        limit(size)
        assert not unfinished.check("file too large); make room", capsys)
        assert not list(unfinished.run.path.rglob(".*safetensors*"))
        if begins:
            assert not unfinished.run.metrics_file.exists()
        limit(-1)
        assert unfinished.check("", capsys)
