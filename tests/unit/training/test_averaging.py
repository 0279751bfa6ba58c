import random
from pathlib import Path

import numpy as np
import torch

from seq2seq.checkpoint import Checkpoint, load, load_values
from seq2seq.run import Run
from seq2seq.training.averaging import (
    Kind,
    choose_kept,
    keep_checkpoint,
    mean_weights,
    recover_best,
    save_best,
)


def weights(update: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(update)
    tensors = {
        "model.a": torch.randn(3, 2, generator=generator),
        "model.b": 1e4 + torch.randn(5, generator=generator),
    }
    return Checkpoint(tensors, {"update": update})


def updates(run: Run, kind: Kind = "best", count: int = 99) -> list[int]:
    return [load_values(path)["update"] for path in choose_kept(run, kind, count)]


def test_the_best_stay_best_first(tmp_path: Path) -> None:
    rng = random.Random(3)
    ranks = {update: (float(rng.randint(0, 5)), -rng.random()) for update in range(10, 300, 10)}
    run = Run(tmp_path)
    for update, rank in ranks.items():
        keep_checkpoint(run, {"best": 4}, weights(update), rank)
        so_far = [other for other in ranks if other <= update]
        assert updates(run) == sorted(so_far, key=lambda u: ranks[u], reverse=True)[:4]
    for path, update in zip(choose_kept(run, "best", 9), updates(run), strict=True):
        assert torch.equal(load(path).tensors["model.a"], weights(update).tensors["model.a"])


def test_the_last_stay_beside_the_best(tmp_path: Path) -> None:
    rng = random.Random(4)
    ranks = {update: (rng.random(), 0.0) for update in range(1, 40)}
    run = Run(tmp_path)
    for update, rank in ranks.items():
        keep_checkpoint(run, {"best": 3, "last": 4}, weights(update), rank)
        so_far = [other for other in ranks if other <= update]
        best = sorted(so_far, key=lambda u: ranks[u], reverse=True)[:3]
        last = so_far[:-5:-1]
        assert updates(run, "best", 3) == best
        assert updates(run, "last", 4) == last
        assert set(updates(run)) == {*best, *last}


def test_files_of_a_future_that_was_lost_are_no_part(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for update, value in {10: 1.0, 20: 2.0, 30: 9.0}.items():
        keep_checkpoint(run, {"best": 3}, weights(update), (value, 0.0))
    keep_checkpoint(run, {"best": 3}, weights(20), (1.5, 0.0))
    assert updates(run) == [20, 10]


def test_the_mean_is_that_of_each_number(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for update in (1, 2, 3):
        keep_checkpoint(run, {"best": 3}, weights(update), (0.0, 0.0))
    found = mean_weights(run.kept_checkpoints())
    for name in ("a", "b"):
        rows = [weights(update).tensors[f"model.{name}"].double().numpy() for update in (1, 2, 3)]
        assert found[name].dtype == torch.float32
        np.testing.assert_allclose(found[name].numpy(), sum(rows) / 3, rtol=1e-7)


def test_the_best_of_a_state_is_found_again(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def best() -> float:
        return float(load(run.checkpoint("best")).tensors["model.x"])

    for value in (1.0, 2.0):
        saved = Checkpoint({"model.x": torch.tensor(value)}, {"update": int(value)})
        save_best(run, saved, (value, 0.0))
    assert recover_best(run, (2.0, 0.0)) == (2.0, 0.0)
    assert best() == 2.0
    assert recover_best(run, (1.0, 0.0)) == (1.0, 0.0)
    assert best() == 1.0
    save_best(run, saved, (2.0, 0.0))
    run.checkpoint("best").write_bytes(b"")
    assert recover_best(run, (2.0, 0.0)) == (1.0, 0.0)
    assert best() == 1.0
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    assert recover_best(run, (2.0, 0.0)) is None
