import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import (
    KINDS,
    SRC_VOCAB,
    TGT_VOCAB,
    build_model,
    build_section,
    needs_bfloat16,
    random_source,
    random_target,
    weights_of,
)
from torch import nn

from seq2seq.model.recurrent import RNNS
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import PAD

LENGTHS = [4, 6, 1]
every_kind = pytest.mark.parametrize(
    "keys", KINDS, ids=lambda keys: "-".join(map(str, keys.values()))
)


def num_parameters(model):
    return sum(p.numel() for p in model.parameters())


def build_joint(tied, tgt_vocab=SRC_VOCAB):
    keys = {"encoder": {"embedding_dim": 6}, "decoder": {"embedding_dim": 6}}
    return Seq2Seq(build_section(**keys, tied_embeddings=tied), SRC_VOCAB, tgt_vocab)


def test_tied_weights_are_one_and_count_once():
    apart, two, three = map(build_joint, (None, "two_way", "three_way"))
    table = SRC_VOCAB * 6
    assert num_parameters(apart) - num_parameters(two) == table
    assert num_parameters(two) - num_parameters(three) == table
    for model, num_tables in ((apart, 3), (two, 2), (three, 1)):
        tables = (model.encoder.embedding, model.decoder.embedding, model.output)
        assert len({t.weight.data_ptr() for t in tables}) == num_tables
        assert sum("weight" in name for name, _ in model.output.named_parameters()) == 1
    with torch.no_grad():
        three.output.weight.add_(1)
    assert torch.equal(three.encoder.embedding.weight, three.output.weight)


def test_a_target_of_fewer_tokens_shares_the_first_rows():
    few = TGT_VOCAB - 1
    assert few < SRC_VOCAB
    model = build_joint("three_way", few).eval()
    assert model.encoder.embedding is model.decoder.embedding
    assert torch.equal(model.output.weight, model.encoder.embedding.weight[:few])
    src, lengths = random_source(LENGTHS)
    tgt = random_target(len(LENGTHS), 5).clamp(max=few - 1)
    logits = model.output(model(src, lengths, tgt))
    assert logits.shape[-1] == few
    logits.square().sum().backward()
    alone = copy.deepcopy(model)
    alone.zero_grad()
    # The same with a layer of its own: the gradient of the table is the sum of both places.
    own = nn.Parameter(model.output.weight.detach().clone())
    features = alone(src, lengths, tgt)
    F.linear(features, own, alone.output.bias).square().sum().backward()
    expected = alone.encoder.embedding.weight.grad.clone()
    expected[:few] += own.grad
    torch.testing.assert_close(model.encoder.embedding.weight.grad, expected)


@pytest.mark.parametrize("tied", [None, "two_way", "three_way"])
def test_padding_embeds_to_nothing(tied):
    model = build_joint(tied)
    for embedding in (model.encoder.embedding, model.decoder.embedding):
        vectors = embedding(torch.arange(SRC_VOCAB))
        assert not vectors[PAD].any() and vectors[PAD + 1 :].all()


@pytest.mark.parametrize("tied", [None, "two_way", "three_way"])
@every_kind
def test_every_weight_is_of_use(keys, tied):
    section = build_section(decoder=keys, tied_embeddings=tied, dropout=0.0)
    model = Seq2Seq(section, TGT_VOCAB, TGT_VOCAB).train()
    src, lengths = random_source([4, 6, 2])
    src, tgt = src.clamp(max=TGT_VOCAB - 1), random_target(3, 5)
    features, state = model.decode(tgt, model.encode(src, lengths))
    log_probs = torch.log_softmax(model.output(features), dim=-1)[..., 4]
    if model.copying is not None:
        generate, copied = model.copying.score(features, state.weights, src, src[:, :5])
        log_probs = torch.logaddexp(generate + log_probs, copied)
    log_probs.sum().backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused


@needs_bfloat16
@pytest.mark.parametrize("rnn_type", RNNS)
def test_every_weight_of_every_cell_is_of_use_in_bfloat16_too(rnn_type):
    keys = {"rnn_type": rnn_type, "embedding_dim": 32, "hidden_size": 32, "num_layers": 3}
    section = build_section(encoder=keys | {"residual": True}, decoder=keys | {"residual": True})
    model = Seq2Seq(section, TGT_VOCAB, TGT_VOCAB)
    src, lengths = random_source([4, 6, 2])
    with torch.autocast("cpu", torch.bfloat16):
        features = model(src.clamp(max=TGT_VOCAB - 1), lengths, random_target(3, 5))
    model.output(features.float()).logsumexp(dim=-1).sum().backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused


