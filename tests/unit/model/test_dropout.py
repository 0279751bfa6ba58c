import pytest
import torch

from seq2seq import recipe
from seq2seq.model.dropout import LEVELS, Dropout, Dropouts, build_dropouts


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.001, 0.3, 0.5, 0.999])
def test_units_are_dropped_as_often_as_asked_and_the_mean_stays(dtype, probability):
    ones = torch.ones(401, 503, dtype=dtype)
    found = Dropout(probability).train()(ones)
    share = (found == 0).float().mean().item()
    assert share == pytest.approx(probability, abs=0.5 / LEVELS + 0.005)
    kept = found[found != 0].float()
    assert kept.unique().numel() == 1
    assert kept[0].item() == pytest.approx(1 / (1 - share), rel=0.15)


def test_masks_differ_and_follow_the_seed():
    layer, ones = Dropout(0.5).train(), torch.ones(1000)
    torch.manual_seed(3)
    first, second = layer(ones), layer(ones)
    torch.manual_seed(3)
    assert torch.equal(first, layer(ones)) and not torch.equal(first, second)


@pytest.mark.parametrize("layer", [Dropout(0.5).eval(), Dropout(0.0).train()])
def test_nothing_is_dropped_outside_training_or_at_zero(layer):
    inputs = torch.randn(5, 7)
    assert torch.equal(layer(inputs), inputs)


def test_gradients_go_where_units_stay():
    inputs = torch.ones(1000, requires_grad=True)
    found = Dropout(0.5).train()(inputs)
    found.sum().backward()
    assert torch.equal(inputs.grad, found.detach())


def test_locked_dropout_takes_the_same_units_at_all_steps():
    found = Dropout(0.5, locked=True).train()(torch.ones(4, 9, 50))
    assert torch.equal(found, found[:, :1].expand(4, 9, 50))
    assert not torch.equal(found[0], found[1])


def test_what_the_recipe_does_not_tell_apart_is_dropout():
    section = recipe.Model(dropout=0.4, hidden_dropout=0.0, locked_dropout=True)
    assert build_dropouts(section) == Dropouts(0.4, 0.0, 0.4, locked=True)
