import pytest
import torch
from tiny import TGT_VOCAB, build_model, random_source, random_target, randomise

from seq2seq.model.embedding import build_output
from seq2seq.model.lexical import LexicalOutput


def test_the_joined_weight_is_what_is_applied():
    output = randomise(LexicalOutput(build_output(6, TGT_VOCAB), 4))
    features = torch.randn(3, 5, 10)
    expected = features @ output.weight.T + output.bias
    torch.testing.assert_close(output(features), expected, atol=1e-5, rtol=1e-5)


def test_the_lexical_model_sees_attended_words_and_not_what_they_mean_here():
    model = build_model(decoder={"lexical": True, "attention": "monotonic"})
    with torch.no_grad():
        model.decoder.attention.offset.fill_(1e3)  # always the first token
    src, lengths = random_source([3, 6])
    src[:, 0] = 5
    features = model(src, lengths, random_target(2, 4))
    size = model.decoder.readout_size
    lexical = features[..., size:]
    torch.testing.assert_close(lexical, lexical[:1, :1].expand_as(lexical))
    assert (features[0, :, :size] != features[1, :, :size]).any()


@pytest.mark.parametrize("tied", [None, "two_way", "three_way"])
def test_only_readouts_share_weights_with_embeddings(tied):
    model = build_model(decoder={"lexical": True}, tied_embeddings=tied)
    tables = model.output.readout.weight, model.decoder.embedding.weight
    assert (tables[0].data_ptr() == tables[1].data_ptr()) is (tied is not None)
    assert model.output.lexical.weight.shape == (TGT_VOCAB, 4)
    assert model.output.lexical.bias is None


def test_lexical_features_lose_units_like_readouts():
    model = build_model(decoder={"lexical": True}, output_dropout=0.75)
    inputs = *random_source([6] * 40), random_target(40, 5)
    size = model.decoder.readout_size
    for training, lost in ((True, 0.75), (False, 0.0)):
        features = model.train(training)(*inputs)
        for part in (features[..., :size], features[..., size:]):
            assert (part == 0).float().mean().item() == pytest.approx(lost, abs=0.05)


def test_the_embeddings_under_the_lexical_model_lose_units_too():
    model = build_model(decoder={"lexical": True}, embedding_dropout=0.75)
    src, lengths = random_source([6] * 40)
    for training, lost in ((True, 0.75), (False, 0.0)):
        embeddings = model.train(training).encode(src, lengths).memory.embeddings
        assert (embeddings == 0).float().mean().item() == pytest.approx(lost, abs=0.05)
