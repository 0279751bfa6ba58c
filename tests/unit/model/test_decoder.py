from itertools import product

import numpy as np
import oracles
import pytest
import torch
from tiny import (
    DECODERS,
    TGT_VOCAB,
    build_model,
    build_section,
    layers_of,
    random_source,
    random_target,
    randomise,
    weights_of,
)

from seq2seq.model.decoder import Decoder
from seq2seq.model.dropout import Dropouts
from seq2seq.model.embedding import Embedding
from seq2seq.model.recurrent import RNNS

LENGTHS = [4, 6, 1]
STEPS = 5
every_decoder = pytest.mark.parametrize(
    ("attention", "feeding", "rnn_type", "layers"),
    [
        (*kind, rnn_type, layers)
        for kind, rnn_type, layers in product(DECODERS, RNNS, (1, 2, 3))
        if layers == 2 or rnn_type in ("gru", "lstm")
    ],
)
every_kind = pytest.mark.parametrize(("attention", "feeding"), DECODERS)


def build(attention, feeding, rnn_type="lstm", layers=2, **keys):
    keys |= {"attention": attention, "feeding": feeding, "rnn_type": rnn_type}
    return build_model(decoder=keys | {"num_layers": layers})


def decode_slowly(model, kind, feeding, tokens, state, residual=False):
    """Features (T, R) of one sentence from the definition: what each part reads, step by step."""
    decoder = model.decoder
    top = decoder.upper
    start = [part[:, 0].double().numpy() for part in state.lower]
    lower = list(zip(*start, strict=True))
    upper = list(zip(*(part[:, 0].double().numpy() for part in state.upper), strict=True))
    values = None if kind is None else state.memory.values[0].double().numpy()
    embedding = weights_of(decoder.embedding)["weight"]
    readout = weights_of(decoder.readout)
    feature = np.zeros(decoder.readout_size)
    features = []
    for token in tokens.tolist():
        inputs = embedding[token]
        if feeding == "input":
            inputs = np.concatenate((inputs, feature))
        rnn_type = decoder.lower.rnn_type
        outputs, lower = oracles.recurrent(
            rnn_type, layers_of(decoder.lower), inputs[None], lower, residual=residual
        )
        hidden, context = outputs[0], np.zeros(0)
        if kind is not None:
            context, _ = oracles.attend(kind, weights_of(decoder.attention), hidden, values)
        if top is not None:
            inputs = np.concatenate((hidden, context))
            outputs, upper = oracles.recurrent(
                rnn_type, layers_of(top), inputs[None], upper, residual=residual, on_top=True
            )
            hidden = outputs[0]
        joined = np.concatenate((hidden, context))
        feature = np.tanh(readout["weight"] @ joined + readout["bias"])
        features.append(feature)
    return np.array(features)


