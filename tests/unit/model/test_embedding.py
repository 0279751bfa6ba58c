import pytest
import torch

from seq2seq.model.embedding import OUTPUT_GAIN, Embedding, build_output


@pytest.mark.parametrize("tied", [False, True])
def test_padding_embeds_to_nothing_and_the_rest_to_unit_variance(tied):
    layer = Embedding(2000, 64, tied=tied)
    found = layer(torch.arange(2000))
    assert not found[0].any() and found[1:].all()
    assert found[1:].std().item() == pytest.approx(1, abs=0.02)


def test_tied_weights_have_the_scale_of_output_weights():
    output = build_output(64, 2000)
    tied = Embedding(2000, 64, tied=True)
    assert tied.weight.std().item() == pytest.approx(output.weight.std().item(), rel=0.02)
    logits = output(torch.randn(100, 64))
    assert logits.std().item() == pytest.approx(OUTPUT_GAIN, rel=0.1)
