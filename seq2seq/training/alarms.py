"""Signs that training goes wrong, each with a plain sentence of advice.

An alarm is a warning in the log and a record of kind `alarm` in `metrics.jsonl`. What lasts is told
once, and again only if it has gone in between.
"""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from seq2seq.training.log import MetricsLog
from seq2seq.training.progress import Progress

logger = logging.getLogger(__name__)

Values = Mapping[str, float]

LOSS_MEMORY = 50
"""Updates that the running mean of the loss looks back on."""

LASTING_UPDATES = 5
"""A jump of the loss is told when so many updates in a row have shown it: a single batch of odd
pairs is nothing to worry about."""

SETTLED_UPDATES, SETTLED_SHARE = 500, 0.25
"""A model that has just begun ignores its source and repeats itself: its signs are read when a
quarter of training and so many updates are over, or all of it."""

SURELY_SETTLED = 5000
"""After so many updates they are read however long training will be."""


@dataclass(frozen=True)
class Sign:
    """Something about a model on the development set that shows what is wrong.

    Attributes:
        measures: values that it is read from.
        is_off: whether they are wrong.
        advice: what that means and what to do; the values stand for `{0}`, `{1}`.
    """

    measures: tuple[str, ...]
    is_off: Callable[..., bool]
    advice: str


# Thresholds are far from what healthy models show. After 500 updates of the quickstart task,
# Icelandic pronunciation or Turkish inflection, another source costs 7 to 20 times the loss (1.6
# times after 400 of Multi30k), attention has 1 to 10 % of the entropy of none at all, and the other
# measures keep within 0.1 of the references' own.
SIGNS = {
    "source_ignored": Sign(
        ("source_dependence",),
        lambda ratio: ratio < 1.05,
        "the model ignores its source: with the source of another line the loss on data.dev is "
        "{0:.2f} times what it is; see whether line n of the target translates line n of the "
        "source, else train longer or with less model.dropout",
    ),
    "same_outputs": Sign(
        ("identical", "identical_references"),
        lambda found, usual: found > usual + 0.3,
        "{0:.0%} of the translations are those of other lines too, but only {1:.0%} of the "
        "references; look for lines that are too frequent in data.train, or lower "
        "training.learning_rate",
    ),
    "repetition": Sign(
        ("repeating", "repeating_references"),
        lambda found, usual: found > usual + 0.1,
        "{0:.0%} of the translations go round in circles, but {1:.0%} of the references; train "
        "longer, use model.decoder.attention: coverage or decoding.no_repeat_ngram",
    ),
    "copying": Sign(
        ("copied", "copied_references"),
        lambda found, usual: found > usual + 0.3,
        "{0:.0%} of what the model says stands in its source, but only {1:.0%} of what the "
        "references say; look for lines of data.train that were left untranslated",
    ),
    "short_outputs": Sign(
        ("length_ratio",),
        lambda ratio: ratio < 0.75,
        "translations are too short, {0:.2f} times the references; look for cut or misaligned "
        "lines in data.train, or raise decoding.length_penalty",
    ),
    "long_outputs": Sign(
        ("length_ratio",),
        lambda ratio: ratio > 4 / 3,
        "translations are too long, {0:.2f} times the references; train longer, and look for "
        "misaligned lines in data.train",
    ),
    "cut_outputs": Sign(
        ("cut",),
        lambda share: share > 0.1,
        "{0:.0%} of the translations find no end within the length of the longest reference; train "
        "longer, or lower training.learning_rate",
    ),
    "blurred_attention": Sign(
        ("attention_entropy",),
        lambda entropy: entropy > 0.95,
        "attention looks everywhere alike, with {0:.0%} of the entropy of no attention at all; "
        "train longer, lower training.learning_rate or use another model.decoder.attention",
    ),
}
"""What is read from a validation; see `diagnosis` for the measures."""

DIVERGED, SPIKE, NOT_FINITE = "diverged", "loss_spike", "not_finite"
"""Alarms of the loss and the gradient."""


def read_signs(values: Values) -> dict[str, str]:
    """The signs that are off by the values of a validation, with advice; unknown values show none.

    Args:
        values: measures by name.
    """
    found = {}
    for name, sign in SIGNS.items():
        known = [values[measure] for measure in sign.measures if measure in values]
        if len(known) == len(sign.measures) and sign.is_off(*known):
            found[name] = sign.advice.format(*known)
    return found


def is_settled(update: int, done: float) -> bool:
    """Whether signs can be read after so many updates, when this share of training is done."""
    settled = update >= SETTLED_UPDATES and done >= SETTLED_SHARE
    return settled or update >= SURELY_SETTLED or done >= 1


def is_spike(loss: float, mean: float) -> bool:
    """Whether a loss per token is far above the mean of those before."""
    return loss > 2 * mean + 1


def watch_loss(progress: Progress, loss: float, tokens: int) -> str | None:
    """Take note of the loss of an update.

    Nothing is known of the first updates, and batches that are much smaller than usual say little.
    While the loss may have jumped the mean stays; when that is sure it begins anew from there, so
    the same jump is not told again.

    Args:
        progress: after the update; holds the running means.
        loss: cross-entropy in nats per token.
        tokens: target tokens of the update.

    Returns:
        Advice if the loss has jumped.
    """
    before = progress.loss_mean
    if progress.batch_mean == 0:
        progress.loss_mean, progress.batch_mean = loss, tokens
        return None
    # Updates count by their tokens.
    share = min(1.0, tokens / progress.batch_mean) / LOSS_MEMORY
    progress.batch_mean += (tokens - progress.batch_mean) / LOSS_MEMORY
    if progress.update > LOSS_MEMORY and share >= 0.5 / LOSS_MEMORY:
        progress.spikes = progress.spikes + 1 if is_spike(loss, before) else 0
    if not progress.spikes:
        progress.loss_mean = before + share * (loss - before)
    if progress.spikes < LASTING_UPDATES:
        return None
    progress.loss_mean, progress.spikes = loss, 0
    return (
        f"the loss has jumped from about {before:.2f} to {loss:.2f}; if it stays there, train anew "
        "with a lower training.learning_rate or training.clip_grad_norm"
    )


def read_loss(loss: float, vocabulary_size: int) -> dict[str, str]:
    """Whether the running loss says that training has diverged, with advice."""
    guess = math.log(vocabulary_size)
    if loss <= guess + 1:
        return {}
    text = (
        f"the loss is {loss:.2f}, worse than {guess:.2f} for guessing blindly: training has "
        "diverged; train anew with a tenth of training.learning_rate"
    )
    return {DIVERGED: text}


def tell(log: MetricsLog, update: int, found: Mapping[str, str], failed: int | None = None) -> None:
    """Raise alarms, given by name with their text.

    Args:
        log: where they are recorded.
        update: that they belong to: a run that goes on from an earlier one makes it again.
        found: the alarms.
        failed: the update that they tell of, if it is another one.
    """
    about = {} if failed is None else {"failed_update": failed}
    for name, text in found.items():
        log.write({"kind": "alarm", "update": update, "alarm": name, **about, "text": text})
        logger.warning("update %s: %s", f"{failed or update:,}", text)


def news(progress: Progress, found: Mapping[str, str], group: Collection[str]) -> dict[str, str]:
    """What of that which is off has not been told yet; `progress` takes note.

    Args:
        progress: knows what was off before.
        found: what is off now.
        group: all that was looked for.
    """
    before = progress.alarms
    progress.alarms = [name for name in before if name not in group] + list(found)
    return {name: text for name, text in found.items() if name not in before}
