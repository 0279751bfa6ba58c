"""Runs whose target has some of the joint pieces, through everything that knows of pieces."""

import random
from pathlib import Path

import pytest

from seq2seq.data import tokenizer_training
from seq2seq.errors import RunError
from seq2seq.recipe import Recipe, load_recipe
from seq2seq.run import Run
from seq2seq.train import train
from seq2seq.translate import Translator

NUMBERS = {"uno": "eins", "dos": "zwei", "tres": "drei", "cuatro": "vier", "cinco": "fünf"}
TEXT = """
device: cpu
data: {{src: es, tgt: de, train: {folder}/train, dev: {folder}/dev}}
tokenizer: {{type: bpe, vocab_size: 60, joint: true}}
model:
  encoder: {{embedding_dim: 16, hidden_size: 16, num_layers: 1}}
  decoder: {{embedding_dim: 16, hidden_size: 16, num_layers: 1, attention: scaled_dot,
            attention_heads: 2, lexical: true}}
  dropout: 0.1
  tied_embeddings: three_way
training:
  {{max_epochs: 20, batch_size: 16, learning_rate: 1e-2, src_word_dropout: 0, tgt_word_dropout: 0,
  ema_decay: 0, precision: float32}}
decoding: {{precision: float32}}
output_dir: {folder}/run
"""


def write(folder: Path, *overrides: str) -> Recipe:
    rng = random.Random(1)
    for name, size in {"train": 200, "dev": 20}.items():
        rows = [rng.choices([*NUMBERS], k=rng.randint(1, 6)) for _ in range(size)]
        (folder / f"{name}.es").write_text("".join(" ".join(row) + "\n" for row in rows))
        translated = [" ".join(map(NUMBERS.__getitem__, row)) + "\n" for row in rows]
        (folder / f"{name}.de").write_text("".join(translated), encoding="utf-8")
    path = folder / "numbers.yaml"
    path.write_text(TEXT.format(folder=folder))
    return load_recipe(path, overrides)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_training, "OUTPUT_MULTIPLE", 1)
        return train(write(folder, "tokenizer.tgt_min_count=1")).run_dir


@pytest.fixture(scope="module")
def lines(numbers: Path) -> list[str]:
    return (numbers.parent / "dev.es").read_text().splitlines()


def test_the_output_layer_has_the_pieces_of_the_target(numbers: Path) -> None:
    run = Run(numbers)
    tokenizers = run.load_tokenizers()
    model = run.build_model(tokenizers, run.load_checkpoint("best"))
    size = len(tokenizers.tgt)
    assert size < len(tokenizers.src) == model.encoder.embedding.num_embeddings
    assert model.output.weight.shape[0] == size
    assert "▁cuatro" in tokenizers.src.vocabulary and "▁vier" in tokenizers.tgt.vocabulary
    assert "▁cuatro" not in tokenizers.tgt.vocabulary


def test_it_translates(numbers: Path, lines: list[str]) -> None:
    expected = (numbers.parent / "dev.de").read_text(encoding="utf-8").splitlines()
    texts = [output.text for output in Translator.load(numbers).translate(lines)]
    assert sum(map(str.__eq__, texts, expected)) > len(lines) / 2


@pytest.mark.parametrize(
    "keys",
    [
        ["decoding.beam_size=3"],
        ["decoding.precision=int8", "decoding.shortlist=2"],
        ["decoding.shortlist=50"],
        ["decoding.sampling=true"],
        ["decoding.mbr=chrf", "decoding.beam_size=4"],
    ],
)
def test_every_search_keeps_to_them(keys: list[str], numbers: Path, lines: list[str]) -> None:
    section = load_recipe(numbers / "recipe.yaml", keys).decoding
    outputs = list(Translator.load(numbers, decoding=section).translate(lines))
    known = {*Run(numbers).load_tokenizers().tgt.vocabulary}
    assert len(outputs) == len(lines)
    assert all({*output.hypotheses[0].tokens} <= known for output in outputs)


