"""Each wrong recipe gives its lines on stderr, nothing else, and exit status 2."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seq2seq.cli import main

DATA = "data: {src: en, tgt: de, train: d/train, dev: d/dev}\n"


@dataclass
class Wrong:
    """A recipe after the line `DATA`, unless it brings its own, and what is said about it."""

    text: str
    lines: list[str]
    overrides: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        return self.text if "data:" in self.text else DATA + self.text


MISSING = "paths start at the working directory"

WRONG = {
    "misspelt key": Wrong(
        "training:\n  optimiser: adam\n",
        ["x.yaml:3: training.optimiser: unknown key; did you mean 'optimizer'?"],
    ),
    "key of another section": Wrong(
        "training:\n  beam_size: 3\n",
        ["x.yaml:3: training.beam_size: unknown key; it belongs under 'decoding'"],
    ),
    "key of two other sections": Wrong(
        "batch_size: 3\n",
        ["x.yaml:2: batch_size: unknown key; it belongs under 'training' or 'decoding'"],
    ),
    "top-level key in a section": Wrong(
        "training: {seed: 3}\n",
        ["x.yaml:2: training.seed: unknown key; it belongs at the top level"],
    ),
    "misspelt section": Wrong(
        "trainning:\n  batch_size: 3\n",
        ["x.yaml:2: trainning: unknown key; did you mean 'training'?"],
    ),
    "dotted key in a file": Wrong(
        "training.max_epochs: 3\n",
        ["x.yaml:2: training.max_epochs: unknown key; write 'max_epochs' under 'training'"],
    ),
    "unheard-of key": Wrong(
        "decoding: {zzz: 3}\n",
        [
            "x.yaml:2: decoding.zzz: unknown key; "
            "`seq2seq recipe --explain decoding` lists the known ones"
        ],
    ),
    "duplicate key": Wrong(
        "training:\n  max_epochs: 3\n  seed: 1\n  max_epochs: 4\n",
        [
            "x.yaml:4: training.seed: unknown key; it belongs at the top level",
            "x.yaml:5: training.max_epochs: given twice, first in line 3",
        ],
    ),
    "text for a number": Wrong(
        "training: {learning_rate: fast}\n",
        ["x.yaml:2: training.learning_rate: must be a number, not 'fast'"],
    ),
    "quoted number": Wrong(
        "training:\n  batch_size: '8'\n",
        ["x.yaml:3: training.batch_size: must be a whole number, not '8'; write it without quotes"],
    ),
    "fraction for a whole number": Wrong(
        "training: {batch_size: 8.5}\n",
        ["x.yaml:2: training.batch_size: must be a whole number, not 8.5"],
    ),
    "yes for true": Wrong(
        "decoding: {ban_unk: yes}\n",
        ["x.yaml:2: decoding.ban_unk: must be true or false, not 'yes'"],
    ),
    "null where off is something else": Wrong(
        "training: {label_smoothing: null}\n",
        ["x.yaml:2: training.label_smoothing: must be a number, not null; the default is 0.1"],
    ),
    "null where the default depends on the corpus": Wrong(
        "training: {learning_rate: null}\n",
        [
            "x.yaml:2: training.learning_rate: must be a number, not null; "
            "without the key it is chosen from the corpus"
        ],
    ),
    "out of range": Wrong(
        "training: {batch_size: 0, label_smoothing: 1.0, betas: [0.9, 2]}\n",
        [
            "x.yaml:2: training.batch_size: must be at least 1, not 0",
            "x.yaml:2: training.label_smoothing: must be at least 0 and less than 1, not 1.0",
            "x.yaml:2: training.betas[1]: must be at least 0 and less than 1, not 2",
        ],
    ),
    "not finite": Wrong(
        "training: {learning_rate: .inf}\n",
        ["x.yaml:2: training.learning_rate: must be finite, not .inf"],
    ),
    "illegal choice": Wrong(
        "training:\n  optimizer: adamx\n",
        ["x.yaml:3: training.optimizer: must be one of adam, adamw, sgd, adadelta, not 'adamx'"],
    ),
    "illegal choice, null being legal": Wrong(
        "model: {bridge: none}\n",
        ["x.yaml:2: model.bridge: must be one of dense, copy, null, not 'none'"],
    ),
    "wrong list": Wrong(
        "training: {betas: [0.9]}\nevaluation:\n  metrics: []\n",
        [
            "x.yaml:2: training.betas: must be a list of 2 numbers, not a list of 1",
            "x.yaml:4: evaluation.metrics: must not be empty",
        ],
    ),
    "value for a section": Wrong(
        "training: 3\n", ["x.yaml:2: training: must be a section of keys, not 3"]
    ),
    "section for a value": Wrong(
        "seed: {a: 1}\n", ["x.yaml:2: seed: must be a whole number, not a section of keys"]
    ),
    "no data": Wrong("seed: 3 # no data: at all\n", ["x.yaml:1: data: required, but not given"]),
    "no target language": Wrong(
        "# mine\ndata:\n  src: en\n  train: d/train\n  dev: d/dev\n",
        ["x.yaml:2: data.tgt: required, but not given; for example `tgt: de`"],
    ),
    "missing corpora": Wrong(
        "data:\n  src: en\n  tgt: de\n  train:\n    - d/train\n    - d/more\n"
        "  dev: {src: d/dev.en, tgt: d/dev.fr}\n",
        [
            "x.yaml:6: data.train[1]: no such files 'd/more.en' and 'd/more.de'; " + MISSING,
            "x.yaml:7: data.dev.tgt: no such file 'd/dev.fr'; " + MISSING,
        ],
    ),
    "missing script": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: e/train\n  dev: e/dev\n  script: make.py\n",
        ["x.yaml:6: data.script: no such file 'make.py'; " + MISSING],
    ),
    "missing tokenizer": Wrong(
        "tokenizer:\n  model: t.model\n",
        ["x.yaml:3: tokenizer.model: no such file 't.model'; " + MISSING],
    ),
    "corpus without its target": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: {src: d/train.en}\n  dev: {}\n",
        [
            "x.yaml:4: data.train.src: needs tgt beside it",
            "x.yaml:5: data.dev: names no corpus; give path, or src and tgt",
        ],
    ),
    "corpus given twice over": Wrong(
        "data:\n  src: en\n  tgt: de\n  dev: d/dev\n"
        "  train: {path: d/train, src: d/train.en, split: train}\n",
        [
            "x.yaml:5: data.train.src: give either path or src and tgt, not both",
            "x.yaml:5: data.train.split: plain text has no split; remove it",
        ],
    ),
    "three-way tying of two vocabularies": Wrong(
        "tokenizer: {joint: false}\nmodel:\n  tied_embeddings: three_way\n",
        [
            "x.yaml:4: model.tied_embeddings: three_way needs one vocabulary; "
            "set tokenizer.joint: true"
        ],
    ),
    "three-way tying of two sizes": Wrong(
        "model:\n  tied_embeddings: three_way\n  encoder: {embedding_dim: 8}\n",
        [
            "x.yaml:3: model.tied_embeddings: three_way needs equal embedding_dim in encoder "
            "and decoder, not 8 and 256"
        ],
    ),
    "bridge that does not fit": Wrong(
        "model:\n  bridge: copy\n  decoder: {num_layers: 1, hidden_size: 256}\n",
        [
            "x.yaml:3: model.bridge: copy needs equal hidden_size in encoder and decoder, "
            "not 512 (both directions) and 256"
        ],
    ),
    "plain products of different sizes": Wrong(
        "model:\n  decoder:\n    attention: dot\n    hidden_size: 100\n",
        [
            "x.yaml:4: model.decoder.attention: dot needs a decoder.hidden_size of 512, the "
            "encoder's output, not 100; or use luong"
        ],
    ),
    "feeding without attention": Wrong(
        "model:\n  decoder:\n    attention: null\n    feeding: input\n",
        [
            "x.yaml:5: model.decoder.feeding: without attention there is nothing to feed; "
            "set null, or give decoder.attention"
        ],
    ),
    "two ways of clipping": Wrong(
        "training:\n  clip_grad_norm: 1\n  clip_grad_value: 1\n",
        [
            "x.yaml:4: training.clip_grad_value: clip_grad_norm is given too; "
            "set one of them to null"
        ],
    ),
    "more best than beam": Wrong(
        "decoding: {beam_size: 3}\n",
        ["command line: decoding.n_best: must be at most beam_size (3), not 4"],
        overrides=["decoding.n_best=4"],
    ),
    "longer than the longest": Wrong(
        "decoding:\n  min_length: 9\n  max_length: 8\n",
        ["x.yaml:3: decoding.min_length: must be less than max_length (8), not 9"],
    ),
    "sampling of characters": Wrong(
        "tokenizer:\n  type: char\n  sampling: 0.1\n",
        [
            "x.yaml:4: tokenizer.sampling: a char tokenizer has one way to segment; "
            "set 0, or type bpe or unigram"
        ],
    ),
    "half a pair of tokenizers": Wrong(
        "tokenizer:\n  src_model: d/train.en\n  joint: false\n",
        ["x.yaml:3: tokenizer.src_model: needs tgt_model beside it"],
    ),
    "all at once, no consequences": Wrong(
        "tokenizer: {joint: nein}\nmodel: {tied_embeddings: three_way}\n"
        "decoding:\n  n_best: 9\n  beam_size: five\n  min_length: 5\n  max_length: 4\n",
        [
            "x.yaml:2: tokenizer.joint: must be true or false, not 'nein'",
            "x.yaml:6: decoding.beam_size: must be a whole number, not 'five'",
            "x.yaml:7: decoding.min_length: must be less than max_length (4), not 5",
        ],
    ),
    "tab": Wrong(
        "training:\n\tseed: 1\n",
        ["x.yaml:3: a tab in the indentation; YAML wants spaces"],
    ),
    "colon in a value": Wrong(
        "name: a: b\n",
        ["x.yaml:2: a ':' out of place; check the indentation, or quote the value"],
    ),
    "open quote": Wrong(
        'name: "abc\nseed: 1\n', ["x.yaml:2: a quote that is never closed; close it"]
    ),
    "open bracket": Wrong(
        "training: {seed: 1\nseed: 2\n",
        ["x.yaml:2: a bracket that is never closed, or a missing comma; mend it"],
    ),
    "no colon": Wrong(
        "training:\n  seed 1\n  max_epochs: 3\n",
        ["x.yaml:4: a ':' out of place; check the indentation, or quote the value"],
    ),
    "empty file": Wrong("# data: to do\n", ["x.yaml:1: empty; write `key: value` lines"]),
    "list": Wrong("- data: 1\n", ["x.yaml:1: not a section of keys; write `key: value` lines"]),
    "mistake in the base": Wrong(
        "base: sub/b.yaml\ntraining: {seed: 1}\n",
        [
            "x.yaml:3: training.seed: unknown key; it belongs at the top level",
            "sub/b.yaml:3: training.batch_size: must be at least 1, not 0",
        ],
        files={"sub/b.yaml": "base: c.yaml\ntraining:\n  batch_size: 0\n", "sub/c.yaml": "seed: 3"},
    ),
    "missing base": Wrong(
        "base: b.yaml\n",
        ["x.yaml:2: base: no such file 'b.yaml'; it is looked for beside this one"],
    ),
    "circle of bases": Wrong(
        "base: b.yaml\n",
        ["b.yaml:2: base: leads back to x.yaml; a file cannot inherit from itself"],
        files={"b.yaml": "seed: 1\nbase: x.yaml\n"},
    ),
    "mistakes on the command line": Wrong(
        "seed: 1\n",
        [
            "command line: 'seed': not of the form KEY=VALUE",
            "command line: seed: must be at least 0 and less than 2147483648, not -1",
            "command line: seed: given twice; keep one",
            "command line: decoding.beam_sise: unknown key; did you mean 'beam_size'?",
        ],
        overrides=["seed", "seed=-1", "seed=2", "decoding.beam_sise=2"],
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("train.en", "train.de", "dev.en", "dev.de"):
        (tmp_path / "d" / name).write_text("a b\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", WRONG)
def test_wrong_recipe_gives_its_lines_only(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = WRONG[name]
    for file, text in {"x.yaml": wrong.recipe, **wrong.files}.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    status = main(["recipe", "x.yaml", *wrong.overrides])
    output, errors = capsys.readouterr()
    assert errors.splitlines() == wrong.lines
    assert (status, output) == (2, "")


def test_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "y.yaml"]) == 2
    assert capsys.readouterr() == ("", "y.yaml: no such file; check the name\n")


def test_folder_for_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "d"]) == 2
    assert capsys.readouterr() == ("", "d: cannot read 'd': is a directory\n")


def test_not_utf8(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.yaml").write_bytes(DATA.encode() + "name: München\n".encode("latin-1"))
    assert main(["train", "x.yaml"]) == 2
    assert capsys.readouterr() == ("", "x.yaml:2: not UTF-8; save the file as UTF-8\n")


def test_the_right_recipe_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.yaml").write_text(DATA, encoding="utf-8")
    assert main(["recipe", "x.yaml"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["run", "prepare", "train", "recipe"])
def test_recipes_are_refused_without_torch(command: str, folder: Path) -> None:
    (folder / "x.yaml").write_text(DATA + "training: {seed: 1}\n", encoding="utf-8")
    code = (
        "import sys; from seq2seq.cli import main; "
        f"status = main(['{command}', 'x.yaml']); "
        "heavy = {'torch', 'datasets', 'numpy', 'pyarrow'} & set(sys.modules); "
        "sys.exit(99 if heavy else status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )
    message = "x.yaml:2: training.seed: unknown key; it belongs at the top level\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)
