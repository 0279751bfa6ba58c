import copy
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import toy_recipe

from seq2seq import checkpoint
from seq2seq.errors import RunError
from seq2seq.prepare import prepare
from seq2seq.recipe import Recipe, load_recipe
from seq2seq.run import Run
from seq2seq.train import set_up, train
from seq2seq.training.progress import Progress
from seq2seq.training.source import Group, Source, build_source

STREAMED = ["data.streaming=true", "data.shuffle_buffer=70", "training.updates_per_epoch=4"]


@pytest.mark.parametrize("settings", [[], STREAMED, ["data.weights=[1]"]])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_place_is_all_there_is_to_know(
    tmp_path: Path, settings: list[str], accumulate: int
) -> None:
    recipe = toy_recipe(tmp_path, *settings, f"training.accumulate={accumulate}")
    prepared = prepare(recipe)
    source = build_source(prepared.recipe.training, prepared.train, recipe.seed)
    progress = Progress()
    places, steps = [], []
    for _ in range(40):
        places.append(copy.deepcopy(progress))
        steps.append(seen(source, progress))
        source.advance(progress)
    other = build_source(prepared.recipe.training, prepare(recipe).train, recipe.seed)
    for i in (39, 3, 4, 20, 0, 11):
        assert seen(other, copy.deepcopy(places[i])) == steps[i]
        assert seen(source, copy.deepcopy(places[i])) == steps[i]
    per_epoch = source.updates_per_epoch
    found = [(place.epoch, place.position) for place in places]
    assert found == [divmod(update, per_epoch) for update in range(40)]
    source.close()
    other.close()


def seen(source: Source, progress: Progress) -> list[Any]:
    """What the next update is made of: lines and passes of its pairs."""
    return lines_of(source.upcoming(progress)[0])


def lines_of(group: Group) -> list[Any]:
    return [
        [
            (number, group.corpus.line(i))
            for number, i in zip(
                np.broadcast_to(rounds, batch.shape).tolist(), batch.tolist(), strict=True
            )
        ]
        for rounds, batch in zip(group.rounds, group.batches, strict=True)
    ]


def test_every_pair_once_a_pass(tmp_path: Path) -> None:
    recipe = toy_recipe(tmp_path, *STREAMED, "training.accumulate=2")
    prepared = prepare(recipe)
    source = build_source(prepared.recipe.training, prepared.train, recipe.seed)
    progress, lines = Progress(), []
    while progress.chunk is None or progress.chunk["chunk"] < 6:
        for batch in seen(source, progress):
            lines += batch
        source.advance(progress)
    assert sorted(lines) == [(epoch, line) for epoch in range(2) for line in range(200)]
    assert lines != sorted(lines)
    source.close()


def weights(recipe: Recipe) -> dict[str, bytes]:
    tensors = checkpoint.load(Run(Path(recipe.output_dir)).checkpoint("last")).tensors
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_a_chunk_that_holds_the_corpus_is_an_epoch(tmp_path: Path) -> None:
    settings = [
        "tokenizer.sampling=0.3",
        "training.src_shuffle=2",
        "training.teacher_forcing=0.5",
        "training.max_epochs=2",
        "data.max_length=6",
    ]
    whole = toy_recipe(tmp_path, *settings)
    train(whole)
    _, trainer = set_up(whole)
    more = [
        "data.streaming=true",
        f"training.updates_per_epoch={trainer.source.updates_per_epoch}",
        f"output_dir={tmp_path}/streamed",
    ]
    streamed = load_recipe(tmp_path / "toy.yaml", [*settings, *more])
    train(streamed)
    assert weights(streamed) == weights(whole)
    assert not (tmp_path / "streamed" / "data" / "train").exists()


def test_what_is_dropped_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    recipe = toy_recipe(tmp_path, *STREAMED, "data.max_length=3", "training.max_epochs=3")
    train(recipe)
    run = Run(tmp_path / "run")
    records = map(json.loads, run.metrics_file.read_text().splitlines())
    found = [record["pairs"] for record in records if record["kind"] == "validation"]
    assert len(found) == 3
    for counts in found:
        assert counts["read"] == sum(counts[key] for key in ("kept", "blank", "too_long"))
        assert counts["read"] in (70, 140, 200) and counts["too_long"] > 0
    assert found[-1]["pass"] > 1
    whole = ["data.max_length=3", f"output_dir={tmp_path}/whole"]
    everything = prepare(load_recipe(tmp_path / "toy.yaml", whole)).ledger
    assert f"read all training pairs, pass 1: {everything}\n" in caplog.text


def test_text_that_has_changed_is_told(tmp_path: Path) -> None:
    settings = [*STREAMED, "training.max_epochs=3"]
    train(toy_recipe(tmp_path, *settings), stop=lambda: True)
    content = (tmp_path / "train.out").read_text()
    (tmp_path / "train.out").write_text(f"{content[:-2]}{9 - int(content[-2])}\n")
    with pytest.raises(RunError, match=r"what is in data\.train has changed"):
        train(load_recipe(tmp_path / "toy.yaml", settings))
    (tmp_path / "train.out").write_text(content)
    assert train(load_recipe(tmp_path / "toy.yaml", settings)).status == "finished"


def test_a_failed_update_goes_back_to_an_earlier_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ["training.validate_every=7", "training.max_updates=24", "training.max_epochs=9"]
    _, trainer = set_up(toy_recipe(tmp_path, *STREAMED, *settings))
    trainer.validator.translate_and_score = lambda model: {"bleu": 1.0}
    source, can_step, made = trainer.source, trainer.learner.can_step, []
    upcoming = source.upcoming

    def noted(progress: Progress) -> Sequence[Group]:
        groups = upcoming(progress)
        made.append((progress.update, lines_of(groups[0])))
        return groups

    def fails_once(norm: float) -> bool:
        is_first = made[-1][0] == 11 and [update for update, _ in made].count(11) == 1
        return can_step(norm) and not is_first

    monkeypatch.setattr(source, "upcoming", noted)
    monkeypatch.setattr(trainer.learner, "can_step", fails_once)
    trainer.fit(lambda: False)
    assert "training goes on from update 7" in caplog.text
    assert [update for update, _ in made] == [*range(12), *range(7, 24)]
    assert made[12:17] == made[7:12]
    source.close()
