"""It learns: from nothing to right answers, nearly all on strings that it has never seen."""

import random
from pathlib import Path

import pytest
from toy import write_toy

from seq2seq.evaluate import evaluate
from seq2seq.recipe import load_recipe
from seq2seq.train import train


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_strings_are_reversed(cell: str, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed={seed}")  # shown where the test fails: chance is on purpose
    path = write_toy(tmp_path, num_train=3000, num_test=200, longest=5, seed=seed)
    settings = [
        f"seed={seed}",
        f"model.encoder.rnn_type={cell}",
        f"model.decoder.rnn_type={cell}",
        "model.encoder.hidden_size=32",
        "model.decoder.hidden_size=64",
        "model.dropout=0",
        "tokenizer.type=word",
        "training.max_epochs=12",
        "training.batch_size=32",
        "training.learning_rate=5e-3",
        "training.early_stopping_metric=loss",
        "training.validate_every=200",
    ]
    recipe = load_recipe(path, settings)
    assert train(recipe).status == "finished"
    _, accuracy = evaluate(Path(recipe.output_dir))["t"]
    assert accuracy.value > 95
