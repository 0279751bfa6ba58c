"""Settings and corpora that are legal but known to fail, told before training, a line each.

Each line is `place: what; remedy`, as errors are. The bounds are far from what works anywhere: a
warning that is wrong teaches people to read none.
"""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.statistics import Statistics
from seq2seq.recipe import Recipe, Training
from seq2seq.sizes import RATES, TEXT

TRIAL = 100
"""Pairs; fewer are there to try something out, and whatever the settings nothing will be learnt."""

FEW_UPDATES = 1000
"""Attention isn't found in fewer."""

SHORT_PATIENCE = 500
"""Updates; in fewer, validations vary by chance more than a model gains."""

SMALL_CORPUS = 20_000
"""Pairs that a network without dropout learns by heart."""

TOO_MANY_PIECES = 4
"""Times the vocabulary that suits a corpus (Sennrich & Zhang 2019)."""

FAR_TOO_LONG, SURELY_NOT_TOO_LONG = 20, 250
"""Times the median length, and pieces."""

NUM_COMPARED, SAME = 10_000, 0.9

MANY_BLANK = 0.5

NUM_SEARCHED = 200_000
"""Training pairs among which those of the development set are looked for."""

FEW_LINES, MANY_LINES = 10, 3_000
"""Of a development set: where chance decides which checkpoint is best, and where nobody needs more.
Validation takes about as long as training on as many pairs; beyond a third of that it is told."""


def lint_recipe(recipe: Recipe, corpus: Statistics | None = None) -> Iterator[str]:
    """What in a recipe is known to fail, some of it only with its corpus at hand.

    Args:
        recipe: with nothing left to choose, if there is a corpus.
        corpus: its training text.
    """
    training = recipe.training
    if corpus is not None and corpus.pairs < TRIAL:
        corpus = None
    updates_per_epoch: float | None = training.updates_per_epoch
    if updates_per_epoch is None and corpus is not None:
        updates_per_epoch = _updates_per_pass(recipe, corpus)
    limits = [math.inf if training.max_updates is None else training.max_updates]
    if updates_per_epoch is not None:
        limits.append(updates_per_epoch * training.max_epochs)
    yield from _lint_rate(training)
    yield from _lint_zeros(training)
    differ = recipe.model.drops_units or recipe.model.decoder.attention == "monotonic"
    if training.r_drop and not differ:
        yield (
            "training.r_drop: two passes differ by the units they drop, and none are dropped; set "
            "0, or model.dropout"
        )
    yield from _lint_length(training, updates_per_epoch, min(limits))
    if corpus is not None:
        yield from _lint_sizes(recipe, corpus)


def _updates_per_pass(recipe: Recipe, corpus: Statistics) -> float:
    """About so many; by tokens, a word is one piece and a third where it is cut to pieces."""
    training, per_pair = recipe.training, 1.0
    if training.batch_type == "tokens":
        per_pair = 1 + corpus.tgt.words * (1.3 if _is_text(recipe) else 1.0)
    return max(1.0, corpus.pairs * per_pair / training.batch_size / training.accumulate)


def _is_text(recipe: Recipe) -> bool:
    return recipe.tokenizer.type in ("bpe", "unigram")


def _lint_rate(training: Training) -> Iterator[str]:
    kind, rate = training.optimizer, training.learning_rate
    low, usual, high = RATES[kind]
    # Momentum adds up the gradients of this many updates.
    effective = rate / (1 - training.momentum)
    if "learning_rate" not in training.model_fields_set:
        pass  # it is yet to be chosen
    elif effective > high:
        yield (
            f"training.learning_rate: {rate:g} is so high for {kind} that training diverges; "
            f"{usual:g} is usual"
        )
    elif effective < low and training.init_from is None:
        yield (
            f"training.learning_rate: {rate:g} is so low for {kind} that little is learnt; "
            f"{usual:g} is usual"
        )
    if training.schedule == "inverse_sqrt" and training.warmup_updates == 0:
        yield (
            "training.schedule: inverse_sqrt falls to a tenth within 100 updates without a "
            "warm-up; set training.warmup_updates, to 1000 for example"
        )
    if kind == "sgd" and training.clip_grad_norm is None and training.clip_grad_value is None:
        yield (
            "training.clip_grad_norm: gradients of recurrent networks explode now and then, which "
            "sgd doesn't survive without clipping (Pascanu et al. 2013); set 1.0"
        )


def _lint_zeros(training: Training) -> Iterator[str]:
    """The zeros of L1 against the weights that translate."""
    for key, off in {"ema_decay": "0", "average_best": "false", "average_last": "null"}.items():
        if training.l1 and getattr(training, key):
            yield (
                f"training.{key}: averages weights, and those that training.l1 makes zero seldom "
                f"are zero in all that it averages; set {off}"
            )


