import json
import logging
import os
import random
import re
from pathlib import Path

import pytest

from seq2seq import prepare as prepare_module
from seq2seq.choices import open_keys
from seq2seq.data import parallel, tokenizer_training
from seq2seq.data.encoding import write_corpus
from seq2seq.errors import DataError, RunError
from seq2seq.prepare import Prepared, prepare, preview, read_dev
from seq2seq.recipe import Recipe
from seq2seq.run import Run

SCRIPT = """
import pathlib
for split in ("train", "dev"):
    for side in ("en", "de"):
        pathlib.Path(f"made/{split}.{side}").write_text("some words here\\n" * 9)
"""


def write_split(folder: Path, split: str, pairs: list[tuple[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    for side, suffix in enumerate(("en", "de")):
        text = "".join(pair[side] + "\n" for pair in pairs)
        (folder / f"{split}.{suffix}").write_text(text, encoding="utf-8")


def make_pairs(count: int, seed: int = 1) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    words = ["red", "green", "blue", "house", "tree", "boat"]
    sentences = [" ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(count)]
    return [(sentence, sentence[::-1]) for sentence in sentences]


pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def corpora():
    write_split(Path("text"), "train", [*make_pairs(200), ("", "blank"), ("long " * 90, "x")])
    write_split(Path("text"), "dev", [*make_pairs(20, seed=2), ("", "blank"), ("a", "b " * 99)])


def make_recipe(folder="text", **changes) -> Recipe:
    sections = {
        "data": {"src": "en", "tgt": "de", "train": f"{folder}/train", "dev": f"{folder}/dev"},
        "tokenizer": {"type": "bpe", "vocab_size": 60, "joint": True},
    }
    for section, keys in changes.items():
        sections.setdefault(section, {}).update(keys)
    sections["data"].setdefault("max_length", 50)
    return Recipe.model_validate({"name": "test", "output_dir": "run"} | sections)


def snapshot() -> dict[str, tuple[int, int]]:
    files = (path for path in Path("run").rglob("*") if path.is_file())
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def texts(prepared: Prepared, name: str = "train") -> list[tuple[str, str]]:
    corpus = getattr(prepared, name)
    ids = [(corpus.src(i).tolist(), corpus.tgt(i).tolist()) for i in range(len(corpus))]
    src, tgt = prepared.tokenizers.src, prepared.tokenizers.tgt
    return [(src.decode([s])[0], tgt.decode([t])[0]) for s, t in ids]


class Work:
    """What `prepare` did, by what it logged."""

    def __init__(self, caplog):
        self._caplog = caplog

    def of(self, recipe: Recipe) -> tuple[Prepared, set[str]]:
        self._caplog.clear()
        with self._caplog.at_level(logging.INFO, "seq2seq"):
            prepared = prepare(recipe)
        messages = [record.getMessage() for record in self._caplog.records]
        starts = {
            "tokenizer": "training the tokenizer",
            "train": "encoded train",
            "dev": "encoded dev",
        }
        return prepared, {
            name
            for name, start in starts.items()
            if any(message.startswith(start) for message in messages)
        }


@pytest.fixture
def work(caplog):
    return Work(caplog)


def test_training_pairs_are_cleaned_and_dev_lines_are_not(corpora):
    prepared = prepare(make_recipe())
    assert texts(prepared) == make_pairs(200)
    ledger = prepared.ledger
    assert (ledger.read, ledger.kept, ledger.blank, ledger.too_long) == (202, 200, 1, 1)
    assert json.loads(Path("run/data/train/ledger.json").read_text()) == ledger.to_dict()
    src, tgt = read_dev(make_recipe())
    assert [(s.strip(), t.strip()) for s, t in zip(src, tgt, strict=True)] == texts(prepared, "dev")
    assert len(prepared.dev) == 22


def test_the_second_time_there_is_nothing_to_do(corpora, work, monkeypatch):
    first, done = work.of(make_recipe())
    assert done == {"tokenizer", "train", "dev"}
    before = snapshot()

    def fail(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(prepare_module, "read_pairs", fail)
    monkeypatch.setattr(tokenizer_training, "train_tokenizers", fail)
    second, done = work.of(make_recipe())
    assert not done
    assert texts(first) == texts(second)
    assert snapshot() == before


def test_new_content_of_the_same_size_is_noticed(corpora, work):
    work.of(make_recipe())
    path = Path("text/train.en")
    path.write_text(path.read_text().replace("green", "greem"))
    prepared, done = work.of(make_recipe())
    assert done == {"tokenizer", "train", "dev"}
    assert "greem" in " ".join(src for src, _ in texts(prepared))


def test_another_file_of_the_same_size_and_age_is_noticed(corpora, work):
    work.of(make_recipe())
    path, other = Path("text/train.en"), Path("text/other.en")
    other.write_text(path.read_text().replace("green", "greem"))
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert work.of(make_recipe())[1] == {"tokenizer", "train", "dev"}


def test_new_development_text_is_encoded_alone(corpora, work):
    work.of(make_recipe())
    write_split(Path("text"), "dev", make_pairs(9))
    prepared, done = work.of(make_recipe())
    assert done == {"dev"}
    assert texts(prepared, "dev") == make_pairs(9)


def test_touched_and_moved_files_are_known_by_their_content(corpora, work):
    work.of(make_recipe())
    os.utime("text/train.en", (1, 1))
    assert not work.of(make_recipe())[1]
    Path("text").rename("moved")
    assert not work.of(make_recipe("moved"))[1]


def test_large_corpora_get_more_processes_and_any_as_many_as_are_wanted(corpora, monkeypatch):
    seen = {}

    def write(pairs, tokenizers, folder, **options):
        if "train" in folder.name:
            seen.update(options)
        return write_corpus(pairs, tokenizers, folder, **{**options, "num_workers": 1})

    monkeypatch.setattr(prepare_module, "write_corpus", write)
    prepare(make_recipe())
    assert seen["num_workers"] == 1
    prepare(make_recipe(data={"max_length": 30, "num_workers": 5}))
    assert seen["num_workers"] == 5
    monkeypatch.setattr(parallel, "MIN_PAIRS", 201)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(99), raising=False)
    prepare(make_recipe(data={"max_length": 20}))
    assert seen["num_workers"] == parallel.MAX_WORKERS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": {"num_workers": 2}}, set()),
        ({"data": {"max_length": 20}}, {"train"}),
        ({"data": {"max_ratio": 2}}, {"train"}),
        ({"data": {"reverse_src": True}}, {"train", "dev"}),
        ({"tokenizer": {"sampling": 0.1}}, {"train"}),
        ({"tokenizer": {"vocab_size": 50}}, {"tokenizer", "train", "dev"}),
        ({"tokenizer": {"lowercase": True}}, {"tokenizer", "train", "dev"}),
        ({"data": {"dev": "text/train"}}, {"dev"}),
    ],
)
def test_what_depends_on_a_setting_is_done_again(changes, expected, corpora, work):
    work.of(make_recipe())
    assert work.of(make_recipe(**changes))[1] == expected
    assert not work.of(make_recipe(**changes))[1]


def test_given_models_are_used(corpora, work):
    work.of(make_recipe(tokenizer={"joint": False}))
    Path("run/tokenizer").rename("models")
    sides = {"src_model": "models/src.model", "tgt_model": "models/tgt.model", "joint": False}
    prepared, done = work.of(make_recipe(tokenizer=sides))
    assert "tokenizer" not in done
    assert texts(prepared) == make_pairs(200)
    assert not work.of(make_recipe(tokenizer=sides))[1]
    joint, _ = work.of(make_recipe(tokenizer={"model": "models/src.model"}))
    assert joint.tokenizers.src is joint.tokenizers.tgt
    with pytest.raises(DataError, match=r"models/no\.model: cannot be read"):
        prepare(make_recipe(tokenizer={"model": "models/no.model"}))


def test_sampling_is_wired(corpora):
    prepared = prepare(make_recipe(tokenizer={"sampling": 0.1}))
    assert prepared.train.sampling is not None
    assert prepared.dev.sampling is None
    assert prepare(make_recipe()).train.sampling is None


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_a_side_is_reversed_everywhere(side, corpora):
    plain = prepare(make_recipe())
    turned = prepare(make_recipe(data={f"reverse_{side}": True}))
    other = {"src": "tgt", "tgt": "src"}[side]
    for name in ("train", "dev"):
        assert texts(turned, name) == texts(plain, name)
        before, after = getattr(plain, name), getattr(turned, name)
        for i in range(len(before)):
            *ids, end = getattr(before, side)(i).tolist()
            assert getattr(after, side)(i).tolist() == [*ids[::-1], end]
            assert getattr(after, other)(i).tolist() == getattr(before, other)(i).tolist()
    for name in ("src", "tgt"):
        loaded = getattr(Run(Path("run")).load_tokenizers(), name)
        assert loaded.encode(["red tree"]) == getattr(turned.tokenizers, name).encode(["red tree"])


def test_noise_is_wired_to_training_pairs_only(corpora):
    prepared = prepare(make_recipe(training={"src_shuffle": 2}))
    assert prepared.train.noise is not None
    assert prepared.dev.noise is None
    assert prepare(make_recipe()).train.noise is None


@pytest.mark.parametrize(
    ("keys", "shares"),
    [({"weights": (1, 3)}, (60, 180)), ({"temperature": 1}, (200, 40)), ({}, None)],
)
def test_corpora_are_drawn_from_by_weight(keys, shares, corpora, work, caplog):
    write_split(Path("text"), "more", [("a", ""), *make_pairs(40, seed=3)])
    both = ["text/train", "text/more"]
    prepared, _ = work.of(make_recipe(data={"train": both, **keys}))
    said = [message for message in caplog.messages if message.startswith("an epoch draws")]
    mixture = prepared.train.mixture
    assert len(prepared.train) == 240
    if shares is None:
        assert mixture is None and not said
        return
    assert tuple(mixture.shares) == shares
    assert said == [
        f"an epoch draws {shares[0]} times from text/train (200), "
        f"{shares[1]} times from text/more (40)"
    ]
    every = texts(prepared)
    drawn = {every[i] for i in mixture.draw(0) if i >= 200}
    assert drawn == set(make_pairs(40, seed=3))
    again, done = work.of(make_recipe(data={"train": both, "temperature": 3}))
    assert not done and again.train.mixture.shares != mixture.shares


def open_recipe(**changes) -> Recipe:
    """A recipe that leaves all but the type of the tokenizer to the corpus."""
    data = {"src": "en", "tgt": "de", "train": "text/train", "dev": "text/dev"}
    given = {"output_dir": "run", "data": data, "tokenizer": {"type": "bpe"}}
    return Recipe.model_validate(given | changes)


def test_what_is_open_is_chosen_once_and_saved_with_its_reason(corpora, work, monkeypatch):
    prepared, _ = work.of(open_recipe(training={"batch_size": 9}))
    completed = prepared.recipe
    assert open_keys(completed) == []
    assert Run(Path("run")).load_recipe() == completed
    saved = Path("run/recipe.yaml").read_text()
    assert re.search(r"\n  max_epochs: \d+  # chosen: [\d,]+ updates for 201 pairs\n", saved)
    assert "\n  batch_size: 9\n" in saved
    before = snapshot()
    monkeypatch.setattr(prepare_module, "read_pairs", None)
    for recipe in (open_recipe(training={"batch_size": 9}), completed):
        again, done = work.of(recipe)
        assert again.recipe == completed
        assert not done
    assert {name for name, _ in snapshot().items() ^ before.items()} == {"run/recipe.yaml"}


def test_choices_follow_the_text_until_the_run_is_trained(corpora, work):
    small = prepare(open_recipe()).recipe
    write_split(Path("text"), "train", make_pairs(3000))
    large = prepare(open_recipe()).recipe
    assert large.training.max_epochs < small.training.max_epochs
    Path("run/checkpoints").mkdir()
    Path("run/checkpoints/last.safetensors").touch()
    before = snapshot()
    write_split(Path("text"), "train", make_pairs(300))
    with pytest.raises(RunError, match=r"^run: what is in data\.train has changed since"):
        prepare(open_recipe())
    with pytest.raises(RunError, match=r"^run: was trained with other values of model\.dropout; "):
        prepare(open_recipe(model={"dropout": 0.123}))
    assert snapshot() == before
    write_split(Path("text"), "train", make_pairs(3000))
    assert prepare(open_recipe()).recipe == large


def test_a_preview_says_what_will_be_and_touches_nothing(corpora):
    shown = preview(open_recipe())
    assert not Path("run").exists()
    prepare(open_recipe())
    first, *lines, last = Path("run/recipe.yaml").read_text().splitlines(keepends=True)
    assert "".join(lines) == shown and first.startswith("#") and last == "...\n"
    before = snapshot()
    Path("text/train.en").unlink()
    assert "  # dropout: to be chosen from the corpus\n" in preview(open_recipe())
    assert snapshot() == before


@pytest.mark.parametrize("step", range(8))
def test_a_broken_off_prepare_is_made_up_for(step, corpora, work, monkeypatch):
    steps = iter(range(100))

    def break_off(original):
        def wrapped(*args, **options):
            if next(steps) == step:
                raise KeyboardInterrupt
            return original(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", break_off(Path.write_text))
        patch.setattr(Path, "rename", break_off(Path.rename))
        with pytest.raises(KeyboardInterrupt):
            prepare(make_recipe())
    prepared, _ = work.of(make_recipe())
    assert texts(prepared) == make_pairs(200)
    assert not list(Path("run").rglob(".*"))
    assert not work.of(make_recipe())[1]


def test_the_script_makes_missing_files():
    Path("made").mkdir()
    Path("make.py").write_text(SCRIPT)
    recipe = make_recipe("made", data={"script": "make.py"})
    assert prepare(recipe).ledger.kept == 9
    Path("make.py").write_text("raise SystemExit(3)")
    assert prepare(recipe).ledger.kept == 9


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, r"text/train\.en: no such file \(and 3 more\)"),
        ("raise SystemExit(3)", r"make\.py: ended with status 3"),
        ("", r"text/train\.en: still missing after make\.py"),
    ],
)
def test_files_that_stay_missing(script, message):
    if script is not None:
        Path("make.py").write_text(script)
    data = {"script": "make.py"} if script is not None else {}
    with pytest.raises(DataError, match=message):
        prepare(make_recipe(data=data))