@pytest.mark.usefixtures("doubles")
@every_decoder
def test_search_takes_the_path_of_training(attention, feeding, rnn_type, layers):
    model = build(attention, feeding, rnn_type, layers)
    src, lengths = random_source(LENGTHS)
    tokens = random_target(len(LENGTHS), STEPS)
    with torch.no_grad():
        state = model.encode(src, lengths)
        together, end = model.decode(tokens, state)
        steps = []
        for token in tokens.split(1, dim=1):
            features, state = model.decode(token, state)
            steps.append(features)
    torch.testing.assert_close(torch.cat(steps, dim=1), together, atol=1e-6, rtol=1e-5)
    for part in ("lower", "upper"):
        for ours, theirs in zip(getattr(state, part), getattr(end, part), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("doubles")
@every_decoder
def test_features_are_those_of_the_definition(attention, feeding, rnn_type, layers):
    model = build(attention, feeding, rnn_type, layers)
    num_upper = layers - 1 if feeding == "first_layer" else 0
    assert (model.decoder.upper.num_layers if model.decoder.upper else 0) == num_upper
    src, lengths = random_source([5])
    tokens = random_target(1, STEPS)
    with torch.no_grad():
        state = model.encode(src, lengths)
        features, _ = model.decode(tokens, state)
    expected = decode_slowly(model, attention, feeding, tokens[0], state)
    np.testing.assert_allclose(features[0], expected, atol=1e-5)


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("rnn_type", ["lstm", "ssru"])
@pytest.mark.parametrize("feeding", ["first_layer", "input"])
def test_residual_connections_pass_by_the_attention(feeding, rnn_type):
    model = build("luong", feeding, rnn_type, layers=3, residual=True)
    src, lengths = random_source([5])
    tokens = random_target(1, STEPS)
    with torch.no_grad():
        state = model.encode(src, lengths)
        features, _ = model.decode(tokens, state)
    expected = decode_slowly(model, "luong", feeding, tokens[0], state, residual=True)
    np.testing.assert_allclose(features[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "noise",
    [
        {"hidden_dropout": 0.5, "locked_dropout": True},
        {"recurrent_dropout": 0.5},
        {"weight_dropout": 0.5},
    ],
)
def test_noise_of_the_stack_is_drawn_once_for_all_steps(noise):
    model = build_model(decoder={"feeding": "input", "num_layers": 3}, **({"dropout": 0.0} | noise))
    stack, drawn = model.decoder.train().lower, []
    stack.register_forward_hook(
        lambda m, args, kw, out: drawn.append(kw["noise"]), with_kwargs=True
    )
    model.decode(random_target(3, STEPS), model.encode(*random_source(LENGTHS)))
    assert len(drawn) == STEPS and len(set(map(id, drawn))) == 1


@every_kind
def test_rows_of_a_sentence_share_its_memory(attention, feeding):
    model = build(attention, feeding)
    src, lengths = random_source(LENGTHS)
    width = 3
    tokens = random_target(len(LENGTHS) * width, STEPS)
    with torch.no_grad():
        rows = torch.arange(len(LENGTHS)).repeat_interleave(width)
        tiled = model.encode(src, lengths).select(rows)
        together, _ = model.decode(tokens, tiled)
        apart, _ = model.decode(tokens, model.encode(src[rows], lengths[rows]))
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-5)


@every_kind
def test_rows_and_sentences_can_be_reordered_and_dropped(attention, feeding):
    model = build(attention, feeding)
    src, lengths = random_source(LENGTHS)
    tokens = random_target(6, STEPS)
    rows, sentences = torch.tensor([5, 4, 1, 1]), torch.tensor([2, 0])
    with torch.no_grad():
        state = model.encode(src, lengths).select(torch.arange(3).repeat_interleave(2))
        whole, _ = model.decode(tokens, state)
        _, state = model.decode(tokens[:, :2], state)
        kept, _ = model.decode(tokens[rows, 2:], state.select(rows, sentences))
    torch.testing.assert_close(kept, whole[rows, 2:], atol=1e-6, rtol=1e-5)


@every_kind
def test_features_do_not_know_the_future(attention, feeding):
    model = build(attention, feeding)
    src, lengths = random_source(LENGTHS)
    tokens = random_target(3, STEPS)
    changed = tokens.clone()
    changed[:, 3] = torch.where(tokens[:, 3] == 4, 5, 4)
    before, after = (model(src, lengths, t) for t in (tokens, changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(dim=-1).all()


@every_kind
def test_only_attention_sees_the_memory(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding}, bridge=None)
    tokens = random_target(1, STEPS)
    features = [model(*random_source([n]), tokens) for n in (3, 6)]
    assert torch.equal(*features) is (attention is None)


@every_kind
def test_dropout_acts_in_training_only(attention, feeding):
    keys = {"attention": attention, "feeding": feeding, "num_layers": 1}
    section = build_section(decoder=keys).decoder
    decoder = randomise(
        Decoder(
            section,
            Embedding(TGT_VOCAB, section.embedding_dim, tied=False),
            6,
            6,
            Dropouts(0.5, 0.5, 0.5),
        )
    )
    state = build(attention, feeding, layers=1).encode(*random_source(LENGTHS))
    tokens = random_target(3, STEPS)
    assert torch.equal(decoder(tokens, state)[0], decoder(tokens, state)[0])
    decoder.train()
    assert not torch.equal(decoder(tokens, state)[0], decoder(tokens, state)[0])
