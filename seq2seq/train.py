"""Training a recipe: everything is wired together here."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch

from seq2seq.checkpoint import Checkpoint, load_weights
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.device import be_deterministic, check_precision, resolve_device, tune_memory
from seq2seq.errors import RunError
from seq2seq.files import digest
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import ALONE, World
from seq2seq.prepare import Prepared, prepare, read_dev
from seq2seq.recipe import AUTO, Decoding, Evaluation, Metric, Recipe, changed_keys
from seq2seq.run import Run
from seq2seq.scoring.metrics import build_sentence_scorer, score
from seq2seq.training.averaging import Kind, kept_counts
from seq2seq.training.batch_size import MIN_UPDATES, double_while, fits_memory
from seq2seq.training.diagnosis import OutputMeasures
from seq2seq.training.minimum_risk import Ids, SentenceScores
from seq2seq.training.objective import OBJECTIVES
from seq2seq.training.progress import reached_limits
from seq2seq.training.rehearsal import rehearse
from seq2seq.training.source import build_source
from seq2seq.training.tensorboard import TensorBoard, require_tensorboard
from seq2seq.training.trainer import Status, Trainer
from seq2seq.training.validation import DevScorer, Validator
from seq2seq.translate import Translator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How training ended."""

    status: Status | Literal["already finished"]
    run_dir: Path
    best: float | None
    """Value of the early-stopping metric of the best checkpoint; losses are negated."""


def train(
    recipe: Recipe, *, stop: Callable[[], bool] = lambda: False, world: World = ALONE
) -> Outcome:
    """Prepare what isn't prepared and train, from the last checkpoint if there is one.

    Args:
        recipe: the whole recipe.
        stop: asked after each update whether to save and return.
        world: the processes that train together.

    Raises:
        RunError: the run directory holds a run of another recipe, or the loss became infinite.
        FileError: another process trains this run, or its files cannot be written.
        DataError: the data cannot be read.
        SettingsError: this machine has no such device, or it can't compute as the recipe says.
    """
    if recipe.training.tensorboard:
        require_tensorboard()
    prepared, trainer = set_up(recipe, world)
    with closing(trainer.source), trainer.run.locked():
        return _train(prepared, trainer, stop)


def _train(prepared: Prepared, trainer: Trainer, stop: Callable[[], bool]) -> Outcome:
    world, judged_by = trainer.world, _judged_by(prepared.recipe)
    is_begun = trainer.resume()
    progress = trainer.progress
    if not progress.finished:
        # Earlier versions don't say.
        known = progress.judged_by or judged_by
        trainer.run.refuse(key for key in known if known[key] != judged_by.get(key))
        progress.judged_by = judged_by
    world.once(trainer.run.write_recipe, prepared.recipe, prepared.reasons)
    if is_begun:
        if progress.finished:
            limits = " and ".join(
                f"training.{k}" for k in reached_limits(trainer.section, progress)
            )
            logger.info("training is over by %s; with more of that it goes on", limits)
            return Outcome("already finished", trainer.run.path, progress.best)
        logger.info("resuming after update %s", f"{trainer.progress.update:,}")
    logger.info(
        "training %s parameters on %s%s with %s",
        f"{sum(p.numel() for p in trainer.model.parameters()):,}",
        trainer.device,
        f" in {world.size} processes" if world.size > 1 else "",
        trainer.source.describe(),
    )
    rehearse(trainer)
    if trainer.section.tensorboard and world.is_first:
        trainer.log.listeners.append(TensorBoard(trainer.run.tensorboard, trainer.log.read()))
    status = trainer.fit(stop)
    return Outcome(status, trainer.run.path, trainer.progress.best)


def _judged_by(recipe: Recipe) -> dict[str, Any]:
    """What scores depend on that steer training, besides keys of `training`; by dotted key."""
    section, found = recipe.training, dict[str, Any]()
    metrics = {str(section.early_stopping_metric)} - {"loss", "perplexity"}
    if metrics:
        keys = "precision", "ban_unk", "replace_unk"
        found = {f"decoding.{key}": getattr(recipe.decoding, key) for key in keys}
    if section.objective == "minimum_risk":
        metrics.add(section.risk_metric)
    if "bleu" in metrics:
        found["evaluation.tokenize"] = recipe.evaluation.tokenize
    if metrics - {"ter"}:
        found["evaluation.lowercase"] = recipe.evaluation.lowercase
    return found