@pytest.mark.parametrize("rnn_type", RNNS)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_dense_bridge_maps_the_top_layers_final_state(rnn_type, layers):
    model = build_model(decoder={"rnn_type": rnn_type, "num_layers": layers})
    src, lengths = random_source(LENGTHS)
    state = model.encode(src, lengths)
    weights = weights_of(model.bridge.dense)
    top = model.encoder(src, lengths).final[0][-1].detach().double().numpy()
    parts = np.tanh(top @ weights["weight"].T + weights["bias"])
    made = state.lower
    if layers > 1:
        made = [torch.cat(both) for both in zip(state.lower, state.upper, strict=True)]
    stacked = torch.stack(tuple(made)).permute(2, 0, 1, 3)  # rows, states, layers, units
    assert stacked.flatten(1).shape == parts.shape
    np.testing.assert_allclose(stacked.flatten(1).detach(), parts, atol=1e-5)


@pytest.mark.parametrize("rnn_type", RNNS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_copying_bridge_takes_all_layers_as_they_are(rnn_type, bidirectional):
    hidden = 3 if bidirectional else 6
    model = build_model(
        encoder={"rnn_type": rnn_type, "bidirectional": bidirectional, "hidden_size": hidden},
        decoder={"rnn_type": rnn_type},
        bridge="copy",
    )
    src, lengths = random_source(LENGTHS)
    state, final = model.encode(src, lengths), model.encoder(src, lengths).final
    for lower, upper, part in zip(state.lower, state.upper, final, strict=True):
        assert torch.equal(torch.cat((lower, upper)), part)


@pytest.mark.parametrize("rnn_type", RNNS)
def test_without_a_bridge_the_decoder_starts_at_zero(rnn_type):
    model = build_model(decoder={"rnn_type": rnn_type}, bridge=None)
    state = model.encode(*random_source(LENGTHS))
    assert len(state.lower) == len(state.upper) == {"lstm": 2, "ln_lstm": 2}.get(rnn_type, 1)
    assert not any(part.any() for part in (*state.lower, *state.upper))


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("rnn_type", RNNS)
@every_kind
def test_padding_and_neighbours_change_nothing(keys, rnn_type):
    model = build_model(encoder={"rnn_type": rnn_type}, decoder={**keys, "rnn_type": rnn_type})
    src, lengths = random_source(LENGTHS)
    tgt = random_target(len(LENGTHS), 5)
    together = model(src, lengths, tgt)
    order = torch.randperm(len(LENGTHS))
    shuffled = model(src[order], lengths[order], tgt[order])
    torch.testing.assert_close(shuffled, together[order], atol=1e-6, rtol=1e-5)
    for i, length in enumerate(LENGTHS):
        alone = model(src[i : i + 1, :length], lengths[i : i + 1], tgt[i : i + 1, : i + 2])
        torch.testing.assert_close(together[i, : i + 2], alone[0], atol=1e-6, rtol=1e-5)


@every_kind
def test_search_keeps_rows_and_sentences_apart(keys):
    model = build_model(decoder=keys, tgt_vocab=SRC_VOCAB)
    src, lengths = random_source(LENGTHS)
    tokens = random_target(len(LENGTHS) * 2, 3).unbind(1)
    with torch.no_grad():
        together = model.encode(src, lengths).select(torch.arange(3).repeat_interleave(2))
        for token in tokens[:2]:
            _, together = model.step(token, together)
        together = together.select(torch.tensor([5, 4, 1, 0]), torch.tensor([2, 0]))
        found, _ = model.step(tokens[2][[5, 4, 1, 0]], together)
        for place, row in enumerate((5, 4, 1, 0)):
            one = row // 2
            alone = model.encode(src[one : one + 1, : LENGTHS[one]], lengths[one : one + 1])
            for token in tokens:
                expected, alone = model.step(token[row : row + 1], alone)
            torch.testing.assert_close(found[place], expected[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [None, "two_way"])
def test_steps_give_the_distributions_of_one_forward_call(tied):
    model = build_model(decoder={"feeding": "input"}, tied_embeddings=tied)
    src, lengths = random_source(LENGTHS)
    tgt = random_target(len(LENGTHS), 4)
    expected = torch.softmax(model.output(model(src, lengths, tgt)), dim=-1)
    state = model.encode(src, lengths)
    for i, tokens in enumerate(tgt.unbind(1)):
        log_probs, state = model.step(tokens, state)
        torch.testing.assert_close(log_probs.exp(), expected[:, i], atol=1e-6, rtol=1e-5)


def test_a_search_may_overwrite_what_a_step_gives():
    model = build_model(decoder={"feeding": "input"})
    tokens = random_target(len(LENGTHS), 1)[:, 0]
    with torch.inference_mode():
        state = model.encode(*random_source(LENGTHS))
        first, after = model.step(tokens, state)
        expected, _ = model.step(tokens, after)
        first.fill_(float("-inf"))
        again, _ = model.step(tokens, after)
    assert torch.equal(again, expected)
