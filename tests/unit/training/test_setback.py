"""An update that isn't finite costs a few updates, and said so; it never gets into the weights."""

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import KINDS, build_model, random_source, random_target
from toy import toy_recipe

from seq2seq import checkpoint as checkpoints
from seq2seq.data.batch import Batch
from seq2seq.errors import RunError
from seq2seq.prepare import prepare
from seq2seq.run import Run
from seq2seq.special import BOS
from seq2seq.train import build_trainer
from seq2seq.training import setback
from seq2seq.training.gradients import PARTS, first_not_finite, part_of
from seq2seq.training.trainer import Trainer

Build = Callable[..., Trainer]
SETTINGS = ["training.validate_every=5", "training.max_updates=16", "training.log_every=1"]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds a trainer of the toy task that translates nothing, in a folder of its own."""

    def built(name: str, *overrides: str) -> Trainer:
        recipe = toy_recipe(tmp_path, *SETTINGS, *overrides)
        run = Run(tmp_path / name)
        trainer = build_trainer(recipe, prepare(recipe), run, torch.device("cpu"))
        trainer.validator.translate_and_score = lambda model: {"bleu": 1.0}
        return trainer

    return built


def never() -> bool:
    return False


def fail_at(trainer: Trainer, update: int, times: int, value: float = math.nan) -> None:
    """Have a gradient be of this value in an update, the first few times that it is tried."""
    left = iter([value] * times)

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        if trainer.progress.update + 1 == update:
            return gradient * next(left, 1.0)
        return gradient

    trainer.model.output.bias.register_hook(spoil)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return checkpoints.load(trainer.run.checkpoint("last")).part("model")


def records(trainer: Trainer, kind: str) -> list[dict[str, Any]]:
    lines = trainer.run.metrics_file.read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_training_goes_back_and_on_at_a_lower_rate(
    build: Build, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    settings = ["training.ema_decay=0.9", "training.schedule=null"]
    trainer = build("broken", *settings)
    fail_at(trainer, 8, 1, value)
    assert trainer.fit(never) == "finished"
    (alarm,) = [each for each in records(trainer, "alarm") if each["alarm"] == "not_finite"]
    assert (alarm["update"], alarm["failed_update"]) == (6, 8)
    assert "the gradient is not finite; it began in the gradient of the output" in alarm["text"]
    assert "going on from update 5 with 0.5 times" in alarm["text"].replace(
        "training goes", "going"
    )
    train = records(trainer, "train")
    assert [record["update"] for record in train] == [*range(1, 8), *range(6, 17)]
    assert [record["learning_rate"] for record in train] == [1e-2] * 7 + [5e-3] * 11

    # The same as a run whose rate falls after its fifth update by itself.
    plain = build("plain", *settings)
    plain.fit(lambda: plain.progress.update == 5)
    plain.progress.rate_factor = 0.5
    plain.fit(never)
    for name, weight in weights(plain).items():
        assert torch.equal(weight, weights(trainer)[name]), name


@pytest.mark.parametrize(("stop", "told"), [(5, []), (6, [(6, 8)])])
def test_the_alarm_is_kept_as_long_as_the_lower_rate(
    build: Build, stop: int, told: list[tuple[int, int]]
) -> None:
    trainer = build("stopped")
    fail_at(trainer, 8, 1)

    def stops() -> bool:
        if trainer.progress.setbacks and stop == 5:
            raise KeyboardInterrupt  # as a kill would, before the next checkpoint
        return trainer.progress.setbacks > 0

    with contextlib.suppress(KeyboardInterrupt):
        assert trainer.fit(stops) == "interrupted"
    again = build("stopped")
    assert again.resume()
    assert (again.progress.update, again.progress.rate_factor) == (stop, 0.5 if told else 1.0)
    found = records(again, "alarm")
    assert [(alarm["update"], alarm["failed_update"]) for alarm in found] == told


def test_a_run_that_was_killed_in_between_goes_back_to_the_same_state(build: Build) -> None:
    unbroken = build("unbroken")
    fail_at(unbroken, 14, 2)
    unbroken.fit(never)
    killed = build("killed")
    fail_at(killed, 14, 2)

    def kill() -> bool:
        if killed.progress.setbacks == 1:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        killed.fit(kill)
    assert killed.progress.update == 11
    again = build("killed")
    fail_at(again, 14, 2)
    assert again.resume()
    assert (again.progress.update, again.progress.rate_factor) == (10, 1.0)
    again.fit(never)
    assert again.progress.rate_factor == unbroken.progress.rate_factor == 0.25
    for name, weight in weights(unbroken).items():
        assert torch.equal(weight, weights(again)[name]), name


@pytest.mark.parametrize("every", [500, 3])
@pytest.mark.parametrize("stops", [[11], [11, 12], [10, 13], [2, 7, 10, 11, 12, 13]])
def test_a_run_that_was_stopped_in_between_goes_back_to_the_same_state(
    build: Build, monkeypatch: pytest.MonkeyPatch, stops: list[int], every: int
) -> None:
    monkeypatch.setattr("seq2seq.training.trainer.KEEP_EVERY", every)
    trainer = unbroken = build("unbroken", "training.ema_decay=0.9")
    fail_at(unbroken, 14, 2)
    assert unbroken.fit(never) == "finished"
    for number, stop in enumerate([*stops, 99]):
        trainer = build("stopped", "training.ema_decay=0.9")
        fail_at(trainer, 14, 2)
        assert trainer.resume() == (number > 0)
        trainer.fit(lambda trainer=trainer, stop=stop: trainer.progress.update == stop)
    assert trainer.progress.finished
    assert trainer.progress.rate_factor == 0.25
    alarms = [[record["text"] for record in records(t, "alarm")] for t in (unbroken, trainer)]
    assert alarms[0] == alarms[1]
    assert f"training goes on from update {12 if every == 3 else 10} " in alarms[0][0]
    for name, weight in weights(unbroken).items():
        assert torch.equal(weight, weights(trainer)[name]), name


def test_a_stop_that_is_killed_goes_on_from_the_good_state(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = build("unbroken")
    unbroken.fit(never)
    trainer = build("killed")
    trainer.fit(lambda: trainer.progress.update == 11)
    again = build("killed")
    assert again.resume()
    save = checkpoints.save

    def die(path: Path, saved: checkpoints.Checkpoint, **options: bool) -> None:
        if saved.values["progress"]["update"] == 12:
            raise KeyboardInterrupt
        save(path, saved, **options)

    monkeypatch.setattr(checkpoints, "save", die)
    with pytest.raises(KeyboardInterrupt):
        again.fit(lambda: again.progress.update == 12)
    monkeypatch.setattr(checkpoints, "save", save)
    last = build("killed")
    assert last.resume()
    assert last.progress.update == 10
    assert last.fit(never) == "finished"
    for name, weight in weights(unbroken).items():
        assert torch.equal(weight, weights(last)[name]), name


def test_a_damaged_good_state_gives_way_to_the_present_one(build: Build) -> None:
    trainer = build("run")
    trainer.fit(lambda: trainer.progress.update == 8)
    trainer.run.checkpoint("last").with_name("previous-last.safetensors").write_bytes(b"x")
    again = build("run")
    assert again.resume()
    assert again.good.update == 8


def test_a_checkpoint_of_a_jump_of_the_loss_is_not_gone_back_to(build: Build) -> None:
    trainer = build("run")
    trainer.fit(lambda: trainer.progress.update == 5)
    trainer.progress.update, trainer.progress.loss_mean = 6, 9.0
    trainer.save()
    again = build("run")
    assert again.resume()
    assert (again.progress.update, again.good.update) == (6, 5)


def test_the_lower_rate_is_kept_by_a_resumed_run(build: Build) -> None:
    trainer = build("run")
    fail_at(trainer, 3, 1)
    trainer.fit(lambda: trainer.progress.update == 6)
    again = build("run")
    assert again.resume()
    assert again.progress.rate_factor == 0.5


def test_a_failure_that_comes_again_and_again_ends_training(build: Build) -> None:
    trainer = build("run")
    fail_at(trainer, 8, 99)
    with pytest.raises(RunError) as raised:
        trainer.fit(never)
    message = str(raised.value)
    assert message.startswith(
        "update 8: the gradient is not finite; it began in the gradient of the output, at learning "
        "rate "
    )
    assert f"given up after {setback.MAX_SETBACKS} attempts" in message
    assert "\n" not in message
    alarms = records(trainer, "alarm")
    assert [alarm["failed_update"] for alarm in alarms] == [8] * setback.MAX_SETBACKS
    assert all(torch.isfinite(weight).all() for weight in weights(trainer).values())


def test_failures_far_apart_do_not_end_training(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setback, "MAX_SETBACKS", 1)
    trainer = build("run")
    for update in (3, 8, 12):
        fail_at(trainer, update, 1)
    assert trainer.fit(never) == "finished"
    assert trainer.progress.rate_factor == 0.125
    assert trainer.progress.setbacks == 0


def test_a_state_of_a_loss_that_has_jumped_is_not_taken_for_good(build: Build) -> None:
    trainer = build("run")
    trainer.fit(lambda: trainer.progress.update == 5)
    assert trainer.good.update == 5
    before = trainer.progress.loss_mean
    trainer.progress.update, trainer.progress.loss_mean = 6, 9.0
    trainer.good.keep(trainer.progress, trainer.tally)
    assert trainer.good.update == 5
    trainer.progress.loss_mean, trainer.progress.spikes = before, 1
    trainer.good.keep(trainer.progress, trainer.tally)
    assert trainer.good.update == 5
    trainer.progress.spikes = 0
    trainer.good.keep(trainer.progress, trainer.tally)
    assert trainer.good.update == 6


def test_a_state_of_weights_that_are_not_finite_is_not_taken_for_good(build: Build) -> None:
    trainer = build("run")
    step, spoiled = trainer.learner.step, iter([math.inf])

    def spoil(rate: float, norm: torch.Tensor) -> None:
        step(rate, norm)
        if trainer.progress.update == 10:  # which is validated and saved
            with torch.no_grad():
                trainer.model.output.bias[0] += next(spoiled, 0.0)

    trainer.learner.step = spoil  # type: ignore[method-assign]
    assert trainer.fit(never) == "finished"
    (alarm,) = [each for each in records(trainer, "alarm") if each["alarm"] == "not_finite"]
    assert (alarm["update"], alarm["failed_update"]) == (6, 11)
    assert "it began in the weights of the output" in alarm["text"]
    assert all(torch.isfinite(weight).all() for weight in weights(trainer).values())


@pytest.mark.parametrize("part", ["embeddings", "encoder", "bridge", "attention", "output"])
def test_weights_that_are_not_finite_are_found(part: str) -> None:
    model = build_model()
    name = next(name for name, _ in model.named_parameters() if part_of(name) == part)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = math.inf
    assert first_not_finite(model, [random_batch()]) == f"the weights of the {part}"


def random_batch() -> Batch:
    src, lengths = random_source([5, 4, 3])
    tgt = random_target(3, 4)
    return Batch(
        src, src, lengths, tgt.roll(1, 1).index_fill(1, torch.tensor(0), BOS), tgt, None, 12
    )  # type: ignore[arg-type]


def test_outputs_that_are_not_finite_are_found_before_their_effects() -> None:
    model = build_model()
    model.bridge.dense.register_forward_hook(lambda *given: given[-1] / 0)  # type: ignore[union-attr]
    assert first_not_finite(model, [random_batch()]) == "what the bridge gives (bridge.dense)"


@pytest.mark.parametrize("keys", KINDS)
def test_every_parameter_is_of_a_part(keys: dict[str, object]) -> None:
    model = build_model(decoder=keys)
    parts = {part_of(name) for name, _ in model.named_parameters()}
    assert parts <= set(PARTS.values())
    assert {"encoder", "decoder", "embeddings", "output"} <= parts
