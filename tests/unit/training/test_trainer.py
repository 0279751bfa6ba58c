import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy import toy_recipe

from seq2seq import checkpoint as checkpoints
from seq2seq.data.batch import load_batch
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.prepare import prepare
from seq2seq.recipe import Metric
from seq2seq.run import Run
from seq2seq.scoring.metrics import LOWER_IS_BETTER
from seq2seq.train import build_trainer
from seq2seq.training.state import State
from seq2seq.training.trainer import Trainer

Build = Callable[..., Trainer]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds a trainer of the toy task; BLEU is that of no translation but always 1."""

    def built(*overrides: str, bleu: Callable[[Seq2Seq], float] = lambda model: 1.0) -> Trainer:
        recipe = toy_recipe(tmp_path, *overrides)
        run = Run(tmp_path / "run")
        trainer = build_trainer(recipe, prepare(recipe), run, torch.device("cpu"))
        trainer.validator.translate_and_score = lambda model: {"bleu": bleu(model)}
        return trainer

    return built


RISK = ["training.objective=minimum_risk", "training.risk_samples=3"]


def records(trainer: Trainer, kind: str) -> list[dict[str, Any]]:
    lines = trainer.run.metrics_file.read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.model.parameters()]


def never() -> bool:
    return False


@pytest.mark.parametrize("objective", [[], ["training.r_drop=1"], RISK])
def test_accumulated_parts_are_one_batch(build: Build, objective: list[str]) -> None:
    # Plain gradient steps show the gradient itself, which Adam would rescale.
    settings = ["training.optimizer=sgd", "model.dropout=0", "training.schedule=null", *objective]
    parts = [np.arange(0, 3), np.arange(3, 16), np.arange(16, 20)]
    whole, split = build(*settings), build(*settings)
    start = weights(whole)
    portion = whole.source.portion(whole.progress)
    whole._update(portion.group([np.concatenate(parts)]))
    split._update(portion.group(parts))
    for one, other, before in zip(weights(whole), weights(split), start, strict=True):
        torch.testing.assert_close(one - before, other - before, rtol=1e-3, atol=1e-6)
    assert any(not torch.equal(one, before) for one, before in zip(weights(whole), start))  # noqa: B905
    assert whole.tally.tokens == split.tally.tokens
    assert whole.tally.objective == pytest.approx(split.tally.objective, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        (["training.max_epochs=1"], 13),
        (["training.max_epochs=1", "training.accumulate=3"], 5),
        (["training.max_updates=3"], 3),
        (["training.max_minutes=1e-9"], 1),
    ],
)
def test_limits_end_training_with_a_validation(
    build: Build, settings: list[str], updates: int
) -> None:
    trainer = build(*settings)
    assert trainer.fit(never) == "finished"
    assert (trainer.progress.update, trainer.progress.finished) == (updates, True)
    assert [record["update"] for record in records(trainer, "validation")] == [updates]
    assert build(*settings).resume()


def test_patience_ends_training_and_the_best_stays(build: Build) -> None:
    scores = iter([1.0, 3.0, 2.9, 2.0, 9.0])
    settings = ["training.validate_every=2", "training.early_stopping_patience=2"]
    trainer = build(*settings, bleu=lambda model: next(scores))
    assert trainer.fit(never) == "finished"
    assert (trainer.progress.update, trainer.progress.best_update) == (8, 4)
    assert trainer.progress.best == 3.0


def test_of_equal_scores_the_one_with_the_lower_loss_is_best(build: Build) -> None:
    trainer = build("training.validate_every=2", "training.max_updates=12", bleu=lambda model: 3.0)
    trainer.fit(never)
    losses = {r["update"]: r["loss"] for r in records(trainer, "validation")}
    assert len(losses) == 6
    assert trainer.progress.best_update == min(losses, key=lambda update: losses[update])
    assert trainer.progress.best_loss == min(losses.values())


def test_losses_are_better_when_they_are_lower(build: Build) -> None:
    trainer = build("training.early_stopping_metric=loss", "training.validate_every=13")
    trainer.fit(never)
    losses = [record["loss"] for record in records(trainer, "validation")]
    assert trainer.progress.best == -min(losses)


@pytest.mark.parametrize(
    "settings",
    [
        ["copy_attention=true"],
        ["lexical=true", "attention=coverage", "feeding=conditional"],
        ["lexical=true", "copy_attention=true", "feeding=input"],
        ["attention=monotonic"],
    ],
)
def test_the_loss_is_that_of_what_search_predicts(build: Build, settings: list[str]) -> None:
    trainer = build("training.max_updates=2", *(f"model.decoder.{each}" for each in settings))
    trainer.fit(never)
    model, total, tokens = trainer.model.eval(), 0.0, 0
    for index in range(len(trainer.validator.dev)):
        batch = load_batch(trainer.validator.dev, np.array([index]))
        with torch.inference_mode():
            state = model.encode(batch.src, batch.src_lengths)
            for token, target in zip(batch.tgt_in[0], batch.tgt_out[0], strict=True):
                log_probs, state = model.step(token.view(1), state)
                total -= log_probs[0, target].item()
                tokens += 1
    assert trainer.validator.loss(model) == pytest.approx(total / tokens, rel=1e-4)


def test_the_last_update_of_an_epoch_belongs_to_it(build: Build) -> None:
    trainer = build("training.max_epochs=2", "training.log_every=1")
    trainer.fit(never)
    assert [r["epoch"] for r in records(trainer, "train")] == [1] * 13 + [2] * 13


def test_records_say_where_training_is(build: Build) -> None:
    trainer = build("training.max_epochs=2")
    trainer.fit(never)
    train = records(trainer, "train")
    assert [(r["update"], r["epoch"]) for r in train] == [
        (4, 1), (8, 1), (12, 1), (16, 2), (20, 2), (24, 2)
    ]  # fmt: skip
    assert [r["done"] for r in train] == [update / 26 for update in range(4, 25, 4)]
    assert train[-1]["loss"] < train[0]["loss"]
    rates = [r["learning_rate"] for r in train]
    assert rates == sorted(rates, reverse=True)
    for record in train:
        assert record["tokens_per_second"] > 0
        assert record["eta_seconds"] >= 0
        assert 1 < record["perplexity"] < math.exp(record["loss"])  # the loss is smoothed
    for record in records(trainer, "validation"):
        assert record["perplexity"] == pytest.approx(math.exp(record["loss"]))
    assert [r["epoch"] for r in records(trainer, "validation")] == [1, 2]


def test_records_count_padding(build: Build) -> None:
    trainer = build("training.log_every=13", "training.max_epochs=1")
    share = trainer.source.portion(trainer.progress).padding_share()
    trainer.fit(never)
    (record,) = records(trainer, "train")
    assert 0 < record["padding"] == pytest.approx(share)


def test_risk_is_recorded_per_sentence_and_perplexity_per_token(build: Build) -> None:
    settings = ["training.log_every=13", "training.max_epochs=1", "training.learning_rate=1e-9"]
    risk, plain = (build(*settings, "model.dropout=0", *more) for more in (RISK, []))
    found = []
    for trainer in (risk, plain):
        trainer.resume()
        trainer.fit(never)
        found += records(trainer, "train")
        trainer.run.checkpoint("last").unlink()
    assert 0 < found[0]["loss"] < 1
    assert found[0]["perplexity"] == pytest.approx(found[1]["perplexity"], rel=1e-4)


def test_an_average_is_what_is_validated_and_saved(build: Build) -> None:
    seen = []
    trainer = build(
        "training.ema_decay=0.9", "training.max_updates=5", bleu=lambda m: seen.append(m) or 1.0
    )
    trainer.fit(never)
    assert seen == [trainer.inference_model]
    assert not torch.equal(trainer.inference_model.output.weight, trainer.model.output.weight)


AVERAGED = ["training.validate_every=2", "training.max_updates=10", "training.keep_best=3"]


@pytest.mark.parametrize(("value", "is_better"), [(9.0, True), (3.5, False)])
def test_the_mean_of_the_best_is_used_if_it_is_better(
    build: Build, value: float, is_better: bool
) -> None:
    scores = iter([1.0, 3.0, 2.0, 4.0, 0.0, value])
    models = []

    def bleu(model: Seq2Seq) -> float:
        models.append(checkpoints.weights_of(model))
        models[-1] = {name: weight.clone() for name, weight in models[-1].items()}
        return next(scores)

    trainer = build(*AVERAGED, "training.average_best=true", bleu=bleu)
    trainer.fit(never)
    mean = models.pop()
    for name, weight in mean.items():
        three = torch.stack([models[i][name] for i in (1, 2, 3)])
        torch.testing.assert_close(weight, three.mean(dim=0))
    saved = checkpoints.load(trainer.run.checkpoint("best")).tensors
    expected = mean if is_better else models[3]
    assert all(torch.equal(saved[name], weight) for name, weight in expected.items())
    (record,) = records(trainer, "average")
    assert (record["updates"], record["bleu"]) == ([4, 6, 8], value)
    again = build(*AVERAGED, "training.average_best=true")
    again.resume()
    assert again.progress.best == (value if is_better else 4.0)


@pytest.mark.parametrize(("value", "is_better"), [(9.0, True), (3.5, False)])
def test_the_mean_of_the_last_is_used_if_it_is_better(
    build: Build, value: float, is_better: bool
) -> None:
    scores = iter([1.0, 3.0, 2.0, 4.0, 0.0, value])
    seen = []

    def bleu(model: Seq2Seq) -> float:
        seen.append({name: w.clone() for name, w in checkpoints.weights_of(model).items()})
        return next(scores)

    trainer = build(*AVERAGED[:2], "training.average_last=2", bleu=bleu)
    trainer.fit(never)
    *models, mean = seen
    saved = checkpoints.load(trainer.run.checkpoint("best")).tensors
    for name, weight in mean.items():
        two = torch.stack([models[i][name] for i in (3, 4)])
        torch.testing.assert_close(weight, two.mean(dim=0))
        assert torch.equal(saved[name], weight if is_better else models[3][name])
    (record,) = records(trainer, "average")
    assert (record["updates"], record["bleu"]) == ([8, 10], value)
    assert [checkpoints.load_values(p)["update"] for p in trainer.run.kept_checkpoints()] == [10, 8]


def test_patience_doesnt_go_by_averages(build: Build) -> None:
    settings = [*AVERAGED[::2], "training.average_best=true", "training.early_stopping_patience=2"]
    scores = {2: 1.0, 4: 3.0, 6: 3.5, 8: 3.2, 10: 3.1}

    def fit(*limits: str) -> Trainer:
        def bleu(model: Seq2Seq) -> float:
            is_average = trainer.progress.validated == trainer.progress.update
            return 9.0 if is_average else scores[trainer.progress.update]

        trainer = build(*settings, *limits, bleu=bleu)
        trainer.resume()
        trainer.fit(never)
        return trainer

    fit("training.max_updates=4")
    longer = fit("training.max_updates=99").progress
    assert (longer.update, longer.reached, longer.bad_validations) == (10, 3.5, 2)
    assert (longer.best, longer.best_update) == (9.0, 4)
    # Earlier versions took averages for what had been reached.
    last = longer_state = checkpoints.load(Run(build(*settings).run.path).checkpoint("last"))
    del last.values["progress"]["reached"], last.values["progress"]["reached_loss"]
    assert State.unpack(longer_state).progress.reached == 9.0


def test_keeping_checkpoints_changes_no_weight(build: Build) -> None:
    plain = build(*AVERAGED[:2])
    plain.fit(never)
    assert plain.run.kept_checkpoints() == []
    for path in (plain.run.path / "checkpoints").iterdir():
        path.unlink()
    keeping = build(*AVERAGED)
    keeping.fit(never)
    for one, other in zip(weights(plain), weights(keeping), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("average", [[], ["training.ema_decay=0.9"]])
def test_training_goes_on_from_the_best_when_the_rate_falls(
    build: Build, average: list[str]
) -> None:
    scores = iter([1.0, 3.0, 2.0, 2.5, 4.0])
    seen = []

    def bleu(model: Seq2Seq) -> float:
        seen.append([p.detach().clone() for p in model.parameters()])
        return next(scores)

    settings = ["training.schedule=plateau", "training.decay_patience=1", *average]
    trainer = build(*settings, "training.reload_best=true", "training.validate_every=2", bleu=bleu)
    trainer.fit(lambda: trainer.progress.update == 6)
    assert not any(map(torch.equal, weights(trainer), seen[1]))
    assert trainer.learner.optimizer.state
    trainer.fit(lambda: trainer.progress.update == 8)
    assert all(map(torch.equal, weights(trainer), seen[1]))
    assert not trainer.learner.optimizer.state
    inference = trainer.inference_model.parameters()
    assert all(map(torch.equal, (p.detach() for p in inference), seen[1]))
    trainer.fit(lambda: trainer.progress.update == 10)
    assert trainer.learner.optimizer.param_groups[0]["lr"] == 1e-2 / 2
    assert trainer.progress.best_update == 10


def test_a_damaged_last_checkpoint_costs_the_updates_since_the_one_before(build: Build) -> None:
    settings = ["training.max_updates=6", "training.save_every=2"]
    build(*settings).fit(never)
    last = Run(build(*settings).run.path).checkpoint("last")
    last.write_bytes(last.read_bytes()[:1000])
    again = build(*settings)
    assert again.resume()
    assert again.progress.update == 4
    assert [record["update"] for record in records(again, "train")] == [4]
    assert again.fit(never) == "finished"


def test_other_data_is_refused(build: Build) -> None:
    trainer = build("training.max_updates=1")
    trainer.fit(never)
    trainer.data_key = "other"
    with pytest.raises(RunError, match="the tokenizer or the first weights have changed"):
        trainer.resume()


def test_records_of_a_run_without_checkpoint_are_dropped(build: Build) -> None:
    trainer = build()
    trainer.log.write({"kind": "train", "update": 4})
    assert not trainer.resume()
    assert records(trainer, "train") == []


def test_a_scaled_loss_gives_the_same_weights(build: Build) -> None:
    settings = ["training.max_updates=6", "training.save_every=3"]
    plain, scaled = build(*settings), build(*settings)
    scaled.learner.scaler = torch.amp.GradScaler("cpu", growth_interval=2)
    plain.fit(never)
    for path in (plain.run.path / "checkpoints").iterdir():
        path.unlink()
    scaled.fit(never)
    for one, other in zip(weights(plain), weights(scaled), strict=True):
        torch.testing.assert_close(one, other)
    resumed = build(*settings)
    resumed.learner.scaler = torch.amp.GradScaler("cpu", growth_interval=2)
    resumed.resume()
    assert resumed.learner.scaler.state_dict() == scaled.learner.scaler.state_dict()
    assert resumed.learner.scaler.get_scale() == 2.0 ** (16 + 3)


def test_an_update_whose_gradients_overflow_is_left_out(build: Build) -> None:
    trainer = build("training.max_updates=1")
    trainer.learner.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    trainer.model.output.bias.register_hook(lambda grad: grad * math.inf)
    before = weights(trainer)
    trainer.fit(never)
    assert all(map(torch.equal, before, weights(trainer)))
    assert trainer.learner.scaler.get_scale() == 4.0


class Waits(TorchDispatchMode):
    """Notes what would have the processor wait for a GPU; lengths of sources are known to it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        reads = name == "_local_scalar_dense" and args[0].is_floating_point()
        if reads or name in ("nonzero", "masked_select", "_unique2", "equal"):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["training.r_drop=1"],
        ["training.truncate=2"],
        ["training.teacher_forcing=0.5"],
        ["model.decoder.copy_attention=true", "model.decoder.lexical=true"],
        ["model.decoder.attention=monotonic"],
        ["model.decoder.feeding=input", "model.decoder.attention=coverage"],
    ],
)
def test_nobody_waits_for_the_device_before_the_end_of_an_update(
    build: Build, settings: list[str]
) -> None:
    trainer = build(*settings)
    trainer.model.train()
    group = trainer.source.portion(trainer.progress).group([np.arange(9)])
    (part,) = trainer.feed.load(group)
    with Waits() as waits:
        loss = trainer.objective(trainer.model, part.batch, trainer.progress)
        trainer.learner.backward(loss.objective)
    assert waits.found == []
    with Waits() as waits:
        loss.objective.item()
    assert waits.found == ["_local_scalar_dense"]


