"""Training pairs as a recipe wants them: encoded ones from disk, or a stream."""

import json
import logging
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from seq2seq import recipe as recipes
from seq2seq.data.clean import Limits
from seq2seq.data.corpus import Pair, read_pairs
from seq2seq.data.encoding import ChunkEncoder, EncodedCorpus, Sampling
from seq2seq.data.mixture import Mixture, temperature_weights
from seq2seq.data.noise import Noise, build_noise
from seq2seq.data.stream import Stream, read_beginning
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import DataError

logger = logging.getLogger(__name__)

LINES = "lines.json"
"""How many lines each corpus has, in the folder of encoded pairs."""


def read_first(data: recipes.Data) -> Iterator[Pair]:
    """The pairs that tokenizers and defaults come from: all, or the first of a stream."""
    return read_beginning(data) if data.streaming else read_pairs(data.train, data, "train")


def is_mixed(data: recipes.Data) -> bool:
    """Whether corpora are drawn from by weight."""
    return data.weights is not None or data.temperature is not None


def load_train(
    recipe: recipes.Recipe, folder: Path, tokenizers: Tokenizers, corpora: Sequence[recipes.Corpus]
) -> EncodedCorpus:
    """The encoded training pairs, with what the recipe wants to be done to them.

    Raises:
        DataError: None are left after cleaning.
    """
    data, train = recipe.data, EncodedCorpus(folder, *_changes(recipe, tokenizers))
    if not len(train):
        raise DataError(f"data.train: {train.ledger}; {train.ledger.remedy}")
    if is_mixed(data):
        ends = accumulate(json.loads((folder / LINES).read_text(encoding="utf-8")))
        counts = [0, *(train.count_before(end) for end in ends)]
        sizes = [after - before for before, after in pairwise(counts)]
        weights = data.weights or temperature_weights(sizes, data.temperature or 1)
        train.mixture = Mixture(sizes, weights, recipe.seed)
        shares = zip(corpora, train.mixture.shares, sizes, strict=True)
        logger.info(
            "an epoch draws %s",
            ", ".join(f"{n:,} times from {c.path or c.src} ({size:,})" for c, n, size in shares),
        )
    return train


def build_stream(recipe: recipes.Recipe, tokenizers: Tokenizers) -> Stream:
    """The training pairs as they come."""
    data, with_text = recipe.data, recipe.tokenizer.sampling > 0
    limits = Limits(data.max_length, data.max_ratio, recipe.model.reads_source)
    encoder = ChunkEncoder(tokenizers, limits, with_text)
    return Stream(data, encoder, *_changes(recipe, tokenizers))


def _changes(
    recipe: recipes.Recipe, tokenizers: Tokenizers
) -> tuple[Sampling | None, Noise | None]:
    """What the recipe wants to be done to training pairs, anew in each epoch."""
    amount = recipe.tokenizer.sampling
    sampling = Sampling(tokenizers, amount, recipe.seed) if amount > 0 else None
    return sampling, build_noise(recipe.training, recipe.seed)
