import numpy as np
import pytest
import torch
from tiny import KINDS, SRC_VOCAB, build_model, random_source, random_target

from seq2seq.model.attention import ATTENTIONS
from seq2seq.model.precision import LINEARS, Int8Linear, PairedInt8Linear, for_search, narrow
from seq2seq.search.beam import beam_search


def steps(model, src, lengths, tokens, allowed=None):
    """Log-probabilities of each step, and a reordering of the rows on the way."""
    found = []
    with torch.inference_mode():
        state = model.encode(src, lengths)
        for t in range(tokens.shape[1]):
            log_probs, state = model.step(tokens[:, t], state, allowed)
            found.append(log_probs)
            if t == 1:
                state = state.select(torch.arange(len(src)))
    return torch.stack(found, dim=1)


def assert_predicts_the_same(model, precision):
    src, lengths = random_source([5, 3, 4])
    tokens = random_target(3, 4)
    expected = steps(model, src, lengths, tokens)
    found = steps(for_search(model, precision), src, lengths, tokens)
    atol = 1e-5 if precision == "float32" else 0.1
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-4)


@pytest.mark.parametrize("decoder", KINDS)
@pytest.mark.parametrize("rnn_type", ["lstm", "gru", "rnn_tanh", "rnn_relu", "ln_lstm"])
def test_in_float32_it_is_the_same_model(decoder, rnn_type):
    if rnn_type != "lstm" and decoder.get("feeding") != "first_layer":
        decoder = {"num_layers": 3}
    model = build_model(decoder={"rnn_type": rnn_type, **decoder}, tgt_vocab=SRC_VOCAB)
    src, lengths = random_source([5, 3, 4])
    tokens = random_target(3, 4)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    expected = steps(model, src, lengths, tokens)
    found = steps(for_search(model, "float32"), src, lengths, tokens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("keys", [{"residual": True}, {"transition_depth": 2, "rnn_type": "gru"}])
def test_stacks_of_all_kinds_stay_what_they_are(keys):
    model = build_model(decoder={"num_layers": 3, **keys})
    src, lengths = random_source([5, 3])
    tokens = random_target(2, 3)
    expected = steps(model, src, lengths, tokens)
    found = steps(for_search(model, "float32"), src, lengths, tokens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "encoder",
    [
        {},
        {"rnn_type": "gru", "num_layers": 2},
        {"num_layers": 2, "alternating": True, "bidirectional": False},
        {"num_layers": 3, "pyramid_layers": 1, "residual": True},
        {"rnn_type": "ln_lstm"},
    ],
)
@pytest.mark.parametrize("precision", LINEARS)
def test_it_reads_the_source_with_encoders_of_all_kinds(encoder, precision):
    model = build_model(encoder=encoder, bridge="copy" if not encoder else "dense")
    assert_predicts_the_same(model, precision)


@pytest.mark.parametrize("precision", LINEARS)
@pytest.mark.parametrize("attention", [*ATTENTIONS, "heads"])
def test_it_attends_in_all_ways(attention, precision):
    heads = {"attention": "dot", "attention_heads": 2}
    model = build_model(decoder=heads if attention == "heads" else {"attention": attention})
    assert_predicts_the_same(model, precision)


needs_avx2 = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx2"), reason="oneDNN makes these products on x86 alone"
)
INT8 = [Int8Linear, pytest.param(PairedInt8Linear, marks=needs_avx2)]


@pytest.mark.parametrize("layer", INT8)
@pytest.mark.parametrize("bias", [True, False])
def test_int8_rounds_rows_to_levels(layer, bias):
    weight, inputs = torch.randn(7, 16) * torch.rand(7, 1) * 4, torch.randn(2, 3, 16)
    inputs[0, 1] = 0
    offset = torch.randn(7) if bias else None
    found = layer(weight, offset)(inputs).double().numpy()

    def levels(row, highest):
        row = row.double().numpy()
        largest = max(np.abs(row).max(), 1e-30)
        return np.round(row / largest * highest), largest / highest

    for place in np.ndindex(2, 3):
        x, x_scale = levels(inputs[place], 127)
        for i in range(7):
            w, w_scale = levels(weight[i], layer.highest)
            expected = (x @ w) * x_scale * w_scale + (0 if offset is None else offset[i].item())
            # A value between two levels may fall to either in float32.
            assert found[(*place, i)] == pytest.approx(expected, abs=2 * 127 * x_scale * w_scale)


@pytest.mark.parametrize("layer", INT8)
def test_int8_sums_of_the_largest_products_do_not_overflow(layer):
    signs = torch.tensor([1.0, -1.0]).repeat_interleave(2)[:, None]
    found = layer(signs.repeat(1, 512), None)(signs.repeat(1, 512))
    torch.testing.assert_close(found, 512 * signs @ signs.T)


@pytest.mark.parametrize("layer", INT8)
def test_int8_rows_know_nothing_of_each_other(layer):
    own, inputs = layer(torch.randn(9, 32), torch.randn(9)), torch.randn(50, 32)
    together = own(inputs)
    assert torch.equal(together, torch.cat([own(row[None]) for row in inputs]))
    index = torch.tensor([8, 0, 3])
    torch.testing.assert_close(own.rows(index)(inputs), together[:, index])


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_low_precision_is_close(precision):
    sizes = {"hidden_size": 64, "embedding_dim": 32}
    model = build_model(encoder={**sizes, "hidden_size": 32}, decoder=sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.4)
    src, lengths = random_source([5, 3, 4])
    tokens = random_target(3, 4)
    expected = steps(model, src, lengths, tokens)
    found = steps(for_search(model, precision), src, lengths, tokens)
    error = (found - expected).abs().max().item()
    assert 1e-6 < error < 0.1


@pytest.mark.parametrize("precision", LINEARS)
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"decoder": {"lexical": True}},
        {"decoder": {"embedding_dim": 1}, "tied_embeddings": "two_way"},
    ],
    ids=["plain", "lexical", "readouts of one unit"],
)
def test_a_narrow_model_predicts_what_is_allowed(precision, keys):
    model = for_search(build_model(**keys), precision)
    src, lengths = random_source([5, 3])
    tokens = random_target(2, 3)
    ids = torch.tensor([0, 1, 2, 3, 5, 8])
    allowed = torch.tensor([[0, 1, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.bool)
    full = steps(model, src, lengths, tokens)[:, :, ids]
    full = full.masked_fill(~allowed.unsqueeze(1), float("-inf")).log_softmax(dim=-1)
    found = steps(narrow(model, ids), src, lengths, tokens, allowed)
    torch.testing.assert_close(found, full, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", LINEARS)
def test_beams_search_it(precision):
    model = for_search(build_model(), precision)
    src, lengths = random_source([5, 3, 4])
    with torch.inference_mode():
        limits = torch.full((3,), 6)
        together = beam_search(model.step, model.encode(src, lengths), limits, beam_size=3)
        for row, (best,) in enumerate(together):
            alone = model.encode(src[row : row + 1, : lengths[row]], lengths[row : row + 1])
            ((found,),) = beam_search(model.step, alone, limits[:1], beam_size=3)
            assert found.score == pytest.approx(best.score, abs=0.05)