def test_nothing_left_to_train_on():
    write_split(Path("text"), "train", [("", "a"), ("a", "")])
    write_split(Path("text"), "dev", make_pairs(3))
    with pytest.raises(DataError, match=r"data\.train: 0 of 2 pairs kept; dropped 2 blank"):
        prepare(make_recipe())


def test_wrong_test_sets_are_told_before_training(corpora, work):
    write_split(Path("text"), "test", make_pairs(5))
    Path("text/test.de").write_text("a\nb\n")
    recipe = make_recipe(data={"test": {"one": "text/test"}})
    with pytest.raises(DataError, match=r"text/test\.de:2: ends here, but text/test\.en has 5 lin"):
        prepare(recipe)
    assert not Path("run/data/train").exists()
    write_split(Path("text"), "test", make_pairs(5))
    prepare(recipe)


def test_wrong_data_leaves_nothing_that_is_trusted(corpora, work):
    Path("text/train.de").write_bytes(b"\xff\n" * 202)
    with pytest.raises(DataError, match=r"text/train\.de:1: not UTF-8"):
        prepare(make_recipe())
    write_split(Path("text"), "train", make_pairs(30))
    assert texts(work.of(make_recipe())[0]) == make_pairs(30)


@pytest.fixture
def trained(corpora) -> dict[str, tuple[int, int]]:
    prepare(make_recipe())
    Path("run/checkpoints").mkdir()
    Path("run/checkpoints/previous-last.safetensors").touch()
    return snapshot()


