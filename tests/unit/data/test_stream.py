import gc
import gzip
import json
import random
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from toy import toy_recipe

from seq2seq import recipe as recipes
from seq2seq.data import stream as streams
from seq2seq.data.build import read_first
from seq2seq.data.clean import Limits
from seq2seq.data.corpus import Pair
from seq2seq.data.encoding import ChunkEncoder, EncodedCorpus
from seq2seq.data.stream import PairStream, Stream
from seq2seq.errors import DataError
from seq2seq.prepare import prepare
from seq2seq.recipe import load_recipe

SIZES = {"one": 23, "two": 9, "three": 14}


def pairs_of(name: str) -> list[tuple[str, str]]:
    """What a corpus holds; beside the lines there are line ends that are none."""
    return [(f"{name} {i} \u2028 a", f"b\x85 {i} {name}") for i in range(SIZES[name])]


def write(folder: Path, name: str, form: str) -> dict[str, object]:
    """Write a corpus in one of the forms that are read; how a recipe names it."""
    pairs, path = pairs_of(name), folder / name
    records = [{"translation": {"a": src, "b": tgt}} for src, tgt in pairs]
    lines = "".join(json.dumps(record) + "\n\n" for record in records)
    if form in ("plain", "gzip"):
        suffix, opened = {"plain": ("", open), "gzip": (".gz", gzip.open)}[form]
        for side, texts in zip("ab", zip(*pairs, strict=True), strict=True):
            with opened(f"{path}.{side}{suffix}", "wb") as file:
                file.write(b"\xef\xbb\xbf" + "".join(f"{text}\r\n" for text in texts).encode())
        return {"path": str(path)}
    if form == "tsv":
        path.with_suffix(".tsv").write_text("".join(f"{s}\t{t}\n" for s, t in pairs), "utf-8")
        return {"path": f"{path}.tsv"}
    if form == "jsonl":
        path.with_suffix(".jsonl").write_text(lines)
        return {"path": f"{path}.jsonl"}
    if form == "saved":
        datasets.Dataset.from_list(records).save_to_disk(str(path))
        return {"path": str(path)}
    path.mkdir()
    for part in range(2):
        chosen = records[:10] if part == 0 else records[10:]
        text = "".join(json.dumps(record) + "\n" for record in chosen)
        (path / f"train-{part}.jsonl").write_text(text)
    return {"path": str(path)}


FORMS = ["plain", "gzip", "tsv", "jsonl", "saved", "directory"]


@pytest.fixture(autouse=True)
def quiet_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library keeps goes with the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def section(corpora: list[dict[str, object]], **keys: object) -> recipes.Data:
    given = {"src": "a", "tgt": "b", "train": corpora, "dev": "dev", "streaming": True}
    return recipes.Data.model_validate(given | keys)


def take(stream: PairStream, count: int, limit: int = 7) -> list[tuple[int, Pair]]:
    """So many pairs of a stream with their passes, read some at a time."""
    found: list[tuple[int, Pair]] = []
    while len(found) < count:
        pairs = stream.take(min(limit, count - len(found)))
        found += [(stream.turn, pair) for pair in pairs]
    return found


def test_the_hub_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = write(tmp_path, "one", "directory")
    original = datasets.load_dataset

    def far(name: str, config: str | None, *, split: str, streaming: bool) -> Any:
        assert (name, config, split, streaming) == ("their/set", "a-b", "train", True)
        return original(local["path"], split=split, streaming=True)

    monkeypatch.setattr(datasets, "load_dataset", far)
    data = section([{"path": "hub:their/set", "config": "a-b"}])
    stream = PairStream(data)
    expected = [(turn, pair) for turn in range(2) for pair in pairs_of("one")]
    assert take(stream, 12) == expected[:12]
    assert take(PairStream(data, json.loads(json.dumps(stream.save()))), 34) == expected[12:]


