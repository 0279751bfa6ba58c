import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from corpora import CORPORA, FRENCH, GERMAN, HEBREW, ICELANDIC, MAFAND, MULTI30K, QUICKSTART, text
from toy import toy_recipe

from seq2seq.choices import choose
from seq2seq.data.statistics import Statistics
from seq2seq.lint import lint_dev, lint_pairs, lint_recipe
from seq2seq.prepare import prepare, preview
from seq2seq.recipe import Recipe, Training, load_recipe
from seq2seq.sizes import RATES

ROOT = Path(__file__).resolve().parents[2]
TURKISH = replace(FRENCH, pairs=1000, shared_letters=1)
SCAN = replace(FRENCH, pairs=15_892, shared_letters=0)
SHIPPED = {
    "multi30k/en-de": MULTI30K,
    "multi30k/de-en": MULTI30K,
    "multi30k/en-de-tok": MULTI30K,
    "multi30k/hub": MULTI30K,
    "mafand/en-sw": MAFAND,
    "characters/fre": FRENCH,
    "characters/ice": ICELANDIC,
    "characters/tur": TURKISH,
    "characters/deu": GERMAN,
    "characters/heb": HEBREW,
    "characters/scan": SCAN,
    "quickstart/quickstart": QUICKSTART,
}


def load(folder: Path, *overrides: str) -> Recipe:
    file = folder / "r.yaml"
    file.write_text("data: {src: en, tgt: de, train: hub:x, dev: hub:x}\n")
    return load_recipe(file, overrides, check_files=False)


