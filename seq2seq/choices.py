"""Values that nobody gave, chosen from the size and the nature of the corpus.

`_rules` and the tables of `sizes` are all there is to it. What a user gives always wins, and a
choice that doesn't go with something given isn't made.
"""

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

from seq2seq.data.statistics import Side, Statistics
from seq2seq.errors import SettingsError
from seq2seq.keys import dotted, walk
from seq2seq.recipe import AUTO, Recipe, Training
from seq2seq.sections.conflicts import find_conflicts
from seq2seq.settings import Section
from seq2seq.sizes import COPIES, OUTPUT_MULTIPLE, RATES, SYMBOLS, TEXT, Size

AnySection = TypeVar("AnySection", bound=Section)


@dataclass(frozen=True)
class Choice:
    """A value for a key of a recipe.

    Attributes:
        key: Dotted.
        value: Legal there.
        reason: What of the corpus speaks for it.
    """

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Completed:
    """A recipe with nothing left to choose.

    Attributes:
        recipe: All of it.
        reasons: Why the values that nobody gave are what they are, by dotted key.
    """

    recipe: Recipe
    reasons: dict[str, str]


HEADS = 8
"""Heads of the attention to text, as Vaswani et al. (2017) have them."""

COPIED = 0.66
"""Share of the target's symbols that speaks for copying."""

MIN_UPDATES = 5_000
MAX_EPOCHS = 300
UPDATES_PER_EPOCH = 2_000
"""Of a stream: often enough to validate, seldom enough for it to take little of the time."""

# A line of the development set takes about the time of a pair in training, and there are seldom
# more than 1,000 of them: after 10,000 pairs validation takes less than a tenth of the time.
NUM_VALIDATIONS, MIN_VALIDATIONS = 20, 5
PAIRS_BETWEEN, MAX_BETWEEN = 10_000, 5_000


def _rules(
    recipe: Recipe, corpus: Statistics, is_open: set[str], found: int | None
) -> Iterator[Choice]:
    """The choices for a corpus, in the order of the recipe."""
    tokenizer = recipe.tokenizer

    # Symbols that are split already are words; lines of one short word are spelt. All else is
    # text, whose rare words take pieces.
    kind, kind_reason = _nature(corpus)
    is_text = kind == "bpe"

    # One vocabulary for both sides lets names and cognates be copied; it needs one alphabet. Sounds
    # are written much as letters are: with tying, 82 words of 100 instead of 79 in Icelandic, and
    # 92.3 instead of 91.8 in French.
    has_tokenizer = tokenizer.model or tokenizer.src_model
    joint = tokenizer.joint
    if "tokenizer.joint" in is_open and not has_tokenizer:
        joint = corpus.shared_letters >= (0.9 if is_text else 0.75)

    copying = _copying(corpus, kind, joint)
    copies = recipe.model.decoder.copy_attention
    if copying.key in is_open and recipe.model.reads_source:
        copies = copying.value
        yield copying

    table = TEXT if is_text else COPIES if copies else SYMBOLS
    size = next(size for size in table if corpus.pairs <= size.pairs)
    what = "text" if is_text else "symbols, some of them copied" if copies else "symbols"
    size_reason = f"{_pairs(recipe, corpus)} of {what}"
    if not has_tokenizer:
        yield Choice("tokenizer.type", kind, kind_reason)
        is_cut = (kind if "tokenizer.type" in is_open else tokenizer.type) in ("bpe", "unigram")
        yield _vocab_size(recipe, corpus, size, is_cut)
        reason = f"{corpus.shared_letters:.0%} of the letters are shared"
        yield Choice("tokenizer.joint", joint, reason)
        # Of 8,000 pieces of Multi30k 5,888 are left, and so three quarters of the output layer.
        leaves_out = joint and is_text and not copies
        reason = "pieces of the source alone are left out" if leaves_out else "all are kept"
        yield Choice("tokenizer.tgt_min_count", int(leaves_out), reason)

    # Embeddings of pieces that are seen seldom learn from both of their places (Press & Wolf 2017).
    is_small = corpus.pairs <= 300_000
    ties = is_small and (is_text or joint)
    ways = "three_way" if joint and recipe.model.reads_source else "two_way"
    yield from _network(recipe, size, size_reason)
    if recipe.model.reads_source:
        yield from _attention(is_open, is_text, is_text and is_small, what)
    yield Choice("model.dropout", size.dropout, size_reason)
    yield Choice("model.tied_embeddings", ways if ties else None, size_reason)
    yield from _pace(recipe, corpus, is_open, found, size, size_reason, kind)
    # What no training pair has can be copied too (See et al. 2017, section 2.2).
    reason = "what is copied may be unknown" if copies else "nothing is copied"
    yield Choice("decoding.ban_unk", not copies, reason)
    yield Choice("decoding.replace_unk", copies, reason)
    yield from _judging(recipe, corpus, kind, kind_reason)


