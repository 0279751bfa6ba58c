import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import SettingsError
from seq2seq.keys import Key, walk
from seq2seq.recipe import (
    Corpus,
    Recipe,
    changed_keys,
    dump_recipe,
    dump_saved,
    load_recipe,
    load_saved,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = """\
data:
  src: en
  tgt: no
  train: [hub:a, {path: hub:b, split: x}]
  dev: hub:c
  test: {t: hub:d}
"""


def load_text(folder: Path, text: str, *overrides: str) -> Recipe:
    file = folder / "my.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file, overrides)


def build(**sections: Any) -> Recipe:
    return Recipe(
        **{"data": {"src": "en", "tgt": "de", "train": "hub:x", "dev": "hub:x"}, **sections}
    )


def test_defaults_of_the_file(tmp_path: Path) -> None:
    recipe = load_text(tmp_path, DATA)
    assert (recipe.name, recipe.output_dir) == ("my", "runs/my")
    assert load_text(tmp_path, DATA, "name=x").output_dir == "runs/x"
    assert load_text(tmp_path, DATA, "output_dir=y").output_dir == "y"


def test_corpora_short_and_long(tmp_path: Path) -> None:
    data = load_text(tmp_path, DATA).data
    assert data.tgt == "no"
    assert data.train == (Corpus(path="hub:a"), Corpus(path="hub:b", split="x"))
    assert data.test == {"t": (Corpus(path="hub:d"),)}


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model.decoder.attention=null"],
        ["training.clip_grad_value=2"],
        ["training.learning_rate=1e-7", "decoding.max_length=9", "evaluation.metrics=[ter]"],
    ],
)
def test_dump_loads_back_equal(overrides: list[str], tmp_path: Path) -> None:
    recipe = load_text(tmp_path, DATA, *overrides)
    assert load_text(tmp_path, dump_recipe(recipe)) == recipe


def test_dump_is_complete(tmp_path: Path) -> None:
    text = dump_recipe(load_text(tmp_path, DATA))
    assert all(f"{key.path[-1]}:" in text for key in walk(Recipe))


def test_without_attention_nothing_feeds() -> None:
    assert build(model={"decoder": {"attention": None}}).model.decoder.feeding is None


def test_clipping_by_value_turns_off_the_norm() -> None:
    assert build(training={"clip_grad_value": 1.0}).training.clip_grad_norm is None
    assert build().training.clip_grad_norm == 1.0


def test_changed_keys_of_recipes() -> None:
    assert changed_keys(build(), build(seed=2, training={"batch_size": 3})) == [
        "seed",
        "training.batch_size",
    ]


def test_files_of_a_corpus(tmp_path: Path) -> None:
    prefix = tmp_path / "a"
    Path(f"{prefix}.en").write_text("x\n")
    with gzip.open(f"{prefix}.de.gz", "wt") as file:
        file.write("x\n")
    en, de = Path(f"{prefix}.en"), Path(f"{prefix}.de.gz")
    assert Corpus(path=str(prefix)).files("en", "de") == [en, de]
    assert Corpus(src=str(en), tgt=f"{prefix}.de").files("x", "y") == [en, de]
    assert Corpus(path=f"{prefix}.tsv").files("en", "de") == [Path(f"{prefix}.tsv")]
    assert Corpus(path="hub:a/b").files("en", "de") == []
    assert Corpus(path=str(tmp_path)).files("en", "de") == sorted([en, de])


@pytest.mark.parametrize(
    ("corpus", "kind"),
    [
        ({"path": "a/b"}, "pair"),
        ({"src": "a", "tgt": "b"}, "pair"),
        ({"path": "a.tsv.gz"}, "tsv"),
        ({"path": "a.jsonl"}, "jsonl"),
        ({"path": "hub:a"}, "hub"),
        ({"path": "."}, "directory"),
    ],
)
def test_kind_of_a_corpus(corpus: dict[str, str], kind: str) -> None:
    assert Corpus(**corpus).kind == kind


