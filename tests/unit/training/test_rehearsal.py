import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import toy_recipe

from seq2seq import checkpoint, train
from seq2seq.errors import DataError, FileError
from seq2seq.prepare import prepare
from seq2seq.recipe import Recipe
from seq2seq.run import Run
from seq2seq.training import backward, rehearsal
from seq2seq.training.feed import Part
from seq2seq.training.rehearsal import largest_batches, rehearse
from seq2seq.training.trainer import Trainer

EVERYTHING = [
    "model.dropout=0.3",
    "training.ema_decay=0.9",
    "tokenizer.sampling=0.2",
    "training.teacher_forcing=0.5",
    "training.src_word_dropout=0.1",
]


def build(recipe: Recipe) -> Trainer:
    run = Run(Path(recipe.output_dir))
    return train.build_trainer(recipe, prepare(recipe), run, torch.device("cpu"))


@pytest.mark.parametrize("settings", [EVERYTHING, ["training.objective=minimum_risk"]])
def test_training_is_the_same_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    found = []
    for function in (rehearse, lambda trainer: None):
        monkeypatch.setattr(train, "rehearse", function)
        folder = tmp_path / str(len(found))
        folder.mkdir()
        recipe = toy_recipe(folder, *settings, "training.max_updates=9")
        train.train(recipe, stop=iter([False, True, *[False] * 99]).__next__)
        train.train(recipe)
        tensors = checkpoint.load(Run(folder / "run").checkpoint("last")).tensors
        found.append({name: tensor.numpy().tobytes() for name, tensor in tensors.items()})
    assert found[0] == found[1]


def test_the_largest_batches_of_the_epoch(tmp_path: Path) -> None:
    trainer = build(toy_recipe(tmp_path))
    shapes = []
    portion = trainer.source.portion(trainer.progress)
    for index in portion.batches:
        corpus = portion.corpus
        src, tgt = corpus.src_lengths[index].max(), corpus.tgt_lengths[index].max()
        shapes.append((len(index), int(src), int(tgt)))
    batches = [part.batch for part in largest_batches(trainer)]
    found = [(*batch.src.shape, batch.tgt_out.shape[1]) for batch in batches]
    assert max(n * (s + t) for n, s, t in found) == max(n * (s + t) for n, s, t in shapes)
    assert max(n * s * t for n, s, t in found) == max(n * s * t for n, s, t in shapes)
    assert len(found) <= 2


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Lets backward passes of more than 9 pairs run out of memory; how many there were."""
    sizes: list[int] = []
    original = backward.within_memory

    def limited(work: Callable[[Part], None], *others: Any, **options: Any) -> list[None]:
        def small(part: Part) -> None:
            sizes.append(len(part.batch.index))
            if sizes[-1] > 9:
                raise MemoryError
            work(part)

        return original(small, *others, **options)

    monkeypatch.setattr(backward, "within_memory", limited)
    yield sizes


def test_what_does_not_fit_is_told_before_the_first_update(
    tmp_path: Path, failing: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    recipe = toy_recipe(tmp_path, "training.max_updates=2")
    train.train(recipe)
    assert failing[:2] == [16, 8]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings[0].startswith("training.batch_size: there is no memory for the largest batch")
    assert "16 pairs of up to 7 source and 7 target tokens" in warnings[0]


def test_a_checkpoint_is_written_on_trial_before_the_first_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(tmp_path, "training.ema_decay=0.9", "training.max_updates=2")
    tried: list[tuple[Path, int]] = []
    original = rehearsal.try_room

    def noted(path: Path, size: int) -> None:
        tried.append((path, size))
        original(path, size)

    monkeypatch.setattr(rehearsal, "try_room", noted)
    train.train(recipe, stop=iter([True]).__next__)
    train.train(recipe)
    path = Run(tmp_path / "run").checkpoint("last")
    size = sum(tensor.nbytes for tensor in checkpoint.load(path).tensors.values())
    (_, first), second = tried
    assert second == (path, size)
    assert size - 1000 < first <= size  # some count updates, for each parameter
    assert not list(path.parent.glob(".*"))


def test_what_no_checkpoint_can_be_written_to_is_told_before_the_first_update(
    tmp_path: Path,
) -> None:
    recipe = toy_recipe(tmp_path)
    folder = Run(tmp_path / "run").checkpoint("last").parent
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(FileError, match=r"/last\.safetensors: cannot be written \(file exists\); "):
        train.train(recipe)
    assert not Run(tmp_path / "run").metrics_file.exists()


@pytest.fixture
def untranslatable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Has every scoring fail; the numbers of lines that were to be scored."""
    seen: list[int] = []

    def fails(hypotheses: list[str], *others: Any) -> Any:
        seen.append(len(hypotheses))
        raise DataError("evaluation: broken; mend it")

    monkeypatch.setattr(train, "score", fails)
    return lambda: seen


def test_errors_of_validation_come_before_the_first_update(
    tmp_path: Path, untranslatable: Callable[[], list[int]]
) -> None:
    recipe = toy_recipe(tmp_path)
    with pytest.raises(DataError, match="evaluation: broken"):
        train.train(recipe)
    assert untranslatable() == [4]
    assert not Run(tmp_path / "run").is_trained
    assert not Run(tmp_path / "run").metrics_file.exists()