def _lint_length(
    training: Training, updates_per_epoch: float | None, updates: float
) -> Iterator[str]:
    """Validations, patience and warm-up against the updates that there will be, at most."""
    until_validation = training.validate_every or updates_per_epoch
    total = f"{updates:,.0f} updates"
    limit = training.max_updates or training.max_minutes or training.init_from
    if updates < FEW_UPDATES and limit is None:
        yield (
            f"training.max_epochs: ends training after {total}, and learning takes some thousand; "
            "raise it, or lower training.batch_size"
        )
    if training.warmup_updates >= updates:
        yield (
            f"training.warmup_updates: {training.warmup_updates:,} of {total} never reach the "
            f"learning rate; set {updates / 20:,.0f} at most"
        )
    if FEW_UPDATES <= updates < (training.validate_every or 0):
        yield (
            f"training.validate_every: {training.validate_every:,} is more than all of the "
            f"{total}, so only the end is validated; set {max(1, updates / 20):,.0f}, or null for "
            "each epoch"
        )
    patience = training.early_stopping_patience
    if not patience:
        return
    if training.schedule == "plateau" and patience <= training.decay_patience:
        yield (
            f"training.early_stopping_patience: {patience} validations end training before "
            f"the plateau schedule lowers the rate, which waits for {training.decay_patience + 1}; "
            f"set {3 * (training.decay_patience + 1)}"
        )
    waits = patience * (until_validation or math.inf)
    least = max(SHORT_PATIENCE, training.warmup_updates)
    if waits < min(least, updates):
        yield (
            f"training.early_stopping_patience: may end training after {waits:,.0f} updates "
            f"without a gain, which chance can do; set {math.ceil(least / waits * patience)}, or "
            "validate less often"
        )


def _lint_sizes(recipe: Recipe, corpus: Statistics) -> Iterator[str]:
    """Batches, vocabulary and dropout against the size of the corpus."""
    training, tokenizer, model = recipe.training, recipe.tokenizer, recipe.model
    size, unit = training.batch_size * training.accumulate, training.batch_type
    pairs = f"{corpus.pairs:,} pairs"
    if _updates_per_pass(recipe, corpus) == 1 and size > 1:
        key = "accumulate" if training.accumulate > 1 else "batch_size"
        lower = 1 if training.accumulate > 1 else max(1, size // 100)
        yield (
            f"training.{key}: {size:,} {unit} an update are all of the {pairs} at once; "
            f"lower it, to {lower:,} for example"
        )
    if unit == "tokens" and size < 4 * corpus.tgt.words:
        yield (
            f"training.batch_size: {size:,} target tokens an update are "
            f"{size / corpus.tgt.words:.1f} of the lines; raise it, or set "
            "training.batch_type: sentences"
        )
    if not _is_text(recipe):
        return
    suited = next(row for row in TEXT if corpus.pairs <= row.pairs).vocab_size
    characters = corpus.src.distinct_characters + corpus.tgt.distinct_characters
    suited = max(suited, 2 * characters)
    is_trained = not (tokenizer.model or tokenizer.src_model or training.init_from)
    if is_trained and tokenizer.vocab_size >= TOO_MANY_PIECES * suited:
        yield (
            f"tokenizer.vocab_size: {tokenizer.vocab_size:,} pieces are so many for {pairs} that "
            f"most are too rare to be learnt; set {suited}"
        )
    if corpus.pairs <= SMALL_CORPUS and not (model.drops_units or model.weight_dropout):
        yield (
            f"model.dropout: without it a network learns {pairs} by heart instead of how to "
            "translate; set 0.3"
        )


def lint_pairs(train: EncodedCorpus, dev: EncodedCorpus) -> Iterator[str]:
    """What is odd about encoded pairs."""
    remedies = {
        "train": (train, "the batch with it takes the memory of many; lower data.max_length"),
        "dev": (dev, "each validation takes as many steps; leave it out"),
    }
    for name, (corpus, remedy) in remedies.items():
        for side, lengths in {"source": corpus.src_lengths, "target": corpus.tgt_lengths}.items():
            longest, median = int(lengths.max()), float(np.median(lengths))
            if longest > SURELY_NOT_TOO_LONG and longest > FAR_TOO_LONG * median:
                yield (
                    f"data.{name}: a {side} has {longest:,} pieces, half of the lines at most "
                    f"{median:.0f}; {remedy}"
                )
    compared = min(len(train), NUM_COMPARED)
    (_, most), *_ = Counter(train.tgt(i).tobytes() for i in range(compared)).most_common(1)
    if most > max(1, SAME * compared):
        yield (
            f"data.train: {most / compared:.0%} of the targets are one and the same line, so there "
            "is little to learn but that; see whether the file is the right one"
        )


def lint_dev(training: Training, train: EncodedCorpus, dev: EncodedCorpus) -> Iterator[str]:
    """What is odd about a development set."""
    if len(train) < TRIAL:
        return
    if len(dev) < FEW_LINES:
        yield (
            f"data.dev: chance decides which checkpoint is the best on so few lines ({len(dev)}); "
            "give some hundred"
        )
    if (blank := float((dev.tgt_lengths == 1).mean())) > MANY_BLANK:
        yield (
            f"data.dev: {blank:.0%} of its targets are blank lines; see whether the file is the "
            "right one"
        )
    per_update = float(training.batch_size * training.accumulate)
    if training.batch_type == "tokens":
        per_update /= float(train.tgt_lengths.mean())
    every = training.validate_every or training.updates_per_epoch
    between = len(train) if every is None else every * per_update
    if len(dev) > max(MANY_LINES, between / 3):
        yield (
            f"data.dev: its {len(dev):,} lines are translated each time that training has seen "
            f"{between:,.0f}, so validation takes much of the time; give {MANY_LINES:,} of them, "
            "or raise training.validate_every"
        )
    compared = range(min(len(dev), NUM_COMPARED))
    wanted = Counter((dev.src(i).tobytes(), dev.tgt(i).tobytes()) for i in compared)
    known = {
        pair
        for i in range(min(len(train), NUM_SEARCHED))
        if (pair := (train.src(i).tobytes(), train.tgt(i).tobytes())) in wanted
    }
    if (found := sum(wanted[pair] for pair in known)) > SAME * len(compared):
        yield (
            f"data.dev: {found / len(compared):.0%} of its pairs are training pairs too, so it "
            "cannot tell learning from learning by heart; give pairs that are not in data.train"
        )
