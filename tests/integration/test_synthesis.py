"""Training pairs that other runs make."""

import gzip
import logging
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from toy import toy_recipe

from seq2seq.cli import main
from seq2seq.data.corpus import read_lines, read_pairs
from seq2seq.errors import DataError, RunError
from seq2seq.prepare import Prepared, prepare
from seq2seq.recipe import Decoding, Recipe
from seq2seq.run import Run
from seq2seq.train import train
from seq2seq.translate import Translator


@pytest.fixture(scope="module")
def backward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the opposite direction."""
    folder = tmp_path_factory.mktemp("backward")
    settings = ["data={src: out, tgt: in}", "training.max_epochs=6"]
    return train(toy_recipe(folder, *settings)).run_dir


@pytest.fixture
def teacher(toy_run: Path, tmp_path: Path) -> Path:
    """A trained run that may be changed."""
    return shutil.copytree(toy_run, tmp_path / "teacher")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Filled with each run directory that a translator is loaded from."""
    calls: list[Path] = []
    load = Translator.load.__func__

    def counted(cls: Any, run_dir: Path, **settings: Any) -> Translator:
        calls.append(run_dir)
        return load(cls, run_dir, **settings)

    monkeypatch.setattr(Translator, "load", classmethod(counted))
    return calls


def pairs_of(prepared: Prepared) -> list[tuple[str, str]]:
    corpus, sides = prepared.train, prepared.tokenizers
    rows = range(len(corpus))
    src = sides.src.decode([corpus.src(i).tolist() for i in rows])
    return list(zip(src, sides.tgt.decode([corpus.tgt(i).tolist() for i in rows]), strict=True))


def translate(lines: list[str], run: Path, *others: Path, beam_size: int = 5) -> list[str]:
    decoding = Decoding(beam_size=beam_size, precision="float32")
    translator = Translator.load(run, ensemble=others, decoding=decoding)
    return [translation.text for translation in translator.translate(lines)]


def without_blanks(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if all(pair)]


def distilling(folder: Path, *teachers: Path, **keys: Any) -> Recipe:
    settings = {"runs": f"[{', '.join(map(str, teachers))}]"} | keys
    return toy_recipe(folder, *(f"data.distillation.{k}={v}" for k, v in settings.items()))


