import random

import numpy as np
import pytest
import torch

from seq2seq.data.batch import load_batch, pad
from seq2seq.data.encoding import EncodedCorpus, Sampling, write_corpus
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizers
from seq2seq.recipe import Tokenizer as Section
from seq2seq.special import BOS, EOS, PAD

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
