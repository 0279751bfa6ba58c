import math

import pytest
import torch
from tiny import SRC_VOCAB, build_section, random_source, randomise

from seq2seq.model.dropout import Dropouts
from seq2seq.model.embedding import Embedding
from seq2seq.model.encoder import Encoder
from seq2seq.model.recurrent import RNNS
from seq2seq.special import PAD

pytestmark = pytest.mark.usefixtures("doubles")
LENGTHS = [4, 7, 1, 6]
every_encoder = pytest.mark.parametrize(
    ("rnn_type", "layers", "bidirectional"),
    [(rnn, layers, both) for rnn in RNNS for layers in (1, 3) for both in (False, True)],
)


def build(rnn_type="lstm", layers=2, bidirectional=True, dropout=0.0, **keys):
    keys = {"rnn_type": rnn_type, "num_layers": layers, "bidirectional": bidirectional} | keys
    section = build_section(encoder=keys).encoder
    embedding = Embedding(SRC_VOCAB, section.embedding_dim, tied=False)
    return randomise(Encoder(section, embedding, Dropouts(dropout, dropout, dropout)))


@every_encoder
def test_a_sentence_is_read_as_if_it_were_alone(rnn_type, layers, bidirectional):
    encoder = build(rnn_type, layers, bidirectional)
    src, lengths = random_source(LENGTHS)
    together = encoder(src, lengths)
    assert together.mask.sum(dim=1).tolist() == LENGTHS
    assert torch.equal(together.mask, src != PAD)
    for i, length in enumerate(LENGTHS):
        alone = encoder(src[i : i + 1, :length], lengths[i : i + 1])
        assert alone.mask.all()
        states = together.states[i, :length]
        torch.testing.assert_close(states, alone.states[0], atol=1e-6, rtol=1e-5)
        for ours, theirs in zip(together.final, alone.final, strict=True):
            assert ours.shape == (layers, len(LENGTHS), encoder.output_size)
            torch.testing.assert_close(ours[:, i], theirs[:, 0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("lengths", [LENGTHS, [5, 5, 5, 5]])
def test_order_and_what_stands_in_padding_do_not_matter(lengths):
    encoder = build()
    src, sizes = random_source(lengths)
    first = encoder(src, sizes)
    noisy = torch.where(src == PAD, torch.randint_like(src, SRC_VOCAB), src)
    assert torch.equal(encoder(noisy, sizes).states, first.states)
    order = torch.randperm(len(lengths))
    shuffled = encoder(src[order], sizes[order])
    torch.testing.assert_close(shuffled.states, first.states[order], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(shuffled.final[0], first.final[0][:, order], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rnn_type", RNNS)
def test_the_final_state_is_that_of_each_directions_last_step(rnn_type):
    encoder = build(rnn_type)
    src, lengths = random_source(LENGTHS)
    encoded = encoder(src, lengths)
    final = encoded.final[0][-1]
    forward, backward = (final.relu() if rnn_type == "ssru" else final).chunk(2, dim=-1)
    for i, length in enumerate(LENGTHS):
        torch.testing.assert_close(forward[i], encoded.states[i, length - 1, :3])
        torch.testing.assert_close(backward[i], encoded.states[i, 0, 3:])


def test_each_direction_sees_its_side_only():
    encoder = build(layers=1)
    src, lengths = random_source([6])
    changed = src.clone()
    changed[0, 3] = 4 if src[0, 3] != 4 else 5
    before, after = (encoder(ids, lengths).states[0] for ids in (src, changed))
    differs = (before != after).unflatten(-1, (2, 3)).any(dim=-1)
    assert differs[:, 0].tolist() == [False] * 3 + [True] * 3
    assert differs[:, 1].tolist() == [True] * 4 + [False] * 2


def test_dropout_acts_in_training_only():
    encoder = build(layers=1, dropout=0.5)
    src, lengths = random_source(LENGTHS)
    assert torch.equal(encoder(src, lengths).states, encoder(src, lengths).states)
    encoder.train()
    assert not torch.equal(encoder(src, lengths).states, encoder(src, lengths).states)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_pyramid_halves_the_memory(layers):
    encoder = build(layers=3, pyramid_layers=layers)
    src, lengths = random_source(LENGTHS)
    encoded = encoder(src, lengths)
    expected = [math.ceil(n / 2**layers) for n in LENGTHS]
    assert encoded.mask.sum(dim=1).tolist() == expected
    assert encoded.states.shape == (len(LENGTHS), max(expected), 6)
    assert encoded.final[0].shape == (3, len(LENGTHS), 6)
    for i, length in enumerate(LENGTHS):
        alone = encoder(src[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(encoded.states[i, encoded.mask[i]], alone.states[0])


@pytest.mark.parametrize(
    "keys", [{"residual": True}, {"transition_depth": 2}, {"alternating": True}]
)
def test_keys_of_the_recipe_reach_the_stack(keys):
    usual, other = build("gru", 2, False), build("gru", 2, False, **keys)
    src, lengths = random_source(LENGTHS)
    with torch.no_grad():
        for ours, theirs in zip(other.parameters(), usual.parameters(), strict=False):
            if ours.shape == theirs.shape:
                ours.copy_(theirs)
    assert not torch.equal(usual(src, lengths).states, other(src, lengths).states)


def test_alternating_layers_read_each_way_in_turn():
    encoder = build(layers=2, bidirectional=False, alternating=True)
    src, lengths = random_source([6])
    encoded = encoder(src, lengths)
    torch.testing.assert_close(encoded.final[0][1, 0], encoded.states[0, 0])
    changed = src.clone()
    changed[0, 3] = 4 if src[0, 3] != 4 else 5
    again = encoder(changed, lengths)
    assert (encoded.states != again.states).any(dim=-1).all()
