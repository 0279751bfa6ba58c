import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import KINDS, build_model
from toy import toy_recipe

from seq2seq import checkpoint
from seq2seq.cli import main
from seq2seq.formats import duration
from seq2seq.plan import Speed, count_parts, plan, reckon
from seq2seq.recipe import Recipe
from seq2seq.run import Run
from seq2seq.train import set_up, train

SPEED = Speed(tokens_per_second=1.0, update=2.0, epoch=26.0, validation=4.0, splits=0)


@pytest.mark.parametrize("keys", [*KINDS, {"tied_embeddings": "two_way"}])
def test_parts_are_the_whole(keys: dict[str, object]) -> None:
    tied = keys.get("tied_embeddings")
    model = build_model(tied_embeddings=tied) if tied else build_model(decoder=keys)
    counts = count_parts(model)
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    embeddings = {
        id(e.weight): e.weight for e in (model.encoder.embedding, model.decoder.embedding)
    }
    assert counts["embeddings"] == sum(weight.numel() for weight in embeddings.values())
    attention = model.decoder.attention
    expected = 0 if attention is None else sum(p.numel() for p in attention.parameters())
    assert counts.get("attention", 0) == expected
    if tied:
        assert counts["output"] == model.output.bias.numel()


LIMITS = [
    ["training.max_epochs=2"],
    ["training.max_epochs=2", "training.accumulate=3", "training.validate_every=4"],
    ["training.max_updates=10", "training.validate_every=4"],
    ["training.max_updates=20"],
]


@pytest.mark.parametrize("settings", LIMITS)
@pytest.mark.parametrize("before", [0, 4, 5])
def test_what_is_left_is_what_is_done(tmp_path: Path, settings: list[str], before: int) -> None:
    recipe = toy_recipe(tmp_path, *settings, "training.log_every=1")
    _, trainer = set_up(recipe)
    trainer.validator.translate_and_score = lambda model: {"bleu": 1.0}
    if before:
        trainer.fit(lambda: trainer.progress.update == before)
    left = reckon(trainer, SPEED)
    assert left.seconds == 2 * left.updates + 4 * left.validations
    assert left.limit == f"training.{settings[0].split('.')[1].split('=')[0]}"
    done = len(trainer.log.read())
    trainer.fit(lambda: False)
    made = trainer.log.read()[done:]
    assert left.updates == sum(record["kind"] == "train" for record in made)
    assert left.validations == sum(record["kind"] == "validation" for record in made)
    assert reckon(trainer, SPEED).limit is None


def test_minutes_are_a_limit(tmp_path: Path) -> None:
    _, trainer = set_up(toy_recipe(tmp_path, "training.max_minutes=0.5", "training.max_epochs=99"))
    trainer.progress.seconds = 10
    left = reckon(trainer, SPEED)
    assert left.limit == "training.max_minutes"
    assert left.seconds == pytest.approx(20, abs=6)


def files(recipe: Recipe) -> dict[str, bytes]:
    run = Path(recipe.output_dir)
    found = [run / "metrics.jsonl", run / "recipe.yaml", *(run / "checkpoints").glob("*")]
    return {path.name: path.read_bytes() for path in found if path.exists()}


def weights(recipe: Recipe) -> dict[str, bytes]:
    saved = checkpoint.load(Run(Path(recipe.output_dir)).checkpoint("last"))
    return {name: tensor.numpy().tobytes() for name, tensor in saved.tensors.items()}


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Recipe]:
    def made(name: str) -> Recipe:
        (tmp_path / name).mkdir()
        return toy_recipe(tmp_path / name, "training.max_updates=9", "training.ema_decay=0.9")

    return made


def test_a_plan_leaves_the_run_alone(recipe: Callable[[str], Recipe]) -> None:
    plain, planned = recipe("plain"), recipe("planned")
    for one in (plain, planned):
        train(one, stop=iter([False] * 5 + [True]).__next__)
    with Run(Path(planned.output_dir)).metrics_file.open("a") as file:
        file.write('{"kind": "train", "update": 8, ')
    before, random = files(planned), torch.get_rng_state()
    training = planned.training.model_copy(update={"log_every": 3})
    found = plan(planned.model_copy(update={"training": training, "name": "other"}))
    assert files(planned) == before
    assert torch.equal(torch.get_rng_state(), random)
    assert (found.updates, found.left.updates, found.left.validations) == (6, 3, 1)
    assert found.seconds > 0
    for one in (plain, planned):
        train(one)
    assert weights(plain) == weights(planned)
    assert plan(planned).left.seconds == 0


def test_a_plan_before_the_first_update_writes_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_recipe(tmp_path)
    words = ["train", str(tmp_path / "toy.yaml"), "training.ema_decay=0.9", "--plan"]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 80
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(files(toy_recipe(tmp_path))) == ["recipe.yaml"]
    assert f"{sum(found['parameters'].values()):,}" in table
    assert found["memory"]["average"] == found["memory"]["weights"] == found["memory"]["gradients"]
    assert found["memory"]["optimizer"] == 2 * found["memory"]["weights"]
    assert found["memory"]["peak"] > found["memory"]["weights"]
    assert (found["updates"], found["left"]["updates"]) == (0, 26)
    assert "26 updates and 2 validations" in table
    assert found["speed"]["tokens_per_second"] > 0


def test_json_without_a_plan_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "x.yaml", "--json"]) == 2
    assert capsys.readouterr().err == "seq2seq train: --json prints a plan; give --plan too\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "0.012 s"),
        (9.4, "9.4 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3569, "59 min"),
        (3571, "1 h 00 min"),
        (7505, "2 h 05 min"),
        (3 * 86400 + 4.6 * 3600, "3 d 4 h"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
