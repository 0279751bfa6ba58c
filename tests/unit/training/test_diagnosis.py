"""Measures of models on the development set against slow ways to count the same."""

import math
import random

import numpy as np
import pytest
import torch
from tiny import build_model, random_source, random_target

from seq2seq.data.batch import Batch
from seq2seq.special import BOS, EOS, PAD
from seq2seq.training import diagnosis
from seq2seq.training.diagnosis import (
    OutputMeasures,
    count_telling,
    relative_entropy,
    source_measures,
    source_use,
)


class Words:
    """A tokenizer of words."""

    def encode(self, lines: list[str]) -> list[list[str]]:
        return [line.split() for line in lines]

    def pieces(self, ids: list[str]) -> list[str]:
        return ids


def measure(sources: list[str], references: list[str], outputs: list[str]) -> dict[str, float]:
    measures = OutputMeasures(sources, references, Words(), limit=9)  # type: ignore[arg-type]
    return measures([output.split() for output in outputs])


def has_loop(line: list[str]) -> bool:
    for size in range(1, diagnosis.LONGEST_LOOP + 1):
        for start in range(len(line)):
            loop = line[start : start + size] * diagnosis.MIN_ROUNDS
            if line[start : start + len(loop)] == loop:
                return True
    return False


def test_loops_are_found() -> None:
    rng = random.Random(random.SystemRandom().randrange(2**31))
    lines = [rng.choices("ab", k=rng.randint(0, 14)) for _ in range(300)]
    lines += [list("abcd" * 4), list("xabcabcabcabcx"), list("abcabcabc"), []]
    assert diagnosis._has_loop(lines).tolist() == [has_loop(line) for line in lines]
    assert not diagnosis._has_loop([[], ["a"]]).any()


def test_outputs_are_measured_like_references() -> None:
    sources = ["a b c", "a a", "x y", "p q"]
    references = ["a B C", "A A", "x Y Z Z", "x Y Z Z"]
    found = measure(sources, references, ["a a a", "a a a", "x x x x x", "b b b b b b b b b"])
    assert found == {
        "length_ratio": 20 / 13,
        "cut": 1 / 4,
        "identical": 1 / 4,
        "identical_references": 1 / 4,
        "repeating": 2 / 4,
        "repeating_references": 0.0,
        "copied": (1 + 2 + 1 + 0) / 20,
        "copied_references": (1 + 0 + 1 + 0) / 13,
    }
    own = measure(sources, references, references)
    for name in ("identical", "repeating", "copied"):
        assert own[name] == own[f"{name}_references"]


def test_empty_outputs_can_be_measured() -> None:
    found = measure(["a", "b"], ["c", ""], ["", ""])
    assert (found["length_ratio"], found["copied"], found["identical"]) == (0, 0, 0.5)


def test_entropy_is_that_of_uniform_weights_at_most() -> None:
    mask = torch.tensor(
        [[True, True, True, True], [True, True, False, False], [True] + [False] * 3]
    )
    weights = mask / mask.sum(dim=1, keepdim=True)
    weights = weights.unsqueeze(1).repeat(1, 2, 1)
    weights[1, 0] = torch.tensor([0.9, 0.1, 0.0, 0.0])
    real = torch.tensor([[True, True], [True, False], [True, True]])
    total, count = relative_entropy(weights, mask, real).tolist()
    one = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert count == 3
    assert total == pytest.approx(2 + one)


def random_batch(size: int) -> Batch:
    src, lengths = random_source([5, 4, 3][:size])
    tgt = random_target(size, 4)
    tgt[:, -1] = EOS
    tgt[-1, 2:] = torch.tensor([EOS, PAD])
    tgt_in = torch.cat((torch.full((size, 1), BOS), tgt[:, :-1]), dim=1)
    tgt_in[tgt_in == EOS] = PAD
    return Batch(src, src, lengths, tgt_in, tgt, np.arange(size), int((tgt != PAD).sum()))


def losses(model, batch: Batch, order: list[int]) -> float:
    """Negative log-likelihood of the targets, step by step, each with another source."""
    total = 0.0
    for row, other in enumerate(order):
        length = batch.src_lengths[other].view(1)
        state = model.encode(batch.src[other : other + 1, : int(length)], length)
        for token, target in zip(batch.tgt_in[row], batch.tgt_out[row], strict=True):
            if target != PAD:
                log_probs, state = model.step(token.view(1), state)
                total -= log_probs[0, target].item()
    return total


@pytest.mark.parametrize(
    "decoder",
    [{}, {"attention": None}, {"attention": "coverage"}, {"copy_attention": True}],
)
@torch.inference_mode()
def test_sources_are_those_of_neighbours(decoder: dict[str, object]) -> None:
    model, batch = build_model(decoder=decoder, tgt_vocab=11), random_batch(3)
    start = model.encode(batch.src, batch.src_lengths)
    _, end = model.decode(batch.tgt_in, start)
    own = losses(model, batch, [0, 1, 2])
    found = source_measures(*source_use(model, "float32", batch, start, end, own))
    ratio = losses(model, batch, [2, 0, 1]) / own
    assert found["source_dependence"] == pytest.approx(ratio, rel=1e-3)
    assert ("attention_entropy" in found) == ("attention" not in decoder or end.weights is not None)
    assert 0 < found.get("attention_entropy", 0.5) <= 1


@torch.inference_mode()
def test_what_has_no_neighbour_or_no_soft_attention_is_not_measured() -> None:
    model = build_model(decoder={"attention": "monotonic"})
    for size, expected in ((1, set()), (2, {"source_dependence"})):
        batch = random_batch(size)
        start = model.encode(batch.src, batch.src_lengths)
        _, end = model.decode(batch.tgt_in, start)
        use = source_use(model, "float32", batch, start, end, 1.0)
        assert set(source_measures(*use)) == expected


@pytest.mark.parametrize(
    ("sizes", "count"),
    [([64, 64, 64, 64, 64], 2), ([1, 64, 64, 64, 64], 3), ([3], 1), ([2, 1, 2], 3), ([9, 1, 1], 1)],
)
def test_a_few_batches_tell_how_sources_are_used(sizes: list[int], count: int) -> None:
    assert count_telling(sizes) == count
