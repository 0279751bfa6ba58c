from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import toy_recipe

from seq2seq.data.batch import Batch
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.prepare import prepare
from seq2seq.run import Run
from seq2seq.train import build_trainer
from seq2seq.training.backward import sum_gradients
from seq2seq.training.loss import Loss
from seq2seq.training.progress import Progress
from seq2seq.training.trainer import Trainer

RISK = ["training.objective=minimum_risk", "training.risk_samples=3"]
ON_CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")
ERRORS = [torch.OutOfMemoryError("CUDA out of memory."), ON_CPU, MemoryError()]


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Trainer]:
    def built(*overrides: str) -> Trainer:
        recipe = toy_recipe(tmp_path, "model.dropout=0", *overrides)
        return build_trainer(recipe, prepare(recipe), Run(tmp_path / "run"), torch.device("cpu"))

    return built


class Small:
    """An objective on a machine with memory for so many pairs at a time.

    It fails when the gradient has begun to arrive, and in the middle of other things.
    """

    def __init__(self, trainer: Trainer, most: int, error: BaseException) -> None:
        self.inner = trainer.objective
        self.most = most
        self.error = error
        self.seen: list[int] = []

    def size(self, batch: Batch) -> int:
        return self.inner.size(batch)

    def __call__(self, model: Seq2Seq, batch: Batch, progress: Progress) -> Loss:
        self.seen.append(len(batch.index))
        assert model.training
        loss = self.inner(model, batch, progress)
        if len(batch.index) > self.most:
            loss.objective.backward()
            model.eval()
            raise self.error
        return loss


def gradients(trainer: Trainer, objective: object, parts: list[np.ndarray]) -> list[torch.Tensor]:
    """Of all weights, then the sums, then the number of splits."""
    loaded = trainer.feed.load(trainer.source.portion(trainer.progress).group(parts))
    size = sum(trainer.objective.size(part.batch) for part in loaded)
    sums, splits = sum_gradients(trainer.learner, objective, loaded, size, trainer.progress)
    found = [p.grad.clone() for p in trainer.model.parameters()]
    return [*found, sums, torch.tensor(splits)]


@pytest.mark.parametrize("settings", [[], ["training.r_drop=1"], RISK])
@pytest.mark.parametrize("error", ERRORS)
def test_parts_give_the_gradient_of_the_whole(
    build: Callable[..., Trainer], settings: list[str], error: BaseException
) -> None:
    trainer = build(*settings)
    parts = [np.arange(0, 13), np.arange(13, 16)]
    *expected, none = gradients(trainer, trainer.objective, parts)
    objective = Small(trainer, 3, error)
    *found, splits = gradients(trainer, objective, parts)
    assert (int(none), int(splits)) == (0, 4)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert sum(objective.seen[-6:]) == 16
    assert max(objective.seen[-6:]) == 3


def test_a_pair_that_is_too_much_is_named(build: Callable[..., Trainer]) -> None:
    trainer = build()
    objective = Small(trainer, 0, ON_CPU)
    corpus = trainer.source.portion(trainer.progress).corpus
    src, tgt = corpus.src_lengths[4], corpus.tgt_lengths[4]
    message = rf"^update 1: there is no memory for a pair of {src} source and {tgt} target tokens; "
    with pytest.raises(RunError, match=message):
        gradients(trainer, objective, [np.arange(4, 7)])


def test_other_errors_are_not_hidden(build: Callable[..., Trainer]) -> None:
    trainer = build()
    objective = Small(trainer, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        gradients(trainer, objective, [np.arange(4)])


def test_splits_are_counted_and_told(
    build: Callable[..., Trainer], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = build("training.max_updates=4")
    trainer.validator.translate_and_score = lambda model: {"bleu": 1.0}
    trainer.objective = Small(trainer, 8, ON_CPU)
    large = sum(len(batch) > 8 for batch in trainer.source.portion(trainer.progress).batches[:4])
    assert large
    trainer.fit(lambda: False)
    record, *_ = trainer.log.read()
    assert record["splits"] == large
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    told = f"update 4: memory ran out; {large} batches"
    assert sum(warning.startswith(told) for warning in warnings) == 1
