import json
import shutil
from pathlib import Path

import pytest
from toy import toy_recipe

from seq2seq.errors import RunError
from seq2seq.evaluate import evaluate
from seq2seq.prepare import read_dev
from seq2seq.recipe import Decoding, Evaluation
from seq2seq.records import read_records
from seq2seq.run import Run
from seq2seq.scoring.metrics import score
from seq2seq.train import train
from seq2seq.translate import Translator


@pytest.fixture
def run_dir(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run with a test set of its own."""
    shutil.copytree(toy_run, tmp_path / "run", ignore=lambda *_: ["evaluation"])
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    (tmp_path / "run/recipe.yaml").write_text(
        recipe.replace(str(toy_run.parent / "test"), str(tmp_path / "test"))
    )
    for suffix in ("in", "out"):
        shutil.copy(toy_run.parent / f"test.{suffix}", tmp_path)
    return tmp_path / "run"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Filled with each run directory that a translator is loaded from."""
    calls: list[Path] = []
    load = Translator.load.__func__

    def counted(cls, run_dir, **settings):
        calls.append(run_dir)
        return load(cls, run_dir, **settings)

    monkeypatch.setattr(Translator, "load", classmethod(counted))
    return calls


def test_scores_are_those_of_the_written_translations(run_dir: Path) -> None:
    found = evaluate(run_dir)
    hypotheses = (run_dir / "evaluation/t.hyp").read_text().split("\n")[:-1]
    references = (run_dir.parent / "test.out").read_text().split("\n")[:-1]
    sources = (run_dir.parent / "test.in").read_text().split("\n")[:-1]
    assert found == {"t": score(hypotheses, [references], Run(run_dir).load_recipe().evaluation)}
    translator = Translator.load(run_dir)
    assert hypotheses == [answer.text for answer in translator.translate(sources)]
    record = json.loads((run_dir / "evaluation/scores.json").read_text())
    assert record["tests"]["t"]["scores"][0]["value"] == found["t"][0].value


def test_the_second_time_nothing_is_translated(run_dir: Path, loads: list[Path]) -> None:
    first = evaluate(run_dir)
    assert evaluate(run_dir) == first
    assert (
        evaluate(run_dir, decoding=Decoding(precision="float32", batch_size=3, n_best=2)) == first
    )
    assert len(loads) == 1


def test_translations_that_look_wrong_are_told(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(run_dir)
    assert "equals" not in caplog.text
    hyp = run_dir / "evaluation/t.hyp"
    shutil.copy(hyp, run_dir.parent / "test.out")
    evaluate(run_dir)
    assert f"warning: {hyp}: equals the references line by line; " in caplog.text


def change_references(run_dir: Path) -> None:
    path = run_dir.parent / "test.out"
    path.write_text(path.read_text().replace("1", "2"))


def change_translations(run_dir: Path) -> None:
    (run_dir / "evaluation/t.hyp").write_text("")


def change_weights(run_dir: Path) -> None:
    shutil.copy(run_dir / "checkpoints/last.safetensors", run_dir / "checkpoints/best.safetensors")


def change_metrics(run_dir: Path) -> None:
    path = run_dir / "recipe.yaml"
    path.write_text(path.read_text().replace("bootstrap: 10", "bootstrap: 0"))


def break_record(run_dir: Path) -> None:
    (run_dir / "evaluation/scores.json").write_text("{")


@pytest.mark.parametrize(
    "change",
    [change_references, change_translations, change_weights, change_metrics, break_record],
)
def test_what_a_score_depends_on_makes_it_anew(change, run_dir: Path, loads: list[Path]) -> None:
    evaluate(run_dir)
    change(run_dir)
    anew = evaluate(run_dir)
    assert len(loads) == 2
    assert evaluate(run_dir) == anew
    assert len(loads) == 2


def test_other_settings_make_it_anew(run_dir: Path, loads: list[Path]) -> None:
    evaluate(run_dir)
    evaluate(run_dir, decoding=Decoding(beam_size=1))
    evaluate(run_dir, decoding=Decoding(beam_size=1), checkpoint="last")
    evaluate(run_dir, decoding=Decoding(beam_size=1, n_best=1, batch_size=7), checkpoint="last")
    assert len(loads) == 3
    for samples in (3, 4):  # to choose from
        evaluate(run_dir, decoding=Decoding(sampling=True, mbr="chrf", n_best=samples))
    assert len(loads) == 5


def test_an_ensemble_is_told_apart(run_dir: Path, loads: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_dir, other)
    change_weights(other)
    alone, together = evaluate(run_dir), evaluate(run_dir, ensemble=[other])
    assert together == evaluate(run_dir, ensemble=[other])
    assert evaluate(run_dir) == alone
    assert len(loads) == 3
    evaluate(run_dir, ensemble=[other])
    (other / "checkpoints/best.safetensors").write_bytes(
        (run_dir / "checkpoints/best.safetensors").read_bytes()
    )
    evaluate(run_dir, ensemble=[other])
    assert len(loads) == 5


def test_without_a_checkpoint_there_is_nothing_to_evaluate(run_dir: Path) -> None:
    for path in (run_dir / "checkpoints").glob("*best.safetensors"):
        path.unlink()
    with pytest.raises(RunError, match=r"best\.safetensors: no checkpoint yet; train"):
        evaluate(run_dir)


def test_training_scores_unknown_symbols_as_evaluation_does(tmp_path: Path) -> None:
    recipe = toy_recipe(
        tmp_path,
        "tokenizer.type=word",
        "model.decoder={embedding_dim: 16, hidden_size: 32, copy_attention: true}",
        "training.max_epochs=8",
        "training.early_stopping_metric=accuracy",
    )
    for suffix in ("in", "out"):
        train_file = tmp_path / f"train.{suffix}"
        train_file.write_text(train_file.read_text().replace("9", "8"))
    run_dir = train(recipe).run_dir
    run = Run(run_dir)
    best = run.load_checkpoint("best").values["update"]
    records = [r for r in read_records(run.metrics_file) if r["kind"] == "validation"]
    record = next(r for r in records if r["update"] == best)
    sources, references = read_dev(run.load_recipe())
    decoding = run.load_recipe().decoding.model_copy(update={"beam_size": 1})
    outputs = Translator.load(run_dir, decoding=decoding).translate(sources)
    texts = [output.text for output in outputs]
    assert any("9" in text for text in texts)
    (bleu,) = score(texts, [references], Evaluation(metrics=("bleu",), bootstrap=0))
    assert record["bleu"] == pytest.approx(bleu.value)
