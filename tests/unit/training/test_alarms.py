import math
import random

import pytest

from seq2seq.training import alarms
from seq2seq.training.progress import Progress

HEALTHY = {
    "source_dependence": 2.0,
    "attention_entropy": 0.4,
    "identical": 0.1,
    "identical_references": 0.05,
    "repeating": 0.02,
    "repeating_references": 0.0,
    "copied": 0.2,
    "copied_references": 0.15,
    "length_ratio": 0.97,
    "cut": 0.01,
}
SICK = {
    "source_ignored": {"source_dependence": 1.01},
    "same_outputs": {"identical": 0.9},
    "repetition": {"repeating": 0.5},
    "copying": {"copied": 0.9},
    "short_outputs": {"length_ratio": 0.5},
    "long_outputs": {"length_ratio": 1.5},
    "cut_outputs": {"cut": 0.5},
    "blurred_attention": {"attention_entropy": 0.99},
}


def losses_told(losses: list[float], tokens: list[int] | None = None) -> list[int]:
    """Updates at which a jump is told."""
    progress = Progress()
    counts = tokens or [1000] * len(losses)
    told = []
    for loss, count in zip(losses, counts, strict=True):
        progress.update += 1
        if alarms.watch_loss(progress, loss, count):
            told.append(progress.update)
    return told


def test_every_sign_has_its_own_alarm_and_health_has_none() -> None:
    assert alarms.read_signs(HEALTHY) == {}
    assert set(SICK) == set(alarms.SIGNS)
    for name, values in SICK.items():
        assert list(alarms.read_signs(HEALTHY | values)) == [name]


def test_what_is_usual_for_references_is_no_sign() -> None:
    names = ("identical", "repeating", "copied")
    same = {f"{name}{end}": 1.0 for name in names for end in ("", "_references")}
    assert alarms.read_signs(HEALTHY | same) == {}


def test_advice_says_the_values() -> None:
    advice = alarms.read_signs({"copied": 0.91, "copied_references": 0.12})["copying"]
    assert advice.startswith("91% of what the model says stands in its source, but only 12% of")
    for values in SICK.values():
        (text,) = alarms.read_signs(HEALTHY | values).values()
        assert "{" not in text and "\n" not in text


def test_what_was_not_measured_is_no_sign() -> None:
    assert alarms.read_signs({"bleu": 0.0}) == {}


@pytest.mark.parametrize(
    ("update", "done", "expected"),
    [(499, 0.9, False), (500, 0.3, True), (4999, 0.1, False), (5000, 0.01, True), (9, 1.0, True)],
)
def test_signs_are_read_of_settled_models(update: int, done: float, expected: bool) -> None:
    assert alarms.is_settled(update, done) == expected


def test_a_jump_is_told_once_however_long_it_lasts() -> None:
    assert losses_told([2.0] * 60 + [8.0] * 200) == [65]


def test_a_second_jump_is_told_again() -> None:
    assert losses_told([2.0] * 60 + [8.0] * 5 + [2.0] * 300 + [8.0] * 5) == [65, 370]


def test_a_few_bad_batches_are_no_jump_and_leave_the_mean_alone() -> None:
    losses = [2.0] * 60 + [8.0] * 4
    assert losses_told(losses + [2.0] + losses + [2.0] * 9) == []
    progress = Progress()
    for update, loss in enumerate(losses, start=1):
        progress.update = update
        alarms.watch_loss(progress, loss, 1000)
    assert progress.loss_mean == 2.0


def test_small_batches_neither_make_nor_end_a_jump() -> None:
    tokens = [1000] * 62 + [30] * 3 + [1000] * 9
    assert losses_told([2.0] * 60 + [8.0] * 14, tokens) == [68]


def test_losses_that_fall_and_vary_are_no_jump() -> None:
    rng = random.Random(1)
    falling = [0.05 + 9 * math.exp(-i / 200) for i in range(3000)]
    assert losses_told([loss * rng.uniform(0.4, 1.8) for loss in falling]) == []


def test_a_small_batch_that_is_bad_is_no_jump() -> None:
    losses, tokens = [2.0] * 60 + [9.0] + [2.0] * 60, [1000] * 60 + [30] + [1000] * 60
    assert losses_told(losses, tokens) == []


def test_the_mean_counts_tokens() -> None:
    progress = Progress()
    for loss, tokens in ((2.0, 1000), (9.0, 10)):
        alarms.watch_loss(progress, loss, tokens)
    assert progress.loss_mean == pytest.approx(2.0 + 7.0 * 0.01 / alarms.LOSS_MEMORY)


def test_a_loss_that_is_worse_than_guessing_is_told() -> None:
    assert alarms.read_loss(math.log(100), 100) == {}
    assert "10.00, worse than 4.61 for guessing" in alarms.read_loss(10.0, 100)["diverged"]


def test_what_lasts_is_news_once_and_again_when_it_comes_back() -> None:
    progress = Progress(alarms=["diverged"])
    off = {"copying": "text"}
    assert alarms.news(progress, off, alarms.SIGNS) == off
    assert alarms.news(progress, off, alarms.SIGNS) == {}
    assert progress.alarms == ["diverged", "copying"]
    assert alarms.news(progress, {}, alarms.SIGNS) == {}
    assert alarms.news(progress, off, alarms.SIGNS) == off