def test_files_are_not_needed_where_a_script_makes_them_or_nobody_asks(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("data: {src: en, tgt: de, train: nope/t, dev: nope/d}", encoding="utf-8")
    (tmp_path / "make.py").touch()
    with pytest.raises(SettingsError, match="no such file"):
        load_recipe(file)
    assert load_recipe(file, check_files=False).data.src == "en"
    assert load_recipe(file, [f"data.script={tmp_path}/make.py"]).data.src == "en"


def test_folders_and_pipes_are_told_as_such(tmp_path: Path) -> None:
    """Corpora are read several times, and what a shell gives by `<(command)` only once."""
    for name in ("t.en", "t.de"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "g").mkdir()
    text = f"data: {{src: en, tgt: de, train: {tmp_path}/t, dev: hub:d}}"
    with pytest.raises(SettingsError) as raised:
        load_text(tmp_path, text, f"decoding.glossary={tmp_path}/g")
    remedy = "no plain file, which can be read again; give one"
    assert str(raised.value).splitlines() == [
        f"{tmp_path}/my.yaml:1: data.train: '{tmp_path}/t.en' and '{tmp_path}/t.de': {remedy}",
        f"command line: decoding.glossary: '{tmp_path}/g': {remedy}",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tokenizer.src_model=a", "tokenizer.model=b"], "model is for both sides already"),
        (["tokenizer.src_model=a", "tokenizer.tgt_model=b"], "needs tokenizer.joint: false"),
        (["tokenizer.model=b", "tokenizer.joint=false"], "needs tokenizer.joint: true"),
        (["training.momentum=0.9"], "adam has no momentum"),
        (["training.min_learning_rate=1"], "must be at most learning_rate"),
        (
            ["model.bridge=copy", "model.decoder.num_layers=1", "model.decoder.rnn_type=gru"],
            "equal rnn_type",
        ),
        (
            ["model.bridge=copy", "model.encoder.num_layers=1", "model.decoder.num_layers=2"],
            "equal num_layers",
        ),
        (["data.dev={path: a.tsv, columns: [0, 1]}"], "numbers from 1"),
        (["data.dev={path: a.jsonl, config: x}"], "JSON lines has no config"),
        (["data.test={../x: hub:a}"], "names a file"),
    ],
)
def test_conflicts(overrides: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(DATA, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_recipe(file, overrides, check_files=False)
    (line,) = caught.value.lines
    assert line.startswith("command line: ")
    assert message in line


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.tied_embeddings=three_way"],
        ["model.bridge=copy"],
        ["model.bridge=copy", "model.decoder.num_layers=1"],
        ["model.encoder.pyramid_layers=2"],
        ["training.clip_grad_value=1", "training.clip_grad_norm=null"],
        ["decoding.n_best=5"],
        ["data.dev={path: a.tsv, columns: [1, 2]}"],
        ["model.decoder={attention: null, feeding: null}"],
    ],
)
def test_legal_combinations(overrides: list[str], tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(DATA, encoding="utf-8")
    load_recipe(file, overrides, check_files=False)


@pytest.mark.parametrize("model", [Recipe, Corpus])
def test_every_key_has_its_documentation(model: type[Recipe] | type[Corpus]) -> None:
    assert [key.path for key in walk(model) if not key.doc] == []


@pytest.mark.parametrize("key", list(walk(Recipe)), ids=lambda key: ".".join(key.path))
def test_every_default_is_legal(key: Key, tmp_path: Path) -> None:
    if key.default:
        name = ".".join(map(str, key.path))
        others = ["model.type=language_model"] if name == "data.src" else []
        load_text(tmp_path, DATA, f"{name}={key.default}", *others)


def test_reference_and_schema_are_fresh() -> None:
    tool = [sys.executable, "tools/recipe_reference.py", "--check"]
    result = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_stale_reference_is_noticed(tmp_path: Path) -> None:
    tool = [sys.executable, "tools/recipe_reference.py", "--folder", str(tmp_path)]
    subprocess.run(tool, cwd=ROOT, check=True)
    with (tmp_path / "REFERENCE.md").open("a") as file:
        file.write("x")
    result = subprocess.run(
        [*tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "REFERENCE.md: out of date" in result.stderr
    assert "schema.json" not in result.stderr


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_saved_recipe_that_is_cut_off_is_refused(share: float, tmp_path: Path) -> None:
    recipe = load_text(tmp_path, DATA, "decoding.precision=float32")
    path = tmp_path / "saved.yaml"
    path.write_text(dump_saved(recipe))
    assert load_saved(path) == recipe
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: int(share * len(lines))]))
    with pytest.raises(SettingsError):
        load_saved(path)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(SettingsError, match="is cut off; take it from a copy"):
        load_saved(path)
    path.write_text("".join(lines[1:-1]))  # as older versions wrote it
    assert load_saved(path) == recipe
