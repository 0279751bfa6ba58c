"""Training a recipe: everything is wired together here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from seq2seq.device import resolve_device, tune_memory
from seq2seq.metrics import score
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.prepare import Prepared, prepare, read_dev
from seq2seq.recipe import Decoding, Evaluation, Recipe
from seq2seq.run import Run
from seq2seq.training.trainer import Status, Trainer, count_parameters
from seq2seq.translate import Translator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How training ended."""

    status: Status | Literal["already finished"]
    run_dir: Path
    best: float | None
    """Value of the early-stopping metric of the best checkpoint; losses are negated."""


def train(recipe: Recipe, *, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Prepare what isn't prepared and train, from the last checkpoint if there is one.

    Args:
        recipe: the whole recipe.
        stop: asked after each update whether to save and return.

    Raises:
        RunError: the run directory holds a run of another recipe, or the loss became infinite.
        DataError: the data cannot be read.
        SettingsError: this machine has no such device.
    """
    run = Run(Path(recipe.output_dir))
    device = resolve_device(recipe.device)
    tune_memory()
    prepared = prepare(recipe)
    recipe = prepared.recipe
    trainer = build_trainer(recipe, prepared, run, device)
    if trainer.resume():
        if trainer.progress.finished:
            return Outcome("already finished", run.path, trainer.progress.best)
        logger.info("resuming after update %s", f"{trainer.progress.update:,}")
    logger.info(
        "training %s parameters on %s with %s pairs",
        f"{count_parameters(trainer.model):,}",
        device,
        f"{len(prepared.train):,}",
    )
    status = trainer.fit(stop)
    return Outcome(status, run.path, trainer.progress.best)


def build_trainer(recipe: Recipe, prepared: Prepared, run: Run, device: torch.device) -> Trainer:
    """A new model and its trainer; the recipe's seed makes its first weights."""
    torch.manual_seed(recipe.seed)
    tokenizers = prepared.tokenizers
    model = Seq2Seq(recipe.model, len(tokenizers.src), len(tokenizers.tgt)).to(device)
    return Trainer(
        recipe.training,
        model,
        prepared.train,
        prepared.dev,
        _dev_scorer(recipe, prepared, device),
        run,
        recipe.seed,
        prepared.key,
    )


def _dev_scorer(
    recipe: Recipe, prepared: Prepared, device: torch.device
) -> Callable[[Seq2Seq], float]:
    """BLEU of greedy translations of the raw development set, as `evaluation` would compute it.

    They end where the longest reference does, as a model that has just begun ends none of them.
    """
    sources, references = read_dev(recipe)
    evaluation = recipe.evaluation
    section = Evaluation(
        metrics=("bleu",),
        tokenize=evaluation.tokenize,
        lowercase=evaluation.lowercase,
        bootstrap=0,
    )

    decoding = Decoding(beam_size=1, max_length=int(prepared.dev.tgt_lengths.max()))

    def bleu(model: Seq2Seq) -> float:
        translator = Translator(model, prepared.tokenizers, decoding, device)
        hypotheses = [translation.text for translation in translator.translate(sources)]
        return score(hypotheses, [references], section)[0].value

    return bleu
