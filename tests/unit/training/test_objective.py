import numpy as np
import oracles
import pytest
import torch
from tiny import build_model, random_source, random_target

from seq2seq.data.batch import Batch
from seq2seq.recipe import Training
from seq2seq.special import BOS, EOS, PAD
from seq2seq.training.objective import CrossEntropy
from seq2seq.training.progress import Progress


def section(**keys):
    return Training.model_validate({"precision": "float32", "label_smoothing": 0.1} | keys)


def make_batch(src_lengths=(3, 5, 4), tgt_lengths=(4, 2, 6)):
    src, lengths = random_source(list(src_lengths))
    out = random_target(len(tgt_lengths), max(tgt_lengths))
    for row, length in zip(out, tgt_lengths, strict=True):
        row[length - 1], row[length:] = EOS, PAD
    read = torch.cat((torch.full((len(out), 1), BOS), out[:, :-1]), dim=1)
    read[read == EOS] = PAD
    return Batch(src, lengths, read, out, np.arange(len(out)), sum(tgt_lengths))


def gradients(objective, model, batch, progress=None):
    model.zero_grad()
    loss = objective(model, batch, progress or Progress())
    loss.objective.backward()
    return loss, {name: p.grad.clone() for name, p in model.named_parameters()}


def same(ours, expected, **tolerances):
    assert ours.keys() == expected.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, expected[name], **tolerances)


def test_it_is_the_sum_over_real_tokens():
    model, batch = build_model(), make_batch()
    loss = CrossEntropy(section())(model, batch, Progress())
    smoothed = plain = 0.0
    for row in range(3):
        length = int((batch.tgt_out[row] != PAD).sum())
        alone = model(
            batch.src[row : row + 1, : batch.src_lengths[row]],
            batch.src_lengths[row : row + 1],
            batch.tgt_in[row : row + 1, :length],
        )
        logits = model.output(alone[0]).detach().double().numpy()
        part = oracles.smoothed_loss(logits, batch.tgt_out[row, :length].tolist(), 0.1)
        smoothed, plain = smoothed + part[0], plain + part[1]
    assert loss.objective.item() == pytest.approx(smoothed, rel=1e-5)
    assert loss.cross_entropy.item() == pytest.approx(plain, rel=1e-5)


def test_r_drop_of_two_equal_passes_is_the_plain_loss():
    model, batch = build_model(dropout=0), make_batch()
    plain, plain_gradients = gradients(CrossEntropy(section()), model, batch)
    twin, twin_gradients = gradients(CrossEntropy(section(r_drop=5)), model, batch)
    assert twin.objective.item() == pytest.approx(plain.objective.item(), rel=1e-5)
    assert twin.cross_entropy.item() == pytest.approx(plain.cross_entropy.item(), rel=1e-5)
    same(twin_gradients, plain_gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("locked", [False, True])
def test_r_drop_adds_the_divergence_of_two_dropouts(locked):
    model, batch = build_model(dropout=0.5, locked_dropout=locked).train(), make_batch()
    values = {}
    for weight in (0.0001, 1, 2):
        torch.manual_seed(3)
        values[weight] = CrossEntropy(section(r_drop=weight))(model, batch, Progress())
    nats = {loss.cross_entropy.item() for loss in values.values()}
    assert len(nats) == 1
    first, second = (values[w].objective.item() - values[0.0001].objective.item() for w in (1, 2))
    assert 0 < second == pytest.approx(2 * first, rel=1e-2)
