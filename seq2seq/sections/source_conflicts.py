"""What goes with a source alone, or with none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from seq2seq.keys import show
from seq2seq.settings import Conflict

if TYPE_CHECKING:
    from seq2seq.recipe import Recipe

_OF_SOURCE = "language_model", "glossary", "shortlist", "mbr", "split_sentences", "replace_unk"
"""Keys of `decoding` that have no part in writing text."""


def find_source_conflicts(recipe: Recipe) -> Iterator[Conflict]:
    """What only a model that reads a source has, and what only one that reads none."""
    model, data, training = recipe.model, recipe.data, recipe.training
    if model.reads_source:
        if data.src is None:
            yield Conflict("src is required, but not given; for example `src: en`", "data")
        if model.bridge is None and model.decoder.attention is None:
            text = "without attention the decoder sees nothing of the source; set dense, or give "
            keys = "model.bridge", "model.decoder.attention"
            yield Conflict(f"{text}decoder.attention", *keys)
        return
    if data.src is not None:
        text = "a language model reads text of data.tgt alone; set null, or remove it"
        yield Conflict(text, "data.src", "model.type")
    metric = training.early_stopping_metric
    without: dict[str, tuple[bool, str]] = {
        "model.decoder.attention": (model.decoder.attention is not None, "null"),
        "model.bridge": (model.bridge is not None, "null"),
        "model.tied_embeddings": (model.tied_embeddings == "three_way", "two_way"),
        "training.early_stopping_metric": (metric not in ("loss", "perplexity"), "loss"),
        "training.src_word_dropout": (training.src_word_dropout > 0, "0"),
        "training.src_shuffle": (training.src_shuffle > 0, "0"),
        "training.objective": (training.objective == "minimum_risk", "cross_entropy"),
        "data.reverse_src": (data.reverse_src, "false"),
        "data.distillation.runs": (data.distillation.runs is not None, "null"),
        "data.back_translation.runs": (data.back_translation.runs is not None, "null"),
    }
    for key in _OF_SOURCE:
        value, off = getattr(recipe.decoding, key), type(recipe.decoding).model_fields[key].default
        without[f"decoding.{key}"] = value != off, show(off)
    for key, (is_given, off) in without.items():
        if is_given:
            text = f"a language model has no source and translates nothing; set {off}"
            yield Conflict(text, key, "model.type")
