from pathlib import Path

import pytest
from toy import toy_recipe

from seq2seq.errors import RunError
from seq2seq.run import FREE_KEYS, CheckpointName, Run


def train(run: Run, name: CheckpointName = "last") -> None:
    run.checkpoint(name).parent.mkdir(exist_ok=True)
    run.checkpoint(name).touch()


def test_the_saved_recipe_is_the_claimed_one(tmp_path: Path) -> None:
    recipe, run = toy_recipe(tmp_path), Run(tmp_path / "run")
    run.claim(recipe)
    assert run.load_recipe() == recipe
    before = run.recipe_file.stat()
    run.claim(recipe)
    assert run.recipe_file.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_trained_run_keeps_its_recipe(tmp_path: Path, checkpoint: CheckpointName) -> None:
    run = Run(tmp_path / "run")
    recipe = toy_recipe(tmp_path, "seed=2")
    run.claim(toy_recipe(tmp_path))
    run.claim(recipe)
    train(run, checkpoint)
    other = toy_recipe(tmp_path, "seed=3", "model.decoder.num_layers=3", "decoding.beam_size=2")
    with pytest.raises(RunError, match=r"/run: was trained .* seed, model\.decoder\.num_layers; "):
        run.claim(other)
    assert run.load_recipe() == recipe


def test_checkpoints_of_an_unknown_recipe_are_left_alone(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.claim(toy_recipe(tmp_path))
    train(run)
    run.recipe_file.unlink()
    with pytest.raises(RunError, match=r"/run: has checkpoints but no recipe\.yaml"):
        run.claim(toy_recipe(tmp_path))
    assert not run.recipe_file.exists()


def test_what_has_no_part_in_the_weights_may_change(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.claim(toy_recipe(tmp_path))
    train(run)
    changes = ["decoding.beam_size=2", "data.test=null", "training.log_every=9", "name=other"]
    before = run.load_recipe()
    run.claim(toy_recipe(tmp_path, *changes))
    assert run.load_recipe() == before


def test_free_keys_are_keys() -> None:
    from seq2seq.keys import explain
    from seq2seq.recipe import Recipe

    assert [key for key in FREE_KEYS if explain(Recipe, key) is None] == []


def test_what_is_no_run_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run directory \(it has no recipe\.yaml\)"):
        Run(tmp_path).load_recipe()
