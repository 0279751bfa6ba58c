import numpy as np
import oracles
import pytest
import torch
from tiny import SRC_VOCAB, build_model, random_source, random_target, randomise, weights_of

from seq2seq.model.copying import Copying
from seq2seq.special import BOS, UNK

LENGTHS = [4, 6, 1]


def build():
    """Features, log-probabilities and weights of two rows for each of three sources."""
    src, _ = random_source(LENGTHS)
    src[1, 2] = src[1, 4] = src[1, 0]
    mask = torch.arange(6) < torch.tensor(LENGTHS).repeat_interleave(2).unsqueeze(1)
    weights = torch.softmax(torch.randn(6, 6).masked_fill(~mask, float("-inf")), dim=1)
    log_probs = torch.log_softmax(torch.randn(6, SRC_VOCAB), dim=1)
    return randomise(Copying(5)), torch.randn(6, 5), log_probs, weights, src


def test_the_mixture_is_the_sum_by_hand():
    copying, features, log_probs, weights, src = build()
    mixed = copying.mix(features, log_probs.clone(), weights, src)
    layer = weights_of(copying.gate)
    for row in range(6):
        gate = layer["weight"] @ features[row].double().numpy() + layer["bias"]
        gate = oracles.sigmoid(gate.item())
        expected = gate * np.exp(log_probs[row].double().numpy())
        for token, weight in zip(src[row // 2].tolist(), weights[row].tolist(), strict=True):
            expected[token] += (1 - gate) * weight
        np.testing.assert_allclose(mixed[row].exp(), expected, atol=1e-6)
    torch.testing.assert_close(mixed.exp().sum(dim=1), torch.ones(6))


def test_what_cannot_be_generated_can_be_copied():
    copying, features, log_probs, weights, src = build()
    mixed = copying.mix(features, torch.full_like(log_probs, -1e4), weights, src)
    for row in range(6):
        likely = {token for token in range(SRC_VOCAB) if mixed[row, token] > -1e3}
        assert likely == set(src[row // 2, : LENGTHS[row // 2]].tolist())


@pytest.mark.parametrize("keys", [{}, {"feeding": "input"}, {"lexical": True, "attention": "dot"}])
def test_training_scores_what_search_predicts(keys):
    model = build_model(decoder={**keys, "copy_attention": True}, tgt_vocab=SRC_VOCAB)
    src, lengths = random_source([4, 6, 2])
    targets = torch.cat((src[:, :2], random_target(3, 3)), dim=1)
    tgt_in = torch.nn.functional.pad(targets[:, :-1], (1, 0), value=2)
    with torch.no_grad():
        features, after = model.decode(tgt_in, model.encode(src, lengths))
        generate, copied = model.copying.score(features, after.weights, src, targets)
        vocabulary = torch.log_softmax(model.output(features), dim=-1)
        chosen = vocabulary.gather(2, targets.unsqueeze(2)).squeeze(2)
        scores = torch.logaddexp(generate + chosen, copied)
        state = model.encode(src, lengths)
        for t, tokens in enumerate(tgt_in.unbind(1)):
            log_probs, state = model.step(tokens, state)
            expected = log_probs.gather(1, targets[:, t : t + 1]).squeeze(1)
            torch.testing.assert_close(scores[:, t], expected, atol=1e-5, rtol=1e-5)


def test_where_nothing_can_be_copied_nothing_is_learnt_about_it():
    copying, features, _, weights, src = build()
    weights = weights[:3, None].clone().requires_grad_()
    targets = torch.full((3, 1), SRC_VOCAB + 1)
    generate, copied = copying.score(features[:3, None], weights, src, targets)
    assert (copied == float("-inf")).all()
    torch.logaddexp(generate, copied).sum().backward()
    assert not weights.grad.any()
    assert copying.gate.weight.grad.isfinite().all() and copying.gate.weight.grad.any()


def test_what_the_encoder_does_not_see_can_be_copied():
    model = build_model(decoder={"copy_attention": True})
    src, lengths = random_source([5, 3, 6])
    read = src.clone()
    read[:, 0] = UNK
    tgt_in = torch.full((3, 1), BOS)
    hidden = model.decode(tgt_in, model.encode(read, lengths, src))
    plain = model.decode(tgt_in, model.encode(read, lengths))
    torch.testing.assert_close(hidden[0], plain[0])
    assert torch.equal(hidden[1].memory.tokens, src)
    assert torch.equal(plain[1].memory.tokens, read)
