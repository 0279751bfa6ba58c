"""Language models from a recipe: trained, measured, writing, and joined to a translation model."""

import json
import math
import random
from pathlib import Path

import pytest

from seq2seq import checkpoint
from seq2seq.cli import main
from seq2seq.errors import RunError
from seq2seq.recipe import Recipe, load_recipe
from seq2seq.run import Run
from seq2seq.train import train
from seq2seq.translate import Translator

Capture = pytest.CaptureFixture[str]
RECIPE = """
device: cpu
data: {{tgt: out, train: {text}/train, dev: {text}/dev, test: {{t: {text}/test}}}}
tokenizer: {{model: {pieces}}}
model:
  type: language_model
  decoder: {{embedding_dim: 16, hidden_size: 16, num_layers: 1}}
  dropout: 0.1
training:
  {{max_epochs: 2, batch_size: 16, learning_rate: 1e-2, tgt_word_dropout: 0.1, ema_decay: 0.9,
  log_every: 4, precision: float32}}
output_dir: {folder}/lm
"""


def write_recipe(toy_run: Path, folder: Path) -> Path:
    """Of a model with the pieces of the toy task, on its target side."""
    path = folder / "lm.yaml"
    pieces = toy_run / "tokenizer" / "joint.model"
    path.write_text(RECIPE.format(text=toy_run.parent, pieces=pieces, folder=folder))
    return path