@pytest.mark.parametrize("keep_original", [True, False])
def test_distilled_pairs_join_or_replace_the_pairs(
    keep_original: bool, toy_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = distilling(tmp_path, toy_run, keep_original=str(keep_original).lower(), beam_size=3)
    with caplog.at_level(logging.INFO, "seq2seq"):
        found = pairs_of(prepare(recipe))
    pairs = list(read_pairs(recipe.data.train, recipe.data, "train"))
    sources = [src for src, _ in pairs]
    made = list(zip(sources, translate(sources, toy_run, beam_size=3), strict=True))
    assert made != pairs
    assert found == pairs * keep_original + without_blanks(made)
    counts = "200 pairs + 200 distilled" if keep_original else "200 distilled"
    assert f"training on {counts}" in caplog.messages


def test_several_teachers_are_an_ensemble(toy_run: Path, tmp_path: Path) -> None:
    settings = [f"output_dir={tmp_path}/other", "training.max_epochs=1", "seed=5"]
    other = train(toy_recipe(tmp_path, *settings)).run_dir
    shutil.copytree(toy_run / "tokenizer", other / "tokenizer", dirs_exist_ok=True)
    prepare(distilling(tmp_path, toy_run, other))
    sources = list(read_lines(tmp_path / "train.in"))
    assert list(read_lines(tmp_path / "run/data/distilled/made.txt")) == translate(
        sources, toy_run, other
    )


def test_back_translated_pairs_have_a_real_target(
    backward: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gzip.open(tmp_path / "more.out.gz", "wt") as file:
        file.write("1 2 3 4\n\n  \n5 6 7\n")
    (tmp_path / "mono.out").write_text("9 8\n7")
    back = {
        "runs": backward,
        "text": f"[{tmp_path}/mono.out, {tmp_path}/more.out.gz]",
        "tag": "'<BT>'",
        "beam_size": 1,
    }
    recipe = toy_recipe(tmp_path, *(f"data.back_translation.{k}={v}" for k, v in back.items()))
    with caplog.at_level(logging.INFO, "seq2seq"):
        prepared = prepare(recipe)
    folder = tmp_path / "run/data/back-translated"
    targets = ["9 8", "7", "1 2 3 4", "", "  ", "5 6 7"]
    assert list(read_lines(folder / "given.txt")) == targets
    sources = translate(targets, backward, beam_size=1)
    assert [bool(source) for source in sources] == [True, True, True, False, False, True]
    expected = [f"<BT> {source}" if source else "" for source in sources]
    assert list(read_lines(folder / "made.txt")) == expected
    assert "training on 200 pairs + 6 back-translated" in caplog.messages
    assert prepared.ledger.read == 206
    assert prepared.ledger.blank == 2


def test_back_translations_can_be_samples(
    backward: Path, tmp_path: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*settings: str) -> list[str]:
        back = f"data.back_translation={{runs: {backward}, text: {tmp_path}/train.out}}"
        prepare(toy_recipe(tmp_path, back, *settings))
        return list(read_lines(tmp_path / "run/data/back-translated/made.txt"))

    sampled = ["data.back_translation.sampling=true", "seed=7"]
    best, first = made("seed=7"), made(*sampled)
    assert first == made(*sampled) != best
    assert len(loads) == 2
    targets = list(read_lines(tmp_path / "train.out"))
    decoding = Decoding(sampling=True, sampling_seed=7, precision="float32")
    expected = Translator.load(backward, decoding=decoding).translate(targets)
    assert first == [translation.text for translation in expected]
    assert made(sampled[0], "seed=8") != first

    translate_lines = Translator.translate

    def killed(self: Translator, lines: Iterator[str]) -> Iterator[Any]:
        yield from islice(translate_lines(self, lines), 130)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Translator, "translate", killed)
        made(*sampled)
    assert made(*sampled) == first


@pytest.mark.parametrize("sampling", ["true", "false"])
def test_what_the_run_itself_searches_for_is_changed(
    sampling: str, backward: Path, tmp_path: Path
) -> None:
    odd = shutil.copytree(backward, tmp_path / "odd")
    text, path = (odd / "recipe.yaml").read_text(), odd / "recipe.yaml"
    here = {"sampling: false": "sampling: true", "n_best: 1": "n_best: 3"}
    if sampling == "true":
        here = {"coverage_penalty: 0.0": "coverage_penalty: 0.2", "mbr: null": "mbr: chrf"}
    for ours, theirs in here.items():
        assert ours in text
        text = text.replace(ours, theirs, 1)
    path.write_text(text)
    back = {"runs": odd, "text": f"{tmp_path}/train.out", "sampling": sampling}
    prepare(toy_recipe(tmp_path, *(f"data.back_translation.{k}={v}" for k, v in back.items())))
    targets = list(read_lines(tmp_path / "train.out"))
    decoding = Decoding(sampling=sampling == "true", sampling_seed=1, precision="float32")
    expected = Translator.load(backward, decoding=decoding).translate(targets)
    made = read_lines(tmp_path / "run/data/back-translated/made.txt")
    assert list(made) == [translation.text for translation in expected]


def test_the_tokenizer_is_trained_on_the_pairs_alone(toy_run: Path, tmp_path: Path) -> None:
    plain = prepare(toy_recipe(tmp_path)).tokenizers.src.serialize()
    assert prepare(distilling(tmp_path, toy_run)).tokenizers.src.serialize() == plain


def change_weights(teacher: Path, folder: Path) -> None:
    shutil.copy(Run(teacher).checkpoint("last"), Run(teacher).checkpoint("best"))


def change_text(teacher: Path, folder: Path) -> None:
    path = folder / "train.in"
    path.write_text(path.read_text().replace("1", "2"))


def change_search(teacher: Path, folder: Path) -> None:
    path = teacher / "recipe.yaml"
    path.write_text(path.read_text().replace("length_penalty: 1.0", "length_penalty: 0.0"))


@pytest.mark.parametrize("change", [change_weights, change_text, change_search])
def test_it_is_done_once_until_something_changes(
    change: Callable[[Path, Path], None], teacher: Path, tmp_path: Path, loads: list[Path]
) -> None:
    recipe = distilling(tmp_path, teacher)
    for _ in range(2):
        prepare(recipe)
        assert len(loads) == 1
    change(teacher, tmp_path)
    for _ in range(2):
        prepare(recipe)
        assert len(loads) == 2


def test_a_trained_run_keeps_its_pairs(teacher: Path, tmp_path: Path) -> None:
    recipe = distilling(tmp_path, teacher)
    prepare(recipe)
    Run(tmp_path / "run").checkpoint("last").parent.mkdir()
    Run(tmp_path / "run").checkpoint("last").touch()
    prepare(recipe)
    change_weights(teacher, tmp_path)
    with pytest.raises(RunError, match=r"what is in data\.distillation has changed since"):
        prepare(recipe)


@pytest.mark.parametrize("killed_after", [0, 1, 130, 200])
def test_broken_off_it_goes_on(
    killed_after: int, toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = distilling(tmp_path, toy_run)
    whole = translate(list(read_lines(tmp_path / "train.in")), toy_run)
    translate_lines, asked = Translator.translate, []

    def killed(self: Translator, lines: Iterator[str]) -> Iterator[Any]:
        yield from islice(translate_lines(self, lines), killed_after)
        raise KeyboardInterrupt

    def counted(self: Translator, lines: Iterator[str]) -> Iterator[Any]:
        for translation in translate_lines(self, lines):
            asked.append(translation.src)
            yield translation

    monkeypatch.setattr(Translator, "translate", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(recipe)
    partial = tmp_path / "run/data/.distilled.partial/made.txt"
    with partial.open("a") as file:
        file.write("1 2 ")
    monkeypatch.setattr(Translator, "translate", counted)
    prepare(recipe)
    assert len(asked) == 200 - killed_after
    assert list(read_lines(tmp_path / "run/data/distilled/made.txt")) == whole
    assert not partial.parent.exists()


def test_what_was_broken_off_of_other_content_is_dropped(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = distilling(tmp_path, teacher)
    prepare(toy_recipe(tmp_path))

    def break_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", break_off)
        with pytest.raises(KeyboardInterrupt):
            prepare(recipe)
    assert (tmp_path / "run/data/.distilled.partial/made.txt").exists()
    change_weights(teacher, tmp_path)
    prepare(recipe)
    sources = list(read_lines(tmp_path / "train.in"))
    made = list(read_lines(tmp_path / "run/data/distilled/made.txt"))
    assert made == translate(sources, teacher)


def test_the_opposite_direction_is_refused(backward: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"data\.distillation\.runs: .* translates from out into in; name a run"
    ):
        prepare(distilling(tmp_path, backward))


def test_text_without_lines_is_told(backward: Path, tmp_path: Path) -> None:
    (tmp_path / "mono.out").touch()
    keys = {"runs": backward, "text": f"{tmp_path}/mono.out"}
    recipe = toy_recipe(tmp_path, *(f"data.back_translation.{k}={v}" for k, v in keys.items()))
    with pytest.raises(DataError, match=r"^data\.back_translation: its text has no lines"):
        prepare(recipe)


def test_run_carries_out_all_stages_and_skips_what_is_done(
    toy_run: Path, backward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_recipe(tmp_path)
    command = [
        "run",
        str(tmp_path / "toy.yaml"),
        f"data.distillation.runs={toy_run}",
        f"data.back_translation={{runs: {backward}, text: {tmp_path}/train.out}}",
        "training={max_updates: 2, batch_size: 16}",
    ]
    assert main(command) == 0
    first = capsys.readouterr()
    stages = [
        "training the tokenizer",
        "distilled 200 lines by",
        "back-translated 200 lines by",
        "training on 200 pairs + 200 distilled + 200 back-translated",
        "update 2 ",
    ]
    places = [first.err.find(stage) for stage in stages]
    assert places == sorted(places)
    assert min(places) == 0
    assert main(command) == 0
    over = "training is over by training.max_updates; with more of that it goes on\n"
    assert capsys.readouterr() == (first.out, over)
