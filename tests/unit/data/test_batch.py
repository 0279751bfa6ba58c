import random

import numpy as np
import pytest
import torch

from seq2seq.data.batch import load_batch, pad
from seq2seq.data.encoding import EncodedCorpus, Sampling, write_corpus
from seq2seq.data.noise import Noise
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizers
from seq2seq.recipe import Tokenizer as Section
from seq2seq.special import BOS, EOS, PAD, UNK

RNG = random.Random(11)
PAIRS = [
    tuple(" ".join(RNG.choices(["go", "gone", "going"], k=RNG.randint(1, 9))) for _ in range(2))
    for _ in range(90)
]


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    return train_tokenizers(lambda: iter(PAIRS), Section(vocab_size=20))


@pytest.fixture(scope="module")
def folder(tokenizers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for _ in write_corpus(iter(PAIRS), tokenizers, folder, with_text=True):
        pass
    return folder


def assert_well_formed(batch):
    assert batch.src.dtype == batch.tgt_in.dtype == batch.tgt_out.dtype == torch.int64
    assert batch.src.shape == (len(batch.index), int(batch.src_lengths.max()))
    assert batch.tgt_in.shape == batch.tgt_out.shape
    assert batch.num_tokens == int((batch.tgt_out != PAD).sum())
    for src, length in zip(batch.src.tolist(), batch.src_lengths.tolist(), strict=True):
        assert src[length - 1] == EOS and PAD not in src[:length]
        assert set(src[length:]) <= {PAD}
    for read, said in zip(batch.tgt_in.tolist(), batch.tgt_out.tolist(), strict=True):
        length = said.index(EOS) + 1
        assert read[0] == BOS and read[1:length] == said[: length - 1]
        assert set(read[length:]) | set(said[length:]) <= {PAD}


def test_batches_hold_the_pairs_that_the_index_names(folder, tokenizers):
    corpus = EncodedCorpus(folder)
    index = np.random.default_rng().permutation(len(corpus))[:17]
    batch = load_batch(corpus, index)
    assert_well_formed(batch)
    assert tokenizers.src.decode(batch.src.tolist()) == [PAIRS[i][0] for i in index]
    assert tokenizers.tgt.decode(batch.tgt_out.tolist()) == [PAIRS[i][1] for i in index]
    assert batch.index is index
    assert batch.num_tokens == corpus.tgt_lengths[index].sum()


@pytest.mark.parametrize("count", [2, 5, 16])
def test_halves_are_the_batches_of_their_pairs(folder, count):
    corpus = EncodedCorpus(folder)
    index = np.random.default_rng().permutation(len(corpus))[:count]
    halves = load_batch(corpus, index).halves()
    for half, part in zip(halves, (index[: count // 2], index[count // 2 :]), strict=True):
        assert_well_formed(half)
        expected = load_batch(corpus, part)
        for name in ("src", "src_lengths", "tgt_in", "tgt_out"):
            assert torch.equal(getattr(half, name), getattr(expected, name))
        assert half.index.tolist() == part.tolist()
        assert half.num_tokens == expected.num_tokens


def test_neighbours_change_padding_only(folder):
    corpus = EncodedCorpus(folder)
    many = load_batch(corpus, np.arange(40))
    for i in range(40):
        alone = load_batch(corpus, np.array([i]))
        width, length = alone.tgt_in.shape[1], int(alone.src_lengths)
        assert torch.equal(alone.src[0], many.src[i, :length])
        assert torch.equal(alone.tgt_in[0], many.tgt_in[i, :width])
        assert torch.equal(alone.tgt_out[0], many.tgt_out[i, :width])


def test_sampled_batches_follow_the_epoch(folder, tokenizers):
    corpus = EncodedCorpus(folder, Sampling(tokenizers, 0.3, 1))
    index = np.arange(30)
    first, second, again = (load_batch(corpus, index, epoch) for epoch in (0, 1, 0))
    assert_well_formed(first)
    assert torch.equal(first.src, again.src) and torch.equal(first.tgt_out, again.tgt_out)
    assert first.src.tolist() != second.src.tolist()
    assert tokenizers.src.decode(second.src.tolist()) == [src for src, _ in PAIRS[:30]]


def test_noise_is_on_what_is_read_and_follows_the_line(folder):
    index = np.random.default_rng().permutation(len(PAIRS))[:40]
    clean = load_batch(EncodedCorpus(folder), index, 1)
    corpus = EncodedCorpus(folder, noise=Noise(0.5, 0.5, 0, 1))
    noisy, again = load_batch(corpus, index, 1), load_batch(corpus, index[::-1].copy(), 1)
    assert torch.equal(noisy.tgt_out, clean.tgt_out)
    assert noisy.num_tokens == clean.num_tokens
    assert torch.equal(noisy.src, clean.src) and torch.equal(clean.src, clean.src_in)
    for read, written in ((noisy.src_in, clean.src), (noisy.tgt_in, clean.tgt_in)):
        changed = read != written
        assert changed.any() and not changed.all()
        assert set(read[changed].tolist()) == {UNK}
    assert torch.equal(noisy.src_in, again.src_in.flip(0))
    assert torch.equal(noisy.tgt_in, again.tgt_in.flip(0))
    assert not torch.equal(noisy.src_in, load_batch(corpus, index, 2).src_in)


def test_shuffled_words_keep_their_sentence(folder):
    index = np.arange(40)
    clean = load_batch(EncodedCorpus(folder), index)
    noisy = load_batch(EncodedCorpus(folder, noise=Noise(0.0, 0.0, 2, 1)), index)
    assert_well_formed(noisy)
    assert torch.equal(noisy.src.sort(1).values, clean.src.sort(1).values)
    assert not torch.equal(noisy.src, clean.src) and torch.equal(noisy.src, noisy.src_in)


def test_moving_keeps_the_lengths_on_the_cpu(folder):
    batch = load_batch(EncodedCorpus(folder), np.arange(4)).to("meta")
    assert {batch.src.device.type, batch.tgt_in.device.type, batch.tgt_out.device.type} == {"meta"}
    assert batch.src_lengths.device.type == "cpu"


def test_pad():
    padded, lengths = pad([[5, 6, 7], np.array([8], dtype=np.uint16), []])
    assert padded.tolist() == [[5, 6, 7], [8, PAD, PAD], [PAD] * 3]
    assert lengths.tolist() == [3, 1, 0]
    assert padded.dtype == lengths.dtype == torch.int64
    assert pad([])[0].shape == (0, 0)
