import random
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data import encoding
from seq2seq.data.clean import KEPT, Ledger, Limits
from seq2seq.data.encoding import EncodedCorpus, Sampling, read_ledger, write_corpus
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizers
from seq2seq.recipe import Tokenizer as Section
from seq2seq.special import EOS

LETTERS = "abcdefgh"


def make_pairs(count: int, rng: random.Random) -> list[tuple[str, str]]:
    def sentence() -> str:
        words = rng.choice([0, 1, 2, 5, 9, 40])
        return " ".join("".join(rng.choices(LETTERS, k=rng.randint(1, 6))) for _ in range(words))

    return [(sentence(), sentence()) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    pairs = make_pairs(300, random.Random(1))
    return train_tokenizers(lambda: iter(pairs), Section(vocab_size=60, joint=False))


@pytest.fixture(autouse=True)
def small_record_batches(monkeypatch):
    monkeypatch.setattr(encoding, "PAIRS_PER_BATCH", 50)


def write(pairs, tokenizers, folder: Path, **options) -> Ledger:
    *_, ledger = write_corpus(iter(pairs), tokenizers, folder, **options)
    return ledger


def expected_pairs(pairs, tokenizers, limits):
    """What should be on file, by the definition."""
    for line, (src, tgt) in enumerate(pairs):
        (src_ids,), (tgt_ids,) = tokenizers.src.encode([src]), tokenizers.tgt.encode([tgt])
        lengths = np.array([len(src_ids)]), np.array([len(tgt_ids)])
        verdict = limits.judge(*lengths)[0] if limits else KEPT
        if verdict == KEPT:
            yield line, [*src_ids, EOS], [*tgt_ids, EOS]


@pytest.mark.parametrize("limits", [None, Limits(30, 4.0)])
@pytest.mark.parametrize("count", [1, 50, 333])
def test_ids_are_those_of_the_tokenizers(count, limits, tokenizers, tmp_path):
    pairs = [("a b", "b a"), *make_pairs(count - 1, random.Random())]
    ledger = write(pairs, tokenizers, tmp_path, limits=limits)
    corpus = EncodedCorpus(tmp_path)
    rows = range(len(corpus))
    found = [(corpus.line(i), corpus.src(i).tolist(), corpus.tgt(i).tolist()) for i in rows]
    assert found == list(expected_pairs(pairs, tokenizers, limits))
    assert corpus.src_lengths.tolist() == [len(src) for _, src, _ in found]
    assert corpus.tgt_lengths.tolist() == [len(tgt) for _, _, tgt in found]
    assert (ledger.read, ledger.kept) == (count, len(corpus))
    assert read_ledger(tmp_path) == ledger


def test_ledger_counts_each_pair_once(tokenizers, tmp_path):
    pairs = make_pairs(400, random.Random())
    ledger = write(pairs, tokenizers, tmp_path, limits=Limits(30, 4.0))
    counts = ledger.to_dict()
    assert counts.pop("read") == 400 == sum(counts.values())
    assert ledger.blank == sum(not src or not tgt for src, tgt in pairs)


def test_blank_by_any_spaces_is_blank(tokenizers, tmp_path):
    pairs = [("  ", "a"), ("a", "\t"), ("a", "b"), ("\u3000", "a"), ("a", "\u2003\xa0")]
    ledger = write(pairs, tokenizers, tmp_path, limits=Limits(30, 4.0))
    assert (ledger.blank, ledger.kept) == (4, 1)


def test_nothing_kept(tokenizers, tmp_path):
    assert write([("", "")], tokenizers, tmp_path, limits=Limits(9, 9)).kept == 0
    corpus = EncodedCorpus(tmp_path)
    assert len(corpus) == 0 and corpus.src_lengths.shape == (0,)


def test_several_processes_write_the_same_file(tokenizers, tmp_path):
    pairs, files = make_pairs(1230, random.Random()), []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        options = {"limits": Limits(30, 4.0), "with_text": True, "num_workers": workers}
        write(pairs, tokenizers, folder, **options)
        files.append([(folder / name).read_bytes() for name in ("pairs.arrow", "ledger.json")])
    assert files[0] == files[1]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory")
def test_what_is_read_does_not_stay_in_memory(tokenizers, tmp_path, monkeypatch):
    def mapped() -> int:
        text = Path("/proc/self/status").read_text()
        return int(text.split("RssFile:")[1].split()[0]) * 1024

    monkeypatch.setattr(encoding, "PAIRS_PER_BATCH", 1 << 14)
    write([("abcdefgh" * 60, "b" * 480)] * 4096, tokenizers, tmp_path)
    corpus = EncodedCorpus(tmp_path)
    size = sum(corpus.src(i).nbytes + corpus.tgt(i).nbytes for i in range(len(corpus)))
    before = mapped()
    corpus = EncodedCorpus(tmp_path)
    assert sum(corpus.src(i).nbytes + corpus.tgt(i).nbytes for i in range(len(corpus))) == size
    assert size > 2 << 20 and mapped() - before < size / 4


def test_the_library_opens_the_file(tokenizers, tmp_path):
    datasets = pytest.importorskip("datasets")
    write(make_pairs(120, random.Random()), tokenizers, tmp_path)
    table = datasets.Dataset.from_file(str(tmp_path / "pairs.arrow"))
    corpus = EncodedCorpus(tmp_path)
    assert [row["src"] for row in table] == [corpus.src(i).tolist() for i in range(120)]


def test_pairs_are_read_as_a_stream(tokenizers, tmp_path):
    drawn = 0

    def endless():
        nonlocal drawn
        while True:
            drawn += 1
            yield "a b", "c d"

    progress = write_corpus(endless(), tokenizers, tmp_path)
    assert [next(progress).read for _ in range(3)] == [50, 100, 150]
    assert drawn <= 200
    progress.close()


def test_text_is_kept_on_request(tokenizers, tmp_path):
    pairs = [("", "x\u2028"), ("a b", "c"), *make_pairs(70, random.Random())]
    write(pairs, tokenizers, tmp_path, with_text=True)
    corpus = EncodedCorpus(tmp_path)
    assert [(corpus.src_text(i), corpus.tgt_text(i)) for i in range(len(pairs))] == pairs


def test_sampling_depends_on_seed_epoch_and_line_only(tokenizers, tmp_path):
    rng = random.Random(5)
    pairs = [pair for pair in make_pairs(400, rng) if all(pair)]
    limits = Limits(60, 9.0)

    def samples(seed, epoch, order=None, limits=limits):
        folder = tmp_path / str(limits)
        folder.mkdir(exist_ok=True)
        write(pairs, tokenizers, folder, limits=limits, with_text=True)
        corpus = EncodedCorpus(folder, Sampling(tokenizers, 0.3, seed))
        order = np.arange(len(corpus)) if order is None else order(len(corpus))
        rows = zip(*corpus.sample(order, np.full(len(order), epoch)), strict=True)
        return {corpus.line(i): row for i, row in zip(order.tolist(), rows, strict=True)}

    first = samples(1, 0)
    assert samples(1, 0, order=np.random.default_rng().permutation) == first
    fewer = samples(1, 0, limits=Limits(20, 3.0))
    assert 0 < len(fewer) < len(first)
    assert fewer == {line: first[line] for line in fewer}
    for other in (samples(2, 0), samples(1, 1)):
        assert sum(other[line] != first[line] for line in first) > 0.5 * len(first)
    for line, (src, tgt) in first.items():
        assert tokenizers.src.decode([src]) == [pairs[line][0]]
        assert tokenizers.tgt.decode([tgt]) == [pairs[line][1]]
        assert src[-1] == tgt[-1] == EOS