def _judging(recipe: Recipe, corpus: Statistics, kind: str, reason: str) -> Iterator[Choice]:
    """What tells good outputs: BLEU is 0, or next to it, where a line is one word."""
    is_text = kind == "bpe"
    if recipe.model.reads_source:
        metric = "bleu" if is_text else "accuracy"
        yield Choice("training.early_stopping_metric", metric, reason)
        other = "chrf" if is_text else "cer" if kind == "char" else "wer"
        yield Choice("evaluation.metrics", (metric, other), reason)
    if is_text:
        reason = f"a space in {corpus.tgt_word_length:.0f} characters"
    yield Choice("evaluation.tokenize", corpus.tgt_units if is_text else "13a", reason)


def _pace(
    recipe: Recipe,
    corpus: Statistics,
    is_open: set[str],
    found: int | None,
    size: Size,
    size_reason: str,
    kind: str,
) -> Iterator[Choice]:
    """How training goes: batches, their number, rates and noise."""
    training = recipe.training
    tokens = 1 + corpus.tgt.words * (1.3 if kind == "bpe" else 1.0)
    per_unit = tokens if training.batch_type == "tokens" else 1.0
    usual = round(size.batch_size * per_unit)
    is_auto = training.batch_size == AUTO
    reason = "auto: found for this corpus and device" if is_auto else size_reason
    yield Choice("training.batch_size", found or usual, reason)
    batch_size = (found or usual) if "training.batch_size" in is_open else training.batch_size
    # The number of updates grows with the root of the corpus: 18,000 for Multi30k, never so few
    # that attention isn't found, which takes some thousand, as far as MAX_EPOCHS go. Larger batches
    # take fewer.
    growth = batch_size / usual if is_auto else 1.0
    updates = max(MIN_UPDATES, 18_000 * math.sqrt(corpus.pairs / 29_000 / growth))
    per_epoch = per_pass = max(1.0, corpus.pairs * per_unit / batch_size / training.accumulate)
    if recipe.data.streaming:
        per_epoch = training.updates_per_epoch or UPDATES_PER_EPOCH
    epochs = min(MAX_EPOCHS, math.ceil(updates / per_epoch))
    yield from _length(recipe, corpus, is_open, epochs, per_epoch, per_pass)
    rate = size.learning_rate, size_reason
    if training.optimizer not in ("adam", "adamw"):
        rate = RATES[training.optimizer][1], f"usual for {training.optimizer}"
    yield Choice("training.learning_rate", *rate)
    if recipe.model.reads_source:
        yield Choice("training.src_word_dropout", size.word_dropout, size_reason)
    yield Choice("training.tgt_word_dropout", size.word_dropout, size_reason)
    # An average over the last twentieth of training or so, of a short one over the last tenth.
    updates = min(updates, epochs * per_epoch)
    decay = 0.998 if updates < 10_000 else 0.999 if updates < 50_000 else 0.9995
    average = round(min(decay, 1 - 10 / updates), 4), f"about {updates:,.0f} updates"
    if training.l1:
        average = 0.0, "weights that l1 makes zero are none in an average"
    yield Choice("training.ema_decay", *average)


def _copying(corpus: Statistics, kind: str, joint: bool) -> Choice:
    """Whether symbols are copied: in inflection, where most of an output stands in its source.

    With it, 81.8 words of 100 instead of 80.3 in Turkish (71 % stand there), and 85.3 with the
    sizes of `COPIES`; but, half way through training, 90.1 instead of 91.8 in French pronunciation
    (54 %), where a letter seldom is its own sound. Text copies little but names.
    """
    share = corpus.copied_words if kind == "word" else corpus.copied_characters
    unit = "characters of the text" if kind == "bpe" else "symbols"
    reason = f"{share:.0%} of the {unit} stand in their source too"
    return Choice(
        "model.decoder.copy_attention", joint and kind != "bpe" and share >= COPIED, reason
    )