def test_text_of_other_pieces_is_spelt_with_these(numbers: Path, lines: list[str]) -> None:
    outputs = Translator.load(numbers).translate(lines[:2], prefixes=["cuatro", "zwei cuatro"])
    assert [output.text[:11] for output in outputs][1] == "zwei cuatro"
    unknown = Run(numbers).load_tokenizers().tgt.encode(["tres dos"])[0]
    assert 1 not in unknown


def test_runs_with_its_pieces_join_it(numbers: Path, lines: list[str], tmp_path: Path) -> None:
    pieces = f"tokenizer={{model: {numbers}/tokenizer/joint.model, joint: true}}"
    other = train(write(tmp_path, pieces, "seed=2", "training.max_updates=4")).run_dir
    together = list(Translator.load(numbers, ensemble=[other]).translate(lines))
    assert len(together) == len(lines)
    model = f"{numbers}/tokenizer/joint.model"
    apart = train(
        write(
            tmp_path,
            f"tokenizer={{src_model: {model}, tgt_model: {model}, joint: false}}",
            "model.tied_embeddings=two_way",
            f"output_dir={tmp_path}/apart",
            "training.max_updates=4",
        )
    ).run_dir
    assert len(list(Translator.load(numbers, ensemble=[apart]).translate(lines))) == len(lines)
    begun = train(
        write(
            tmp_path,
            f"training.init_from={numbers}",
            f"output_dir={tmp_path}/next",
            "training.max_updates=4",
        )
    ).run_dir
    ours, theirs = Run(begun).load_tokenizers(), Run(numbers).load_tokenizers()
    assert ours.tgt.vocabulary == theirs.tgt.vocabulary
    assert len(list(Translator.load(numbers, ensemble=[begun]).translate(lines))) == len(lines)
    alone = train(
        write(
            tmp_path,
            "tokenizer.tgt_min_count=0",
            f"output_dir={tmp_path}/alone",
            "training.max_updates=4",
        )
    ).run_dir
    with pytest.raises(RunError, match="has another target vocabulary"):
        Translator.load(numbers, ensemble=[alone])


def test_a_language_model_of_its_pieces_helps_it(
    numbers: Path, lines: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "lm.yaml"
    path.write_text(
        f"data: {{tgt: de, train: {numbers.parent}/train, dev: {numbers.parent}/dev}}\n"
        f"tokenizer: {{model: {numbers}/tokenizer/joint.model}}\n"
        "device: cpu\n"
        "model: {type: language_model, decoder: {embedding_dim: 8, hidden_size: 8}}\n"
        f"training: {{max_updates: 4, batch_size: 16}}\noutput_dir: {tmp_path}/lm\n"
    )
    helper = train(load_recipe(path)).run_dir
    keys = [f"decoding.language_model={helper}", "decoding.language_model_weight=0.1"]
    section = load_recipe(numbers / "recipe.yaml", keys).decoding
    outputs = list(Translator.load(numbers, decoding=section).translate(lines))
    assert len(outputs) == len(lines)


def test_a_run_goes_on_with_pieces_that_would_be_chosen_otherwise_today(tmp_path: Path) -> None:
    older = "tokenizer={type: bpe, joint: true, vocab_size: 50, tgt_min_count: 0}"
    first = train(write(tmp_path, older, "training.max_updates=4")).run_dir
    saved = first / "recipe.yaml"
    kept = [line for line in saved.read_text().splitlines() if "tgt_min_count" not in line]
    saved.write_text("\n".join(kept) + "\n")  # as versions without that key wrote it
    before = Run(first).load_tokenizers()
    open_recipe = tmp_path / "open.yaml"
    text = (tmp_path / "numbers.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("tokenizer:")]
    open_recipe.write_text("\n".join(lines) + "\n")
    again = train(load_recipe(open_recipe, ["training.max_updates=8"])).run_dir
    assert again == first and Run(first).load_tokenizers().tgt.vocabulary == before.tgt.vocabulary
