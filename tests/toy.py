"""A task that a small network learns in seconds: strings of digits, to be said backwards."""

import random
from pathlib import Path

from seq2seq.recipe import Recipe, load_recipe

RECIPE = """
device: cpu
data: {{src: in, tgt: out, train: {folder}/train, dev: {folder}/dev, test: {{t: {folder}/test}}}}
tokenizer: {{type: bpe, vocab_size: 40, joint: true}}
model:
  encoder: {{embedding_dim: 16, hidden_size: 16, num_layers: 1}}
  decoder: {{embedding_dim: 16, hidden_size: 32, num_layers: 2, copy_attention: false}}
  dropout: 0.2
  tied_embeddings: null
training:
  {{max_epochs: 2, batch_size: 16, learning_rate: 1e-2, src_word_dropout: 0, tgt_word_dropout: 0,
  ema_decay: 0, log_every: 4, early_stopping_metric: bleu, precision: float32}}
decoding: {{precision: float32}}
evaluation: {{metrics: [bleu, accuracy], bootstrap: 10}}
output_dir: {folder}/run
"""


def write_toy(
    folder: Path, *, num_train: int = 200, num_test: int = 20, longest: int = 6, seed: int = 1
) -> Path:
    """Write corpora and a recipe; the path of the recipe."""
    rng = random.Random(seed)
    for name, size in {"train": num_train, "dev": num_test, "test": num_test}.items():
        rows = [rng.choices("0123456789", k=rng.randint(2, longest)) for _ in range(size)]
        for suffix, step in {"in": 1, "out": -1}.items():
            lines = [" ".join(row[::step]) + "\n" for row in rows]
            (folder / f"{name}.{suffix}").write_text("".join(lines))
    path = folder / "toy.yaml"
    path.write_text(RECIPE.format(folder=folder))
    return path


def toy_recipe(folder: Path, *overrides: str) -> Recipe:
    """The recipe of a new toy task in a folder."""
    return load_recipe(write_toy(folder), overrides)
