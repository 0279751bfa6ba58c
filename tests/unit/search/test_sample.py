from collections import Counter
from dataclasses import dataclass

import numpy as np
import oracles
import pytest
import torch
from tiny import DECODERS, build_model, random_source
from torch import Tensor

from seq2seq.search.constraints import Ban
from seq2seq.search.sample import sample
from seq2seq.special import BOS, EOS, PAD

VOCAB = 6
FORBIDDEN = Ban([PAD, BOS])


@dataclass(frozen=True)
class Chains:
    """State over tables (B, V, V, V): rows (N, 2) hold their last two tokens."""

    tables: Tensor
    rows: Tensor

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "Chains":
        tables = self.tables if sentences is None else self.tables[sentences]
        return Chains(tables, self.rows[rows])


def step(tokens: Tensor, state: Chains) -> tuple[Tensor, Chains]:
    rows = torch.stack((state.rows[:, 1], tokens), dim=1)
    sentence = torch.arange(len(state.tables)).repeat_interleave(len(rows) // len(state.tables))
    return state.tables[sentence, rows[:, 0], rows[:, 1]], Chains(state.tables, rows)


def random_tables(batch):
    return torch.randn(batch, VOCAB, VOCAB, VOCAB).mul(1.5).log_softmax(dim=-1)


def draw(tables, limits, draws, **keys):
    start = Chains(tables, torch.full((len(tables), 2), BOS))
    keys = {"constraints": [FORBIDDEN]} | keys
    return sample(step, start, torch.as_tensor(limits), draws, **keys)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_outputs_come_as_often_as_their_probabilities_say(temperature):
    count, limits = 20_000, [3, 2]
    tables = random_tables(2)
    found = draw(tables, limits, torch.rand(2, count, 3), temperature=temperature)
    for table, limit, samples in zip(tables, limits, found, strict=True):
        flat = table.double().numpy() / temperature
        flat[..., [PAD, BOS]] = -np.inf
        flat -= np.log(np.exp(flat).sum(axis=-1, keepdims=True))
        seen = Counter((tuple(one.tokens), one.complete) for one in samples)
        outputs = oracles.exhaustive_search(oracles.chain(flat), limit)
        assert sum(np.exp(log_prob) for log_prob, _, _ in outputs) == pytest.approx(1)
        assert seen.keys() <= {(tuple(tokens), complete) for _, tokens, complete in outputs}
        for log_prob, tokens, complete in outputs:
            share = np.exp(log_prob)
            error = 6 * np.sqrt(share * (1 - share) / count)
            frequency = seen[tuple(tokens), complete] / count
            assert frequency == pytest.approx(share, abs=error + 1e-4)


def test_scores_are_the_log_probabilities_of_the_tokens():
    tables = random_tables(3)
    found = draw(tables, [4, 5, 3], torch.rand(3, 20, 5), temperature=0.7)
    for table, samples in zip(tables, found, strict=True):
        continue_ = oracles.chain(table.double().numpy())
        for one in samples:
            path = [*one.tokens, *([EOS] if one.complete else [])]
            expected = sum(continue_(path[:t])[path[t]] for t in range(len(path)))
            assert one.score == one.log_prob == pytest.approx(expected, abs=1e-4)


def test_a_sample_is_a_function_of_its_draws():
    tables, limits, draws = random_tables(5), torch.tensor([5, 1, 9, 7, 3]), torch.rand(5, 4, 9)
    whole = draw(tables, limits, draws)
    for i in range(5):
        assert draw(tables[i : i + 1], limits[i : i + 1], draws[i : i + 1]) == [whole[i]]
        one = draw(tables[i : i + 1], limits[i : i + 1], draws[i : i + 1, 2:3])
        assert one == [[whole[i][2]]]
    assert all(len(one.tokens) + one.complete <= n for n, row in zip(limits, whole) for one in row)  # noqa: B905


@pytest.mark.parametrize("value", [0.0, 1 - 2**-24])
def test_the_ends_of_the_interval_draw_nothing_that_cannot_be(value):
    tables = random_tables(4)
    last = VOCAB - 1
    (found,) = zip(*draw(tables, [6] * 4, torch.full((4, 1, 6), value)), strict=True)
    assert all({PAD, BOS}.isdisjoint(one.tokens) for one in found)
    found = draw(tables, [6] * 4, torch.full((4, 1, 6), value), constraints=[Ban([PAD, BOS, last])])
    assert all({PAD, BOS, last}.isdisjoint(one.tokens) for (one,) in found)


@pytest.mark.parametrize(("attention", "feeding"), DECODERS)
def test_networks_give_their_teacher_forced_log_probabilities(attention, feeding):
    model = build_model(decoder={"attention": attention, "feeding": feeding})
    src, lengths = random_source([3, 5, 2])
    found = sample(
        model.step,
        model.encode(src, lengths),
        torch.tensor([6, 8, 7]),
        torch.rand(3, 4, 8),
        constraints=[FORBIDDEN],
    )
    for i, samples in enumerate(found):
        for one in samples:
            read = torch.tensor([[BOS, *one.tokens]])
            features = model(src[i : i + 1, : lengths[i]], lengths[i : i + 1], read)
            log_probs = model.output(features[0]).log_softmax(dim=-1)
            said = torch.tensor([*one.tokens, EOS])
            terms = log_probs.gather(1, said.unsqueeze(1)).squeeze(1)
            expected = terms[: len(one.tokens) + one.complete].sum().item()
            assert one.log_prob == pytest.approx(expected, abs=1e-4)