@pytest.mark.parametrize("form", FORMS)
def test_reading_goes_on_at_any_place(form: str, tmp_path: Path) -> None:
    data = section([write(tmp_path, "one", form)])
    expected = [(turn, pair) for turn in range(3) for pair in pairs_of("one")]
    for split in [0, 1, 9, 10, 11, 22, 23, 24, 46, 60]:
        stream = PairStream(data)
        assert take(stream, split) == expected[:split]
        place = json.loads(json.dumps(stream.save()))
        assert take(PairStream(data, place), 69 - split, limit=50) == expected[split:]


@pytest.mark.parametrize("weights", [None, [3, 1, 1]])
def test_corpora_take_turns(weights: list[float] | None, tmp_path: Path) -> None:
    forms = dict(zip(SIZES, ("plain", "jsonl", "saved"), strict=True))
    corpora = [write(tmp_path, name, form) for name, form in forms.items()]
    data = section(corpora, weights=weights)
    stream = PairStream(data)
    found = stream.take(46)
    if weights is None:
        assert Counter(found) == Counter(pair for name in SIZES for pair in pairs_of(name))
        assert {src.split()[0] for src, _ in found[:27]} == set(SIZES)
        assert Counter(src.split()[0] for src, _ in found[:27]) == dict.fromkeys(SIZES, 9)
        assert (stream.take(3), stream.turn) == ([], 0)
        return
    found += stream.take(454)
    counts = Counter(src.split()[0] for src, _ in found)
    assert counts == {"one": 300, "two": 100, "three": 100}
    for name, size in SIZES.items():
        of_one = [pair for pair in found if pair[0].startswith(name)]
        expected = pairs_of(name)
        assert of_one == [expected[i % size] for i in range(len(of_one))]
    assert (stream.turn, stream.number) == (0, 500)


def test_defaults_come_from_the_first_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = [write(tmp_path, name, "plain") for name in SIZES]
    data = section(corpora, weights=[1, 50, 1])
    assert len(list(read_first(data))) == len(set(read_first(data))) == 46
    monkeypatch.setattr(streams, "NUM_FIRST", 30)
    first = list(read_first(data))
    assert len(set(first)) == len(first) == 30
    assert min(Counter(src.split()[0] for src, _ in first).values()) == 9


