"""Where memory runs out, batches are halved, and nobody sees it from the results."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy import toy_recipe

from seq2seq import device
from seq2seq.errors import RunError
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.prepare import prepare
from seq2seq.probability import find_probabilities
from seq2seq.run import Run
from seq2seq.special import EOS
from seq2seq.train import build_trainer
from seq2seq.training.trainer import Trainer
from seq2seq.translate import Translator
from seq2seq.translation.forced import force

CPU = torch.device("cpu")
ON_CPU = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    recipe = toy_recipe(tmp_path)
    trainer = build_trainer(recipe, prepare(recipe), Run(tmp_path / "run"), CPU)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.normal_(std=0.4)
    trainer.model.eval()
    return trainer


@pytest.fixture
def shrink(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Leave memory for so many sources at a time; the sizes of batches that are tried."""
    device._warn_once.cache_clear()
    encode = Seq2Seq.encode

    def shrunk(most: int) -> list[int]:
        seen: list[int] = []

        def small(self: Seq2Seq, src: torch.Tensor, *others: torch.Tensor) -> object:
            seen.append(len(src))
            if len(src) > most:
                raise RuntimeError(ON_CPU)
            return encode(self, src, *others)

        monkeypatch.setattr(Seq2Seq, "encode", small)
        return seen

    return shrunk


def translator(trainer: Trainer, *overrides: str) -> Translator:
    recipe = toy_recipe(Path(trainer.run.path.parent), *overrides)
    tokenizers = prepare(toy_recipe(Path(trainer.run.path.parent))).tokenizers
    return Translator([trainer.model], [tokenizers], recipe.decoding, CPU)


LINES = ["1 2 3", "4 5", "", "6 7 8 9 0 1", "2 2", "9 8 7 6", "3 3 3", "5"]


@pytest.mark.parametrize(
    "settings",
    [
        ["decoding.beam_size=3"],
        ["decoding.sampling=true", "decoding.beam_size=2"],
        ["decoding.coverage_penalty=0.2"],
        ["decoding.mbr=chrf", "decoding.beam_size=4"],
    ],
)
def test_search_and_forced_passes_find_the_same(
    trainer: Trainer,
    shrink: Callable[[int], list[int]],
    caplog: pytest.LogCaptureFixture,
    settings: list[str],
) -> None:
    own = translator(trainer, *settings)
    expected = list(own.translate(LINES, details=True))
    seen = shrink(2)
    found = list(own.translate(LINES, details=True))
    assert max(seen) > 2
    for one, other in zip(found, expected, strict=True):
        assert one.text == other.text
        for mine, theirs in zip(one.hypotheses, other.hypotheses, strict=True):
            assert mine.score == pytest.approx(theirs.score, abs=1e-4)
    told = [record.getMessage() for record in caplog.records]
    warnings = [text for text in told if "memory ran out" in text]
    assert len(warnings) == len(set(warnings)) == 2
    assert warnings[0].startswith("decoding.batch_size: memory ran out; ")


def test_probabilities_are_the_same(trainer: Trainer, shrink: Callable[[int], list[int]]) -> None:
    own, pairs = translator(trainer), [(line, line[::-1]) for line in LINES]
    expected = [one.log_probs for one in find_probabilities(own, pairs)]
    shrink(3)
    for one, other in zip(find_probabilities(own, pairs), expected, strict=True):
        assert one.log_probs == pytest.approx(other, abs=1e-4)


def test_validation_measures_the_same(trainer: Trainer, shrink: Callable[[int], list[int]]) -> None:
    expected, rank = trainer.validator.measure(trainer.model)
    seen = shrink(3)
    found, other = trainer.validator.measure(trainer.model)
    assert max(seen) > 3
    # Which pair is the neighbour whose source is tried depends on the batch.
    for values in (expected, found):
        assert values.pop("source_dependence") > 0
    assert found == pytest.approx(expected, rel=1e-4)
    assert other == pytest.approx(rank, rel=1e-4)


def test_a_sentence_that_is_too_much_is_told_in_a_line(
    trainer: Trainer, shrink: Callable[[int], list[int]]
) -> None:
    own = translator(trainer, "decoding.beam_size=7")
    shrink(0)
    with pytest.raises(
        RunError, match=r"^decoding.beam_size: there is no memory for 7 hypoth"
    ) as e:
        list(own.translate(LINES))
    assert "\n" not in str(e.value)
    with pytest.raises(RunError, match=r"^forced pass over translations: there is no memory for o"):
        force(own.exact, [[[5, 4, EOS]]], [[6, EOS]], CPU)
    with pytest.raises(RunError, match=r"^data.dev: there is no memory for pair \d+, of "):
        trainer.validator.loss(trainer.model)