def test_gradient_norms_are_recorded_by_part(build: Build) -> None:
    trainer = build("training.max_updates=4", "training.clip_grad_norm=null")
    trainer.fit(never)
    (record,) = records(trainer, "train")
    gradients = {name: p.grad for name, p in trainer.model.named_parameters()}
    squares: dict[str, float] = {}
    for name, gradient in gradients.items():
        assert gradient is not None
        part = next(
            part
            for start, part in {
                "encoder.embedding": "embeddings",
                "decoder.embedding": "embeddings",
                "encoder": "encoder",
                "bridge": "bridge",
                "decoder.attention": "attention",
                "decoder": "decoder",
                "output": "output",
            }.items()
            if name.startswith(start + ".")
        )
        squares[part] = squares.get(part, 0.0) + float((gradient.double() ** 2).sum())
    norms = {part: math.sqrt(square) for part, square in squares.items()}
    assert record["gradient_norms"] == pytest.approx(norms, rel=1e-4)
    assert record["gradient_norm"] == pytest.approx(math.hypot(*norms.values()), rel=1e-4)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_every_score_can_pick_the_best(tmp_path: Path, metric: str) -> None:
    recipe = toy_recipe(tmp_path, f"training.early_stopping_metric={metric}")
    trainer = build_trainer(recipe, prepare(recipe), Run(tmp_path / "run"), torch.device("cpu"))
    trainer.fit(never)
    found = [record[metric] for record in records(trainer, "validation")]
    assert trainer.progress.best == (-min(found) if metric in LOWER_IS_BETTER else max(found))
