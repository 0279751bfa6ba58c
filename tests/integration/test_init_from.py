"""Training that begins with the weights and the tokenizer of another run."""

import shutil
from pathlib import Path

import pytest
import torch
from toy import toy_recipe

from seq2seq import checkpoint
from seq2seq.data.corpus import read_pairs
from seq2seq.errors import RunError
from seq2seq.prepare import prepare
from seq2seq.recipe import Recipe, load_recipe
from seq2seq.run import CheckpointName, Run
from seq2seq.train import build_trainer, train
from seq2seq.translate import Translator


@pytest.fixture
def first(toy_run: Path, tmp_path: Path) -> Path:
    """A trained run that may be changed."""
    return shutil.copytree(toy_run, tmp_path / "first")


@pytest.fixture
def tuning(first: Path, tmp_path: Path) -> Recipe:
    """Other text with letters that the first run's has none of, and other settings."""
    recipe = toy_recipe(
        tmp_path,
        f"training.init_from={first}",
        "tokenizer.vocab_size=30",
        "training.max_updates=3",
        "seed=9",
    )
    for name in ("train", "dev"):
        for side in ("in", "out"):
            path = tmp_path / f"{name}.{side}"
            path.write_text(path.read_text().replace("7", "x"))
    return recipe


def test_weights_and_tokenizer_are_those_of_the_first_run(tuning: Recipe, first: Path) -> None:
    trainer = build_trainer(
        tuning, prepare(tuning), Run(Path(tuning.output_dir)), torch.device("cpu")
    )
    saved = checkpoint.load(Run(first).checkpoint("best")).part("model")
    found = dict(trainer.model.named_parameters())
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], weight) for name, weight in saved.items())
    for path in (first / "tokenizer").glob("*.model"):
        assert (Path(tuning.output_dir) / "tokenizer" / path.name).read_bytes() == path.read_bytes()


def test_runs_know_the_longest_source_of_all_their_training(
    tuning: Recipe, first: Path, tmp_path: Path
) -> None:
    run = Run(first)
    lines = [src for src, _ in read_pairs(run.load_recipe().data.train, tuning.data, "train")]
    longest = max(map(len, run.load_tokenizers().src.encode(lines)))
    assert longest_source(run, "best") == longest_source(run, "last") == longest
    for side in ("in", "out"):
        (tmp_path / f"train.{side}").write_text("1\n" * 20)
    train(tuning)
    assert longest_source(Run(Path(tuning.output_dir)), "best") == longest
    assert Translator.load(tuning.output_dir).longest == longest + longest // 2
    # Runs of earlier versions don't say.
    best = run.checkpoint("best")
    old = checkpoint.load(best)
    checkpoint.save(best, checkpoint.Checkpoint(old.tensors, {"update": 1}))
    assert longest_source(run, "best") == tuning.data.max_length


def longest_source(run: Run, name: CheckpointName) -> int:
    return run.longest_source(run.load_checkpoint(name))


def test_training_goes_on_from_there_and_resumes(tuning: Recipe, tmp_path: Path) -> None:
    straight = tuning.model_copy(update={"output_dir": str(tmp_path / "straight")})
    assert train(straight).status == "finished"
    while train(tuning, stop=lambda: True).status == "interrupted":
        pass
    ends = [
        checkpoint.load(Run(Path(recipe.output_dir)).checkpoint("last")).part("model")
        for recipe in (straight, tuning)
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_other_first_weights_are_noticed(tuning: Recipe, first: Path) -> None:
    train(tuning)
    shutil.copy(Run(first).checkpoint("last"), Run(first).checkpoint("best"))
    with pytest.raises(RunError, match="or the first weights have changed"):
        train(tuning)


def test_a_run_of_the_opposite_direction_is_refused(tuning: Recipe, first: Path) -> None:
    data = tuning.data.model_copy(update={"src": "out", "tgt": "in"})
    with pytest.raises(
        RunError,
        match=r"^training\.init_from: .* translates from in into out; name a run that does",
    ):
        train(tuning.model_copy(update={"data": data}))
    assert not Path(tuning.output_dir).exists()


def test_a_run_that_reads_or_writes_from_the_end_is_for_those_that_do(
    tuning: Recipe, first: Path
) -> None:
    for key in ("reverse_src", "reverse_tgt"):
        data = tuning.data.model_copy(update={key: True})
        with pytest.raises(
            RunError,
            match=rf"^training\.init_from: .*/first was trained with data\.{key}: false, and its ",
        ):
            train(tuning.model_copy(update={"data": data}))
    assert not Path(tuning.output_dir).exists()


def test_weights_of_another_kind_of_vocabulary_name_it(tmp_path: Path) -> None:
    first = train(toy_recipe(tmp_path, "model.tied_embeddings=three_way", "training.max_updates=1"))
    moved = shutil.move(first.run_dir, tmp_path / "first")
    path = tmp_path / "second.yaml"
    text = (tmp_path / "toy.yaml").read_text().replace("  tied_embeddings: null\n", "")
    path.write_text(text)
    keys = f"training.init_from={moved}", "training.max_updates=1"
    with pytest.raises(RunError, match=r"does: tokenizer\.joint, model\.tied_embeddings$"):
        train(load_recipe(path, [*keys, "tokenizer.joint=false"]))
    assert train(load_recipe(path, [*keys, "tokenizer.joint=true"])).status == "finished"


def test_weights_that_do_not_fit_name_the_keys(tuning: Recipe) -> None:
    encoder = tuning.model.encoder.model_copy(update={"hidden_size": 8})
    model = tuning.model.model_copy(update={"encoder": encoder, "dropout": 0.5})
    with pytest.raises(
        RunError, match=r"^training\.init_from: .*set as its .* does: model\.encoder\.hidden_size$"
    ):
        train(tuning.model_copy(update={"model": model}))