def set_up(recipe: Recipe, world: World = ALONE) -> tuple[Prepared, Trainer]:
    """Prepare what isn't prepared; the trainer, at the beginning, and what it has to train on.

    Raises:
        RunError: the run directory holds a run of another recipe, or training is to begin with the
            weights of a run of the opposite direction.
        DataError: the data cannot be read.
        SettingsError: this machine has no such device, or it can't compute as the recipe says.
    """
    run, device = Run(Path(recipe.output_dir)), resolve_device(recipe.device)
    first = recipe.training.init_from
    if first is not None and not run.is_trained:
        _check_directions(Run(Path(first)), recipe)
    check_precision(device, recipe.training.precision)
    if recipe.training.deterministic:
        be_deterministic()
    tune_memory()
    is_open = recipe.training.batch_size == AUTO and not run.is_trained
    prepared = world.in_turn(lambda: prepare(recipe))
    if is_open and device.type == "cuda":
        size = int(world.agree(_find_batch_size(prepared, run, device)))
        prepared = world.in_turn(lambda: prepare(recipe, size))
    return prepared, build_trainer(prepared.recipe, prepared, run, device, world)


def _check_directions(first: Run, recipe: Recipe) -> None:
    """See that the run to begin with translates and reads in the directions of a recipe.

    Raises:
        RunError: it doesn't.
    """
    first.check_direction("training.init_from", recipe.data.src, recipe.data.tgt)
    theirs = first.load_recipe().data
    for key in ("reverse_src", "reverse_tgt"):
        if (wanted := getattr(theirs, key)) != getattr(recipe.data, key):
            raise RunError(
                f"training.init_from: {first.path} was trained with data.{key}: "
                f"{str(wanted).lower()}, and its weights are of use with that alone; set it so"
            )


def _find_batch_size(prepared: Prepared, run: Run, device: torch.device) -> int:
    """The largest one for a GPU's memory, by doubling the choice from the corpus."""
    recipe, pairs = prepared.recipe, prepared.train.head
    section = recipe.training
    total = len(pairs) if section.batch_type == "sentences" else int(pairs.tgt_lengths.sum())

    def fits(size: int) -> bool:
        training = section.model_copy(update={"batch_size": size})
        sized = recipe.model_copy(update={"training": training})
        return fits_memory(build_trainer(sized, prepared, run, device))

    most = total // section.accumulate // MIN_UPDATES
    found = double_while(fits, section.batch_size, most)
    logger.info("training.batch_size: auto: %s", f"{found:,}")
    return found


def average(
    run_dir: Path,
    kind: Kind | None = None,
    limit: int | None = None,
    world: World = ALONE,
) -> bool:
    """Average the weights of a run's checkpoints; if that is better, it becomes `best`.

    Args:
        run_dir: a run that was trained with `training.keep_best` above 1 or `average_last`.
        kind: which ones; by default the best, of a run that keeps only the last those.
        limit: checkpoints to average, at most; by default all of that kind that are kept.
        world: the processes that do it together.

    Returns:
        Whether it is better, on the development set by `training.early_stopping_metric`.

    Raises:
        RunError: there are fewer than two such checkpoints, or the run isn't trained.
    """
    run = Run(run_dir)
    recipe = run.load_recipe().model_copy(update={"output_dir": str(run_dir)})
    run.existing_checkpoint("last")
    counts = kept_counts(recipe.training)
    first: Kind = next(iter(counts), "best")
    chosen = kind or first
    count = counts.get(chosen, 0)
    if (found := min(count, len(run.kept_checkpoints()))) < 2:
        key = {"best": "training.keep_best", "last": "training.average_last"}[chosen]
        raise RunError(
            f"{run_dir}: keeps {found} of its {chosen} checkpoints, which is nothing to average; "
            f"train with {key} above 1"
        )
    device = resolve_device(recipe.device)
    tune_memory()
    prepared = world.in_turn(lambda: prepare(recipe))
    with run.locked():
        trainer = build_trainer(recipe, prepared, run, device, world)
        trainer.resume()
        is_better = trainer.average(chosen, min(count, limit or count))
        trainer.save()
    return is_better