@pytest.fixture(scope="module")
def language_model(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = load_recipe(write_recipe(toy_run, tmp_path_factory.mktemp("lm")))
    return train(recipe).run_dir


def test_run_ends_with_its_perplexity(toy_run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", str(write_recipe(toy_run, tmp_path))]) == 0
    shown = capsys.readouterr().out
    assert "seq2seq generate" in shown and "unit:piece" in shown
    records = map(json.loads, (tmp_path / "lm" / "metrics.jsonl").read_text().splitlines())
    validations = [record for record in records if record["kind"] == "validation"]
    assert validations[-1]["perplexity"] < validations[0]["perplexity"] < 40
    assert not {"bleu", "source_dependence", "copied"} & validations[-1].keys()


def test_measures_are_those_of_each_line(
    toy_run: Path, language_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    text = toy_run.parent / "test.out"
    assert main(["probability", str(language_model), str(text), "--json"]) == 0
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.out.splitlines()]
    assert len(lines) == len(text.read_text().splitlines()) and "src" not in lines[0]
    total = sum(sum(line["log_probs"]) for line in lines)
    pieces = sum(len(line["tokens"]) for line in lines)
    words = sum(len(line["words"]) for line in lines)
    assert main(["evaluate", str(language_model), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["t"]
    expected = [math.exp(-total / count) for count in (pieces, words)]
    assert [score["value"] for score in scores] == pytest.approx(expected)
    assert f"count:{pieces}" in scores[0]["signature"]
    stored = (language_model / "evaluation" / "t.hyp").read_text().splitlines()
    by_line = [sum(line["log_probs"]) for line in lines]
    assert list(map(float, stored)) == pytest.approx(by_line, abs=1e-3)


def test_texts_begin_as_they_are_told_and_depend_on_number_and_seed(
    language_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    def write(*words: str) -> list[str]:
        assert main(["generate", str(language_model), *words]) == 0
        return capsys.readouterr().out.splitlines()

    three = write("-n", "3")
    assert len(three) == 3 and write("-n", "3") == three
    assert write("-n", "3", "--seed", "5") != three
    beginnings = ["4 5", "7", "4 5"]
    (tmp_path / "begin").write_text("".join(line + "\n" for line in beginnings))
    texts = write("-i", str(tmp_path / "begin"), "-n", "4")
    for i, text in enumerate(texts):
        assert text.startswith(beginnings[i // 4]), text
    assert texts[:4] != texts[8:]
    assert texts == write(*beginnings, "-n", "4")
    banned = write("-n", "30", "decoding.banned_phrases=[1, 2 3]")
    assert len(banned) == 30 and not any(f" {b} " in f" {t} " for t in banned for b in ("1", "2 3"))
    best = write("4 5", "decoding.sampling=false", "decoding.beam_size=30", "--json")
    sampled = [json.loads(text) for text in write("4 5", "-n", "30", "--json")]
    assert json.loads(best[0])["log_prob"] >= max(one["log_prob"] for one in sampled) - 1e-4


def test_it_joins_a_translation_model(toy_run: Path, language_model: Path) -> None:
    rng = random.Random(2)
    lines = [" ".join(rng.choices("0123456789", k=rng.randint(1, 7))) for _ in range(30)]

    def translated(**keys: object) -> tuple[list[str], list[float]]:
        decoding = load_recipe(toy_run / "recipe.yaml", check_files=False).decoding
        found = Translator.load(toy_run, decoding=decoding.model_copy(update=keys))
        hypotheses = [one.hypotheses[0] for one in found.translate(lines)]
        return [one.text for one in hypotheses], [one.score for one in hypotheses]

    plain, scores = translated()
    joined = translated(language_model=str(language_model), language_model_weight=0.5)
    assert joined[0] != plain and all(a < b for a, b in zip(joined[1], scores, strict=True))
    nothing = translated(language_model=str(language_model), language_model_weight=0.0)
    assert nothing == (plain, scores)
    alone = translated(language_model=str(language_model), language_model_weight=0.5, batch_size=1)
    assert alone[0] == joined[0] and alone[1] == pytest.approx(joined[1], abs=1e-5)


def test_what_it_cannot_do_is_told(toy_run: Path, language_model: Path, capsys: Capture) -> None:
    text = toy_run.parent / "test.in"
    for words, message in {
        ("translate", language_model, "-i", text): f"{language_model}: is a language model and "
        "translates nothing; 'seq2seq generate' writes text with it, 'seq2seq probability' says "
        "how likely text is",
        ("generate", toy_run): f"{toy_run}: is no language model; 'seq2seq translate' translates "
        "with it",
        ("probability", toy_run, "a", "b", "--ensemble", language_model): f"{language_model}: has "
        f"model.type language_model, {toy_run} encoder_decoder; only models of one type are an "
        "ensemble",
        ("probability", language_model, "a", "b"): f"seq2seq probability: {language_model} is a "
        "language model and reads no source; give one file",
        ("evaluate", toy_run, f"decoding.language_model={toy_run}"): "decoding.language_model: "
        f"{toy_run} translates; name a run of model.type: language_model",
        ("generate", language_model, "decoding.shortlist=20"): "command line: decoding.shortlist: "
        "a language model has no source and translates nothing; set 0",
        (
            "generate",
            language_model,
            "x",
        ): "'x': has words or characters that the model doesn't know; change it",
    }.items():
        assert main([*map(str, words)]) == 2, words
        assert capsys.readouterr().err.splitlines()[-1] == message


def test_other_pieces_are_refused(toy_run: Path, tmp_path: Path) -> None:
    path = write_recipe(toy_run, tmp_path)
    other = load_recipe(path, ["tokenizer.model=null", "training.max_epochs=1"])
    run = train(other).run_dir
    decoding = other.decoding.model_copy(update={"language_model": str(run)})
    with pytest.raises(RunError, match="has another target vocabulary"):
        Translator.load(toy_run, decoding=decoding)


def test_a_stopped_one_goes_on_as_if_nothing_had_been(toy_run: Path, tmp_path: Path) -> None:
    def recipe(name: str) -> Recipe:
        path = write_recipe(toy_run, tmp_path)
        return load_recipe(path, [f"output_dir={tmp_path / name}", "training.save_every=3"])

    train(recipe("whole"))
    updates = iter(range(1000))
    train(recipe("parts"), stop=lambda: next(updates) == 6)
    assert train(recipe("parts")).status == "finished"
    whole, parts = (
        checkpoint.load(Run(tmp_path / name).checkpoint("last")) for name in ("whole", "parts")
    )
    assert whole.tensors.keys() == parts.tensors.keys()
    assert all(whole.tensors[name].equal(parts.tensors[name]) for name in whole.tensors)