def test_every_optimizer_has_its_rates() -> None:
    assert set(RATES) == set(get_args(Training.model_fields["optimizer"].annotation))
    assert all(low < usual < high for low, usual, high in RATES.values())


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/*/*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_give_no_warning(path: Path) -> None:
    corpus = SHIPPED[f"{path.parent.name}/{path.stem}"]
    recipe = load_recipe(path, check_files=False)
    assert list(lint_recipe(recipe)) == []
    assert list(lint_recipe(choose(recipe, corpus).recipe, corpus)) == []


@pytest.mark.parametrize("settings", [[], ["training.batch_type=tokens"]])
def test_defaults_give_no_warning(settings: list[str], tmp_path: Path) -> None:
    recipe = load(tmp_path, *settings)
    for corpus in CORPORA:
        assert list(lint_recipe(choose(recipe, corpus).recipe, corpus)) == []


LOW = ["training.learning_rate=1e-3"]
SAME_PASSES = ["training.r_drop=5", "model.dropout=0", "model.weight_dropout=0.3"]
RISKY: dict[str, tuple[list[str], str]] = {
    "adam too high": (["training.learning_rate=0.1"], "0.1 is so high for adam that training"),
    "sgd too low": (
        [*LOW, "training.optimizer=sgd"],
        "0.001 is so low for sgd that little is learnt",
    ),
    "sgd with momentum": (
        ["training.optimizer=sgd", "training.learning_rate=3", "training.momentum=0.9"],
        "3 is so high for sgd",
    ),
    "adadelta too low": ([*LOW, "training.optimizer=adadelta"], "0.001 is so low for adadelta"),
    "passes that are the same": (SAME_PASSES, "two passes differ by the units they drop"),
    "no warm-up": (["training.schedule=inverse_sqrt"], "a tenth within 100 updates"),
    "sgd without clipping": (
        ["training.optimizer=sgd", "training.learning_rate=1", "training.clip_grad_norm=null"],
        "gradients of recurrent networks explode",
    ),
    "long warm-up": (
        ["training.warmup_updates=4000", "training.max_updates=4000"],
        "4,000 of 4,000 updates never reach the learning rate; set 200",
    ),
    "one validation": (
        ["training.validate_every=5000", "training.max_updates=4000"],
        "5,000 is more than all of the 4,000 updates, so only the end is validated; set 200",
    ),
    "plateau that stops": (
        ["training.schedule=plateau", "training.early_stopping_patience=2"],
        "2 validations end training before the plateau schedule lowers the rate, which waits for 3",
    ),
    "zeros in an average": (
        ["training.l1=1e-4", "training.ema_decay=0.999"],
        "training.ema_decay: averages weights, and those that training.l1 makes zero seldom ",
    ),
    "zeros in a mean of the last": (
        ["training.l1=1e-4", "training.ema_decay=0", "training.average_last=5"],
        "training.average_last: averages weights, and those that training.l1 makes zero seldom ",
    ),
    "zeros in a mean of the best": (
        [
            "training.l1=1e-4",
            "training.ema_decay=0",
            "training.average_best=true",
            "training.keep_best=5",
        ],
        "training.average_best: averages weights, and those that training.l1 makes zero seldom ",
    ),
    "short patience": (
        ["training.validate_every=50", "training.early_stopping_patience=3"],
        "may end training after 150 updates without a gain, which chance can do; set 10",
    ),
}


@pytest.mark.parametrize("name", RISKY)
def test_risky_settings_are_told_without_a_corpus(name: str, tmp_path: Path) -> None:
    settings, message = RISKY[name]
    recipe = load(tmp_path, *settings)
    (line,) = lint_recipe(recipe)
    place, _, rest = line.partition(": ")
    assert message in line
    assert place.split(".")[1] in "".join(settings) or place == "training.learning_rate"
    assert "; " in rest and "\n" not in line
    assert list(lint_recipe(choose(recipe, MULTI30K).recipe, MULTI30K)) == [line]


IN_CORPUS: dict[str, tuple[list[str], Statistics, str]] = {
    "few updates": (
        ["training.max_epochs=2"],
        MULTI30K,
        "training.max_epochs: ends training after 906 updates, and learning takes some thousand",
    ),
    "long warm-up": (
        ["training.warmup_updates=9000", "training.max_epochs=10"],
        MULTI30K,
        "training.warmup_updates: 9,000 of 4,531 updates never reach",
    ),
    "everything at once": (
        ["training.batch_size=4096", "training.max_epochs=9999"],
        text(3000),
        "training.batch_size: 4,096 sentences an update are all of the 3,000 pairs at once",
    ),
    "everything at once by accumulation": (
        ["training.accumulate=200", "training.max_epochs=9999"],
        text(3000),
        "training.accumulate: 3,200 sentences an update are all of the 3,000 pairs at once; lower "
        "it, to 1 for example",
    ),
    "few tokens": (
        ["training.batch_size=32", "training.batch_type=tokens"],
        MULTI30K,
        "training.batch_size: 32 target tokens an update are 2.9 of the lines; raise it, or set",
    ),
    "many pieces": (
        ["tokenizer.vocab_size=32000"],
        text(3000),
        "tokenizer.vocab_size: 32,000 pieces are so many for 3,000 pairs that most are too rare",
    ),
    "no dropout": (["model.dropout=0"], text(3000), "model.dropout: without it a network learns"),
    "short patience": (
        ["training.early_stopping_patience=2", "training.validate_every=null"],
        text(3000),
        "training.early_stopping_patience: may end training after 375 updates without a gain",
    ),
}


@pytest.mark.parametrize("name", IN_CORPUS)
def test_risky_settings_are_told_with_their_corpus(name: str, tmp_path: Path) -> None:
    settings, corpus, message = IN_CORPUS[name]
    (line,) = lint_recipe(choose(load(tmp_path, *settings), corpus).recipe, corpus)
    assert line.startswith(message)


@pytest.mark.parametrize(
    "settings",
    [
        ["model.dropout=0", "model.weight_dropout=0.2"],
        ["model.dropout=0", "model.embedding_dropout=0.1"],
        ["model.dropout=0", "tokenizer.type=char"],
        ["training.max_updates=20"],
        ["training.schedule=plateau", "training.early_stopping_patience=4"],
        ["training.optimizer=sgd", "training.learning_rate=0.1"],
    ],
)
def test_settings_with_a_reason_are_not_told(settings: list[str], tmp_path: Path) -> None:
    corpus = text(9000)
    assert list(lint_recipe(choose(load(tmp_path, *settings), corpus).recipe, corpus)) == []


def write(folder: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    for side, suffix in enumerate(("in", "out")):
        lines = [pair[side] + "\n" for pair in pairs]
        (folder / f"{name}.{suffix}").write_text("".join(lines))


def told(recipe: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "seq2seq"):
        prepare(recipe)
    return [line for line in caplog.messages if line.startswith("warning: data.")]


def test_odd_pairs_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = toy_recipe(tmp_path, "data.max_length=9999")
    assert told(recipe, caplog) == []
    pairs = [(f"{i} {i + 1}", "7 7 7") for i in range(100)]
    long = " ".join("1234567890"[i % 10] for i in range(3000))
    write(tmp_path, "train", [*pairs, (long, long)])
    write(tmp_path, "dev", [*pairs[:9], ("1", long)])
    lines = told(recipe, caplog)
    starts = [
        "warning: data.train: a source has ",
        "warning: data.train: a target has ",
        "warning: data.dev: a target has ",
        "warning: data.train: 99% of the targets are one and the same line",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)
    prepared = prepare(recipe)
    lengths = int(prepared.train.src_lengths.max()), int(prepared.dev.tgt_lengths.max())
    assert lengths[0] > 1000
    assert f"a source has {lengths[0]:,} pieces" in lines[0]
    assert f"a target has {lengths[1]:,} pieces" in lines[2]
    assert [f"warning: {line}" for line in lint_pairs(prepared.train, prepared.dev)] == lines


def test_development_sets_that_say_little_are_told(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path, "training.validate_every=5")

    def told(num_lines: int, name: str = "dev", blank: bool = False) -> list[str]:
        for side in ("in", "out"):
            lines = (tmp_path / f"{name}.{side}").read_text().splitlines(keepends=True)
            lines = ["\n"] * num_lines if blank else (lines * 1000)[:num_lines]
            (tmp_path / f"few.{side}").write_text("".join(lines))
        data = recipe.data.model_validate(
            recipe.data.model_dump() | {"dev": [{"path": str(tmp_path / "few")}]}
        )
        prepared = prepare(recipe.model_copy(update={"data": data}))
        return list(lint_dev(recipe.training, prepared.train.head, prepared.dev))

    assert told(20) == []
    (few,) = told(1)
    assert few.startswith("data.dev: chance decides which checkpoint is the best on so few lines (")
    (known,) = told(150, "train")
    assert known.startswith("data.dev: 100% of its pairs are training pairs too, ")
    (many,) = told(3500)
    assert many.startswith("data.dev: its 3,500 lines are translated each time that training has ")
    assert "has seen 80, so validation takes much of the time" in many
    recipe = toy_recipe(tmp_path, "data.streaming=true", "training.updates_per_epoch=5")
    (streamed,) = told(3500)
    assert "has seen 80, so validation takes much of the time" in streamed
    recipe = toy_recipe(tmp_path, "training.validate_every=5")
    (blank,) = told(12, blank=True)
    assert blank.startswith("data.dev: 100% of its targets are blank lines; ")


def test_a_recipe_is_told_before_training_and_when_it_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = toy_recipe(tmp_path, "training.learning_rate=1", "training.max_updates=9")
    line = "warning: training.learning_rate: 1 is so high for adam that training diverges; "
    for show in (prepare, preview):
        caplog.clear()
        show(recipe)
        assert [message for message in caplog.messages if message.startswith(line)] == [
            f"{line}0.001 is usual"
        ]
