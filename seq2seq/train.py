"""Training a recipe: everything is wired together here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import torch

from seq2seq.checkpoint import load_weights
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.device import resolve_device, tune_memory
from seq2seq.errors import RunError
from seq2seq.files import digest
from seq2seq.metrics import build_sentence_scorer, score
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.prepare import Prepared, prepare, read_dev
from seq2seq.recipe import Decoding, Evaluation, Metric, Recipe, changed_keys
from seq2seq.run import Run
from seq2seq.training.diagnosis import OutputMeasures
from seq2seq.training.minimum_risk import Ids, SentenceScores
from seq2seq.training.objective import OBJECTIVES
from seq2seq.training.trainer import Status, Trainer, count_parameters
from seq2seq.training.validation import Validator
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


def average(run_dir: Path, limit: int | None = None) -> bool:
    """Average the weights of a run's best checkpoints; if that is better, it becomes `best`.

    Args:
        run_dir: a run that was trained with `training.keep_best` above 1.
        limit: checkpoints to average; by default all that are kept.

    Returns:
        Whether it is better, on the development set by `training.early_stopping_metric`.

    Raises:
        RunError: there are fewer than two checkpoints, or the run isn't trained.
    """
    run = Run(run_dir)
    recipe = run.load_recipe().model_copy(update={"output_dir": str(run_dir)})
    run.existing_checkpoint("last")
    if (found := len(run.kept_checkpoints())) < 2:
        raise RunError(
            f"{run_dir}: keeps {found} of its best checkpoints, which is nothing to average; "
            "train with training.keep_best above 1"
        )
    device = resolve_device(recipe.device)
    tune_memory()
    trainer = build_trainer(recipe, prepare(recipe), run, device)
    trainer.resume()
    is_better = trainer.average_best(limit)
    trainer.save()
    return is_better


def build_trainer(recipe: Recipe, prepared: Prepared, run: Run, device: torch.device) -> Trainer:
    """A new model and its trainer; the recipe's seed or `init_from` makes its first weights."""
    torch.manual_seed(recipe.seed)
    tokenizers, key = prepared.tokenizers, prepared.key
    model = Seq2Seq(recipe.model, len(tokenizers.src), len(tokenizers.tgt)).to(device)
    if recipe.training.init_from is not None:
        first = Run(Path(recipe.training.init_from))
        _take_weights(model, first, recipe, tokenizers)
        weights = digest(first.existing_checkpoint("best"))
        key = digest(f"{key} {weights}".encode())
    return Trainer(
        recipe.training,
        model,
        prepared.train,
        OBJECTIVES[recipe.training.objective](
            recipe.training, recipe.seed, _sentence_scores(recipe, prepared)
        ),
        Validator(recipe.training, prepared.dev, _dev_scorer(recipe, prepared, device)),
        run,
        recipe.seed,
        key,
    )


def _take_weights(model: Seq2Seq, run: Run, recipe: Recipe, tokenizers: Tokenizers) -> None:
    """Begin with the best weights of another run.

    Raises:
        RunError: there are none, or they don't fit.
    """
    theirs = {n: p.detach() for n, p in run.load_model(tokenizers, "best").named_parameters()}
    ours = dict(model.named_parameters())
    if {n: p.shape for n, p in ours.items()} != {n: p.shape for n, p in theirs.items()}:
        keys = [f"model.{key}" for key in changed_keys(run.load_recipe().model, recipe.model)]
        there = ", ".join(key for key in keys if "dropout" not in key)
        raise RunError(
            f"training.init_from: the weights of {run.path} don't fit; set as its recipe does: "
            f"{there}"
        )
    load_weights(model, theirs)


def _dev_scorer(
    recipe: Recipe, prepared: Prepared, device: torch.device
) -> Callable[[Seq2Seq], dict[str, float]]:
    """BLEU, and what else picks the best checkpoint, of the raw development set by greedy search.

    Computed as `evaluation` would. Translations end where the longest reference does, as a model
    that has just begun ends none of them.
    """
    sources, references = read_dev(recipe)
    evaluation = recipe.evaluation
    metrics: tuple[Metric, ...] = ("bleu",)
    metric = recipe.training.early_stopping_metric
    if metric in get_args(Metric) and metric not in metrics:
        metrics = (*metrics, cast(Metric, metric))
    section = Evaluation(
        metrics=metrics,
        tokenize=evaluation.tokenize,
        lowercase=evaluation.lowercase,
        bootstrap=0,
    )

    limit = int(prepared.dev.tgt_lengths.max())
    decoding = Decoding(beam_size=1, max_length=limit)
    measures = OutputMeasures(sources, references, prepared.tokenizers.tgt, limit)

    def scores(model: Seq2Seq) -> dict[str, float]:
        translator = Translator([model], [prepared.tokenizers], decoding, device)
        outputs = list(translator.translate(sources))
        found = score([output.text for output in outputs], [references], section)
        return {
            **{name: one.value for name, one in zip(section.metrics, found, strict=True)},
            **measures([output.hypotheses[0].tokens for output in outputs]),
        }

    return scores


def _sentence_scores(recipe: Recipe, prepared: Prepared) -> SentenceScores:
    """Scores of single sentences as text, as `evaluation` would compute them."""
    decode = prepared.tokenizers.tgt.decode
    scorer = build_sentence_scorer(recipe.training.risk_metric, recipe.evaluation)

    def scores(outputs: Ids, references: Ids) -> list[float]:
        return scorer(decode(outputs), decode(references))

    return scores