def test_another_recipe_touches_nothing_of_a_trained_run(trained):
    message = r"^run: was trained with other values of data\.max_length, tokenizer\.vocab_size; "
    with pytest.raises(RunError, match=message):
        prepare(make_recipe(data={"max_length": 7}, tokenizer={"vocab_size": 50}))
    assert snapshot() == trained


@pytest.mark.parametrize("name", ["train", "dev"])
def test_other_text_touches_nothing_of_a_trained_run(name, trained):
    path = Path(f"text/{name}.de")
    path.write_text(path.read_text().replace("e", "ä"))
    with pytest.raises(RunError, match=rf"^run: what is in data\.{name} has changed since"):
        prepare(make_recipe())
    assert snapshot() == trained
    path.write_text(path.read_text().replace("ä", "e"))
    prepare(make_recipe())
    assert {name for name, _ in snapshot().items() ^ trained.items()} == {"run/data/digests.json"}


def test_long_readings_are_told(corpora, work, monkeypatch, caplog):
    monkeypatch.setattr(prepare_module, "_SECONDS_BETWEEN_BARS", 0)
    monkeypatch.setattr(prepare_module, "_PAIRS_BETWEEN_LOOKS", 80)
    work.of(make_recipe())
    told = [message for message in caplog.messages if message.startswith("reading train: ")]
    assert [float(line.split()[2]) for line in told] == [80, 160]