def build_trainer(
    recipe: Recipe, prepared: Prepared, run: Run, device: torch.device, world: World = ALONE
) -> Trainer:
    """A new model and its trainer; the recipe's seed or `init_from` makes its first weights."""
    torch.manual_seed(recipe.seed)
    tokenizers, key = prepared.tokenizers, prepared.key
    model = Seq2Seq(recipe.model, len(tokenizers.src), len(tokenizers.tgt)).to(device)
    longest_src = 0
    if recipe.training.init_from is not None:
        first = Run(Path(recipe.training.init_from))
        saved = first.load_checkpoint("best")
        _take_weights(model, first, saved, recipe, tokenizers)
        weights = digest(first.existing_checkpoint("best"))
        key = digest(f"{key} {weights}".encode())
        longest_src = first.longest_source(saved)
    scorer = _dev_scorer if recipe.model.reads_source else _no_scorer
    return Trainer(
        recipe.training,
        model,
        build_source(recipe.training, prepared.train, recipe.seed),
        OBJECTIVES[recipe.training.objective](
            recipe.training, recipe.seed, _sentence_scores(recipe, prepared)
        ),
        Validator(recipe.training, prepared.dev, scorer(recipe, prepared, device, world), world),
        run,
        recipe.seed,
        key,
        world,
        longest_src,
    )


def _take_weights(
    model: Seq2Seq, run: Run, saved: Checkpoint, recipe: Recipe, tokenizers: Tokenizers
) -> None:
    """Begin with the weights of a checkpoint of another run.

    Raises:
        RunError: they don't fit.
    """
    found = run.build_model(tokenizers, saved)
    theirs = {n: p.detach() for n, p in found.named_parameters()}
    ours = dict(model.named_parameters())
    if {n: p.shape for n, p in ours.items()} != {n: p.shape for n, p in theirs.items()}:
        # Without one vocabulary nothing is tied three ways, and nothing copied.
        sections = "tokenizer.joint", "model."
        keys = changed_keys(run.load_recipe(), recipe)
        there = ", ".join(k for k in keys if k.startswith(sections) and "dropout" not in k)
        raise RunError(
            f"training.init_from: the weights of {run.path} don't fit; set as its recipe does: "
            f"{there}"
        )
    load_weights(model, theirs)


def _no_scorer(recipe: Recipe, prepared: Prepared, device: torch.device, world: World) -> DevScorer:
    """Nothing of a language model, which translates nothing."""
    return lambda model, num_lines=None, max_length=None: {}


def _dev_scorer(
    recipe: Recipe, prepared: Prepared, device: torch.device, world: World
) -> DevScorer:
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

    longest = int(prepared.dev.tgt_lengths.max())
    tokenizer = prepared.tokenizers.tgt
    measures = OutputMeasures(sources, references, tokenizer, longest)

    def scores(
        model: Seq2Seq, num_lines: int | None = None, max_length: int | None = None
    ) -> dict[str, float]:
        decoding = Decoding(
            beam_size=1,
            max_length=max_length or longest,
            precision=recipe.decoding.precision,
            ban_unk=recipe.decoding.ban_unk,
            replace_unk=recipe.decoding.replace_unk,
        )
        translator = Translator([model], [prepared.tokenizers], decoding, device, world=world)
        outputs = list(translator.translate(sources[:num_lines]))
        found = score([output.text for output in outputs], [references[:num_lines]], section)
        values = dict(zip(map(str, section.metrics), (one.value for one in found), strict=True))
        if num_lines is None:
            values |= measures([output.hypotheses[0].tokens for output in outputs])
        return values

    return scores


def _sentence_scores(recipe: Recipe, prepared: Prepared) -> SentenceScores:
    """Scores of single sentences as text, as `evaluation` would compute them."""
    decode = prepared.tokenizers.tgt.decode
    scorer = build_sentence_scorer(recipe.training.risk_metric, recipe.evaluation)

    def scores(outputs: Ids, references: Ids) -> list[float]:
        return scorer(decode(outputs), decode(references))

    return scores