def _attention(is_open: set[str], is_text: bool, is_lexical: bool, what: str) -> Iterator[Choice]:
    """How the source is read: in text a word depends on several others, and rare ones on one.

    On Multi30k, after 1,000 updates the loss on the development set is 2.70 with one `luong` head,
    2.35 with eight scaled heads and 2.06 with these and the lexical model.
    Symbols follow one another, and so does the attention.
    """
    if "model.decoder.attention" in is_open:
        yield Choice("model.decoder.attention", "scaled_dot" if is_text else "luong", what)
        yield Choice("model.decoder.attention_heads", HEADS if is_text else 1, what)
    yield Choice("model.decoder.lexical", is_lexical, what)


def _network(recipe: Recipe, size: Size, reason: str) -> Iterator[Choice]:
    parts = {"encoder": 0, "decoder": 1} if recipe.model.reads_source else {"decoder": 1}
    for part, i in parts.items():
        yield Choice(f"model.{part}.embedding_dim", size.embedding_dim, reason)
        yield Choice(f"model.{part}.hidden_size", size.hidden_size[i], reason)
        yield Choice(f"model.{part}.num_layers", size.num_layers[i], reason)


def _pairs(recipe: Recipe, corpus: Statistics) -> str:
    """How many pairs are known."""
    first = "the first " * recipe.data.streaming
    return f"{first}{corpus.pairs:,} pair{'s' * (corpus.pairs != 1)}"


def _length(
    recipe: Recipe,
    corpus: Statistics,
    is_open: set[str],
    epochs: int,
    updates_per_epoch: float,
    updates_per_pass: float,
) -> Iterator[Choice]:
    """How many epochs there are, and how often they are looked at."""
    training, is_stream = recipe.training, recipe.data.streaming
    reason = "a stream tells no end" if is_stream else "an epoch is a pass over the pairs"
    yield Choice("training.updates_per_epoch", updates_per_epoch if is_stream else None, reason)
    length = _max_epochs(training, _pairs(recipe, corpus), epochs, updates_per_epoch)
    epochs = length.value if length.key in is_open else training.max_epochs
    yield length
    pairs_per_update = max(1, corpus.pairs) / updates_per_pass
    yield _validate_every(training, pairs_per_update, epochs, updates_per_epoch)


def _max_epochs(training: Training, pairs: str, epochs: int, updates_per_epoch: float) -> Choice:
    """These, or more where the number of updates is given."""
    reason = f"{epochs * updates_per_epoch:,.0f} updates for {pairs}"
    if training.max_updates:
        # With a margin for pairs that are too long.
        epochs = max(epochs, math.ceil(2 * training.max_updates / updates_per_epoch))
        reason = "max_updates comes first"
    return Choice("training.max_epochs", epochs, reason)


def _validate_every(
    training: Training, pairs_per_update: float, epochs: int, updates_per_epoch: float
) -> Choice:
    """Once an epoch where that is neither far too often nor far too seldom."""
    updates = min(epochs * updates_per_epoch, training.max_updates or math.inf)
    least = PAIRS_BETWEEN / pairs_per_update
    every = min(max(updates / NUM_VALIDATIONS, least), updates / MIN_VALIDATIONS, MAX_BETWEEN)
    every = max(every, min(least, updates_per_epoch))  # a trial is validated at its end
    reason = f"{updates:,.0f} updates, about {updates_per_epoch:,.0f} an epoch"
    if every / 2 <= updates_per_epoch <= 2 * every:
        return Choice("training.validate_every", None, reason)
    return Choice("training.validate_every", int(float(f"{every:.2g}")), reason)


def _nature(corpus: Statistics) -> tuple[str, str]:
    """The type of tokenizer, and why."""
    sides = corpus.src, corpus.tgt
    are_symbols = [_is_symbols(side, corpus.distinct_pairs) for side in sides]
    if all(are_symbols):
        counts = " and ".join(f"{side.distinct_words:,}" for side in sides)
        return "word", f"{counts} different symbols"
    # Beside a word there may be symbols, or it again with tags. A short sentence without spaces
    # looks like a word, but has a sentence beside it.
    are_few = [_is_dictionary(side, words=3, characters=50) for side in sides]
    fit = all(map(operator.or_, are_symbols, are_few)) or corpus.copied_characters >= COPIED
    characters = 10 if corpus.tgt_unspaced > 0.5 else 25
    if fit and any(_is_dictionary(side, characters=characters) for side in sides):
        return "char", "lines are single words"
    return "bpe", "sentences of many different words"


