from itertools import product

import numpy as np
import oracles
import pytest
import torch
from tiny import (
    KINDS,
    TGT_VOCAB,
    build_model,
    build_section,
    layers_of,
    needs_bfloat16,
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
    ("keys", "rnn_type", "layers"),
    [
        (keys, rnn_type, layers)
        for keys, rnn_type in product(KINDS, RNNS)
        for layers in ((1, 3) if rnn_type in ("gru", "lstm") else (2,))
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
every_kind = pytest.mark.parametrize(
    "keys", KINDS, ids=lambda keys: "-".join(map(str, keys.values()))
)


def build(keys, rnn_type="lstm", layers=2, **others):
    return build_model(
        encoder={"embedding_dim": 5},
        decoder={**keys, "rnn_type": rnn_type, "num_layers": layers, **others},
    )


def decode_slowly(model, keys, tokens, src, lengths, residual=False):
    """Features (T, R) of one sentence from the definition: what each part reads, step by step."""
    decoder, state = model.decoder, model.encode(src, lengths)
    kind, feeding = keys.get("attention", "luong"), keys.get("feeding", "first_layer")
    heads, past = keys.get("attention_heads", 1), None
    values = model.encoder(src, lengths).states[0].double().numpy()
    source = weights_of(model.encoder.embedding)["weight"][src[0]]
    start = [part[:, 0].double().numpy() for part in state.lower]
    lower = list(zip(*start, strict=True))
    upper = list(zip(*(part[:, 0].double().numpy() for part in state.upper), strict=True))
    embedding = weights_of(decoder.embedding)["weight"]
    readout, rnn_type = weights_of(decoder.readout), decoder.lower.rnn_type
    feature = np.zeros(decoder.readout_size)
    features = []

    def run(stack, inputs, before):
        outputs, after = oracles.recurrent(
            rnn_type,
            layers_of(stack),
            inputs[None],
            before,
            residual=residual,
            on_top=stack is decoder.upper,
        )
        return outputs[0], after

    for token in tokens.tolist():
        word = embedding[token]
        inputs = np.concatenate((word, feature)) if feeding == "input" else word
        hidden, lower = run(decoder.lower, inputs, lower)
        context = np.zeros(0)
        if kind is not None:
            weights = weights_of(decoder.attention)
            if heads > 1:
                scaled = kind == "scaled_dot"
                found = oracles.attend_with_heads(weights, heads, scaled, hidden, values)
                context, shares = found
            else:
                context, shares, past = oracles.attend(kind, weights, hidden, values, past)
        if feeding == "conditional":
            hidden, lower = run(decoder.second, context, lower)
        if decoder.context_gate is not None:
            weights = weights_of(decoder.context_gate)
            gate = weights["gate.weight"] @ np.concatenate((word, hidden, context))
            gate = oracles.sigmoid(gate + weights["gate.bias"])
            hidden, context = (1 - gate) * hidden, gate * (weights["context.weight"] @ context)
        if decoder.upper is not None:
            hidden, upper = run(decoder.upper, np.concatenate((hidden, context)), upper)
        joined = [hidden, context, word] if decoder.deep_output else [hidden, context]
        feature = np.tanh(readout["weight"] @ np.concatenate(joined) + readout["bias"])
        lexical = np.zeros(0)
        if model.lexical is not None:
            seen = np.tanh(sum(w * e for w, e in zip(shares, source, strict=True)))
            lexical = seen + np.tanh(weights_of(model.lexical)["layer.weight"] @ seen)
        features.append(np.concatenate((feature, lexical)))
    return np.array(features)


@pytest.mark.usefixtures("doubles")
@every_decoder
def test_search_takes_the_path_of_training(keys, rnn_type, layers):
    model = build(keys, rnn_type, layers)
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
def test_features_are_those_of_the_definition(keys, rnn_type, layers):
    model = build(keys, rnn_type, layers)
    feeding = keys.get("feeding", "first_layer")
    num_upper = layers - 1 if feeding in ("first_layer", "conditional") else 0
    assert (model.decoder.upper.num_layers if model.decoder.upper else 0) == num_upper
    src, lengths = random_source([5])
    tokens = random_target(1, STEPS)
    with torch.no_grad():
        state = model.encode(src, lengths)
        features, _ = model.decode(tokens, state)
        expected = decode_slowly(model, keys, tokens[0], src, lengths)
    np.testing.assert_allclose(features[0], expected, atol=1e-5)


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("rnn_type", ["lstm", "ssru"])
@pytest.mark.parametrize("feeding", ["first_layer", "input"])
def test_residual_connections_pass_by_the_attention(feeding, rnn_type):
    keys = {"feeding": feeding}
    model = build(keys, rnn_type, layers=3, residual=True)
    src, lengths = random_source([5])
    tokens = random_target(1, STEPS)
    with torch.no_grad():
        features, _ = model.decode(tokens, model.encode(src, lengths))
        expected = decode_slowly(model, keys, tokens[0], src, lengths, residual=True)
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
def test_rows_of_a_sentence_share_its_memory(keys):
    model = build(keys)
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
def test_rows_and_sentences_can_be_reordered_and_dropped(keys):
    model = build(keys)
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
def test_features_do_not_know_the_future(keys):
    model = build(keys)
    src, lengths = random_source(LENGTHS)
    tokens = random_target(3, STEPS)
    changed = tokens.clone()
    changed[:, 3] = torch.where(tokens[:, 3] == 4, 5, 4)
    before, after = (model(src, lengths, t) for t in (tokens, changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(dim=-1).all()


@every_kind
def test_only_attention_sees_the_memory(keys):
    model = build_model(encoder={"embedding_dim": 5}, decoder=keys, bridge=None)
    if keys.get("attention") == "monotonic":
        torch.nn.init.constant_(model.decoder.attention.offset, 100.0)  # it does look
    tokens = random_target(1, STEPS)
    features = [model(*random_source([n]), tokens) for n in (3, 6)]
    assert torch.equal(*features) is (keys.get("attention", "") is None)


def build_dropping(keys, **dropout):
    section = build_section(decoder={**keys, "num_layers": 1}).decoder
    embedding = Embedding(TGT_VOCAB, section.embedding_dim, tied=False)
    return randomise(Decoder(section, embedding, 6, 6, Dropouts(**dropout)))


@every_kind
def test_dropout_acts_in_training_only(keys):
    decoder = build_dropping(keys, embedding=0.5, hidden=0.5, output=0.5)
    state = build(keys, layers=1).encode(*random_source(LENGTHS))
    tokens = random_target(3, STEPS)
    assert torch.equal(decoder(tokens, state)[0], decoder(tokens, state)[0])
    decoder.train()
    assert not torch.equal(decoder(tokens, state)[0], decoder(tokens, state)[0])


@pytest.mark.parametrize("feeding", ["first_layer", "input", "conditional"])
@pytest.mark.parametrize("place", ["hidden", "output"])
def test_locked_dropout_takes_the_same_units_at_all_steps(feeding, place):
    def dropped(locked):
        decoder = build_dropping({"feeding": feeding}, **{place: 0.5}, locked=locked).train()
        seen = []
        read = {"hidden": decoder.attention, "output": decoder}[place]
        if place == "hidden":
            read.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        features, _ = decoder(tokens, state)
        return (torch.cat(seen, dim=1) if seen else features) == 0

    state = build({"feeding": feeding}, layers=1).encode(*random_source(LENGTHS))
    tokens = random_target(3, 20)
    locked, free = dropped(True), dropped(False)
    assert locked.shape == (3, 20, 6)
    assert torch.equal(locked, locked[:, :1].expand_as(locked)) and locked.any()
    assert not torch.equal(free, free[:, :1].expand_as(free))


@needs_bfloat16
@every_kind
def test_bfloat16_is_near(keys):
    model = build(keys)
    if keys.get("attention") == "monotonic":
        torch.nn.init.constant_(model.decoder.attention.offset, 100.0)  # it does not waver
    src, lengths = random_source(LENGTHS)
    tokens = random_target(3, STEPS)
    exact = model(src, lengths, tokens)
    with torch.autocast("cpu", torch.bfloat16):
        features, state = model.decode(tokens, model.encode(src, lengths))
    assert (features.float() - exact).abs().mean() < 0.05
    if state.weights is not None:
        assert state.weights.dtype == torch.float32
    features.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@every_kind
def test_weights_of_the_attention_can_be_seen(keys):
    model = build(keys)
    src, lengths = random_source(LENGTHS)
    tokens = random_target(6, STEPS)
    with torch.no_grad():
        state = model.encode(src, lengths).select(torch.arange(3).repeat_interleave(2))
        _, after = model.decode(tokens, state)
        steps = []
        for token in tokens.split(1, dim=1):
            _, state = model.decode(token, state)
            steps.append(state.weights)
    if keys.get("attention", "luong") is None:
        assert after.weights is None
        return
    assert after.weights.shape == (6, STEPS, max(LENGTHS))
    torch.testing.assert_close(torch.cat(steps, dim=1), after.weights, atol=1e-6, rtol=1e-5)
    assert after.select(torch.arange(6)).weights is None