WRONG = {
    "not UTF-8": ({"train.a": b"x\n" * 40 + b"\xff\n"}, "train.a:41: not UTF-8"),
    "shorter": ({"train.a": b"x\n" * 40}, "train.a:40: ends here, but "),
    "empty": ({"train.a": b"", "train.b": b""}, "train.a: is empty"),
    "all blank": ({"train.a": b"\n" * 60}, r"data\.train: 0 of 60 pairs kept; dropped 60 blank"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_corpus_and_line(case: str, tmp_path: Path) -> None:
    files, message = WRONG[case]
    for name, content in ({"train.a": b"x y\n" * 60, "train.b": b"y x\n" * 60} | files).items():
        (tmp_path / name).write_bytes(content)
    data = section([{"path": f"{tmp_path}/train"}], shuffle_buffer=10)
    stream = Stream(data, encoder(tmp_path))
    with pytest.raises(DataError, match=message):
        place = stream.start
        for _ in range(8):
            place = stream.chunk(place).after
    stream.close()


def encoder(folder: Path) -> ChunkEncoder:
    (folder / "toy").mkdir()
    tokenizers = prepare(toy_recipe(folder / "toy")).tokenizers
    return ChunkEncoder(tokenizers, Limits(250, 9.0), with_text=False)


def toy_stream(folder: Path, *overrides: str) -> Stream:
    keys = ["data.streaming=true", *overrides]
    stream = prepare(toy_recipe(folder, *keys)).train
    assert isinstance(stream, Stream)
    return stream


def content(corpus: EncodedCorpus) -> list[tuple[int, list[int], list[int]]]:
    return [
        (corpus.line(i), corpus.src(i).tolist(), corpus.tgt(i).tolist()) for i in range(len(corpus))
    ]


def test_a_pass_has_what_is_encoded_without_streaming(tmp_path: Path) -> None:
    source = toy_recipe(tmp_path)
    for side, line in (("in", "\n"), ("out", "7 7\n")):
        with (tmp_path / f"train.{side}").open("a") as file:
            file.write(line)
    whole = prepare(source)
    expected = content(whole.train.head)
    keys = ["data.streaming=true", f"output_dir={tmp_path}/streamed"]
    for workers, buffer in ((1, 70), (2, 70), (1, 201), (1, 1000)):
        more = [*keys, f"data.num_workers={workers}", f"data.shuffle_buffer={buffer}"]
        stream = prepare(load_recipe(tmp_path / "toy.yaml", more)).train
        assert isinstance(stream, Stream)
        place, found, sizes = stream.start, [], []
        for number in range(2 * -(-201 // buffer)):
            chunk = stream.chunk(place)
            assert chunk.number == number
            found.append((chunk.turn, content(chunk.corpus)))
            sizes.append(len(chunk.corpus))
            assert max(sizes) <= buffer
            place = chunk.after
        for turn in (0, 1):
            assert [row for t, rows in found if t == turn for row in rows] == expected
        assert chunk.ledger == whole.ledger
        stream.close()


def test_a_chunk_is_a_function_of_its_place(tmp_path: Path) -> None:
    stream = toy_stream(tmp_path, "data.shuffle_buffer=37", "data.max_length=5")
    chunks = [stream.chunk(stream.start)]
    for _ in range(17):
        chunks.append(stream.chunk(chunks[-1].after))
    for i in random.Random(1).choices(range(18), k=12):
        place = json.loads(json.dumps(chunks[i].place))
        again = stream.chunk(place)
        assert content(again.corpus) == content(chunks[i].corpus)
        assert (again.number, again.turn, again.ledger) == (i, chunks[i].turn, chunks[i].ledger)
        assert again.after == chunks[i].after
    stream.close()


def test_a_chunk_without_pairs_is_none(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path, "data.streaming=true", "data.shuffle_buffer=3")
    lines = (tmp_path / "train.in").read_text().splitlines()
    kept = [i for i in range(200) if not 30 <= i < 90]
    text = "".join((line if i in kept else "") + "\n" for i, line in enumerate(lines))
    (tmp_path / "train.in").write_text(text)
    stream = prepare(recipe).train
    assert isinstance(stream, Stream)
    place, found = stream.start, []
    while len(found) < 2 * len(kept):
        chunk = stream.chunk(place)
        assert len(chunk.corpus)
        found += [chunk.corpus.line(i) for i in range(len(chunk.corpus))]
        place = chunk.after
    assert found == 2 * kept
    assert (chunk.ledger.read, chunk.ledger.blank) == (200, 60)
    stream.close()


def test_two_chunks_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = toy_stream(tmp_path, "data.shuffle_buffer=20")
    place, alive = stream.start, weakref.WeakSet[EncodedCorpus]()
    most = 0

    def noted(*args: Any) -> EncodedCorpus:
        nonlocal most
        corpus = EncodedCorpus(*args)
        alive.add(corpus)
        most = max(most, len(alive))
        return corpus

    monkeypatch.setattr(streams, "EncodedCorpus", noted)
    gc.disable()
    try:
        for _ in range(15):
            chunk = stream.chunk(place)
            place = chunk.after
            del chunk
            assert stream._next is not None
            stream._next.result()
    finally:
        gc.enable()
    stream.close()
    assert most == 2


def test_sampling_and_noise_know_pass_and_line(tmp_path: Path) -> None:
    stream = toy_stream(tmp_path, "tokenizer.sampling=0.5", "data.shuffle_buffer=70")
    keys = ["tokenizer.sampling=0.5", f"output_dir={tmp_path}/whole"]
    whole = prepare(load_recipe(tmp_path / "toy.yaml", keys)).train.head
    place = stream.start
    for _ in range(6):
        chunk = stream.chunk(place)
        index = np.arange(len(chunk.corpus))
        lines = np.array([chunk.corpus.line(i) for i in index.tolist()])
        turns = np.full(len(index), chunk.turn)
        assert chunk.corpus.sample(index, turns) == whole.sample(lines, turns)
        place = chunk.after
    assert chunk.turn == 1
    stream.close()