def _is_symbols(side: Side, pairs: float) -> bool:
    """Whether a side has characters for words, or few words and no new one is to be expected.

    It is where the pairs, all different ones, have each word 20 times.
    """
    is_closed = side.distinct_words < 500 and side.words * pairs >= 20 * side.distinct_words
    return side.single >= 0.8 or is_closed


def _is_dictionary(side: Side, words: float = 1.2, characters: int = 25) -> bool:
    """Whether lines are single words, or fewer than so many, in an alphabet."""
    is_short = side.words < words and side.characters < characters
    return is_short and side.distinct_characters < 300


def _vocab_size(recipe: Recipe, corpus: Statistics, size: Size, is_cut: bool) -> Choice:
    """Where words are cut, pieces as in the table or fewer, but all characters; else all words."""
    words = corpus.src.distinct_words + corpus.tgt.distinct_words
    characters = corpus.src.distinct_characters + corpus.tgt.distinct_characters
    characters += 256 if recipe.tokenizer.byte_fallback else 0
    if not is_cut:
        pieces = max(size.vocab_size, 2 * words)
        return Choice("tokenizer.vocab_size", pieces, "room for all symbols")
    usual = size.vocab_size, _pairs(recipe, corpus)
    unit = OUTPUT_MULTIPLE
    most = words // (2 * unit) * unit, f"{words:,} different words"
    least = -(-2 * characters // unit) * unit, f"{characters:,} different characters"
    return Choice("tokenizer.vocab_size", *max(least, min(most, usual)))


def choose(
    recipe: Recipe,
    corpus: Statistics,
    first: Recipe | None = None,
    batch_size: int | None = None,
    kept: Mapping[str, Any] = MappingProxyType({}),
) -> Completed:
    """Complete a recipe for a corpus.

    A choice that conflicts with what is given, or with another choice, is not made; the key then
    has the default of its section, with which the recipe was found to be free of conflicts.

    Args:
        recipe: with open keys.
        corpus: its training text.
        first: of the run that training begins with, if it does with one: its tokenizer and the
            sizes of its network stay.
        batch_size: what `training.batch_size: auto` has been found to be.
        kept: choices that stay as they were made, by key, although what they depend on may change.

    Raises:
        SettingsError: what is given conflicts with a choice that is kept.
    """
    is_open = set(open_keys(recipe))
    while True:
        choices = {c.key: c for c in _rules(recipe, corpus, is_open, batch_size)}
        choices = {key: choice for key, choice in choices.items() if key in is_open}
        if first is not None:
            reason = f"as in {recipe.training.init_from}"
            for key in choices:
                if key.startswith(("model.", "tokenizer.")) and key != "model.dropout":
                    choices[key] = Choice(key, value_at(first, key), reason)
        for key in kept.keys() & choices.keys():
            choices[key] = replace(choices[key], value=kept[key])
        complete = recipe
        for choice in choices.values():
            complete = _replaced(complete, choice.key.split("."), choice.value)
        forbidden = None
        for conflict in find_conflicts(complete):
            keys = [dotted(key) for key in conflict.keys]
            if not kept.keys().isdisjoint(keys):
                raise SettingsError([f"{keys[0]}: {conflict.text}"])
            forbidden = forbidden or next((key for key in keys if key in choices), None)
        if forbidden is None:
            return Completed(complete, {key: choice.reason for key, choice in choices.items()})
        # What else is chosen may go by it.
        is_open.remove(forbidden)


def _replaced(section: AnySection, path: list[str], value: Any) -> AnySection:
    name, *rest = path
    value = _replaced(getattr(section, name), rest, value) if rest else value
    return section.model_copy(update={name: value})


def value_at(section: Any, key: str) -> Any:
    """The value of a dotted key."""
    for name in key.split("."):
        section = getattr(section, name)
    return section


def open_keys(recipe: Recipe) -> list[str]:
    """The keys, dotted, whose values are to be chosen since nobody gave them, or gave `auto`."""
    keys = (dotted(key.path) for key in walk(Recipe) if key.chosen_from)
    return [key for key in keys if not _is_given(recipe, key)]


def _is_given(recipe: Recipe, key: str) -> bool:
    section, _, name = key.rpartition(".")
    return name in value_at(recipe, section).model_fields_set and value_at(recipe, key) != AUTO
