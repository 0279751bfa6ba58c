from pathlib import Path

import pytest
import torch
from toy import toy_recipe

from seq2seq import train
from seq2seq.errors import RunError
from seq2seq.recipe import load_recipe
from seq2seq.run import Run
from seq2seq.training import batch_size
from seq2seq.training.batch_size import double_while
from seq2seq.training.trainer import Trainer

AUTO = "training.batch_size=auto"


@pytest.mark.parametrize(
    ("room", "most", "expected", "asked"),
    [
        (1000, 1000, 640, [20, 40, 80, 160, 320, 640]),
        (100, 1000, 80, [20, 40, 80, 160]),
        (1000, 100, 80, [20, 40, 80]),
        (3, 1000, 10, [20]),
        (1000, 3, 10, []),
    ],
)
def test_sizes_double_while_they_fit(room: int, most: int, expected: int, asked: list[int]) -> None:
    seen: list[int] = []
    assert double_while(lambda size: seen.append(size) or size <= room, 10, most) == expected
    assert seen == asked


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A device that is called a GPU until training begins, with room for 40 pairs; sizes tried."""
    tried: list[int] = []

    def fits(trainer: Trainer) -> bool:
        tried.append(trainer.section.batch_size)
        assert (
            max(map(len, trainer.source.portion(trainer.progress).batches))
            == trainer.section.batch_size
        )
        return trainer.section.batch_size <= 40

    build = train.build_trainer
    monkeypatch.setattr(train, "resolve_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(train, "build_trainer", lambda *args: build(*args[:3], torch.device("cpu")))
    monkeypatch.setattr(train, "fits_memory", fits)
    monkeypatch.setattr(train, "MIN_UPDATES", 1)
    return tried


def auto_recipe(folder: Path, *overrides: str) -> object:
    """The toy recipe, its batch size being auto."""
    toy_recipe(folder)
    file = folder / "toy.yaml"
    file.write_text(file.read_text().replace("batch_size: 16", "batch_size: auto"))
    return load_recipe(file, ["training.max_updates=2", *overrides])


def test_what_was_found_is_saved_and_stays(tmp_path: Path, gpu: list[int]) -> None:
    recipe = auto_recipe(tmp_path)
    run = Run(tmp_path / "run")
    usual = train.prepare(recipe).recipe.training.batch_size
    train.train(recipe)
    tried = list(gpu)
    found = run.load_recipe().training.batch_size
    assert (tried, found) == ([2 * usual, 4 * usual], 2 * usual)
    text = run.recipe_file.read_text()
    assert f"batch_size: {found}  # chosen: auto: found for this corpus and device" in text
    train.train(recipe)
    assert gpu == tried
    assert run.recipe_file.read_text() == text
    with pytest.raises(RunError, match=r"other values of training\.batch_size"):
        train.train(auto_recipe(tmp_path, "training.batch_size=3"))


def test_without_a_gpu_it_is_that_of_the_corpus(tmp_path: Path) -> None:
    recipe = auto_recipe(tmp_path)
    train.train(recipe)
    usual = train.prepare(recipe).recipe.training.batch_size
    assert Run(tmp_path / "run").load_recipe().training.batch_size == usual == 16


def test_memory_is_full_at_four_fifths_or_when_a_batch_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trainer = train.set_up(toy_recipe(tmp_path))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    for share, splits, fits in ((0.7, 0, True), (0.9, 0, False), (0.7, 1, False)):
        monkeypatch.setattr(batch_size, "memory_share", lambda device, share=share: share)
        monkeypatch.setattr(batch_size, "try_batch", lambda *args, splits=splits: splits)
        assert batch_size.fits_memory(trainer) is fits
