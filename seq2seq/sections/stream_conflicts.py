"""What doesn't go with training pairs that are streamed, or only with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from seq2seq.settings import Conflict

if TYPE_CHECKING:
    from seq2seq.recipe import Recipe

_TRANSLATIONS = "the translations are kept on disk; set runs: null, or data.streaming: false"


def find_stream_conflicts(recipe: Recipe) -> Iterator[Conflict]:
    """The combinations of `data.streaming` with other keys that cannot be."""
    data = recipe.data
    if not data.streaming:
        if recipe.training.updates_per_epoch is not None:
            text = "an epoch is a pass over the pairs; set null, or data.streaming: true"
            yield Conflict(text, "training.updates_per_epoch", "data.streaming")
        return
    training = recipe.training
    wrong = {
        "training.updates_per_epoch": (
            "updates_per_epoch" in training.model_fields_set and training.updates_per_epoch is None,
            "a stream has no end to count epochs by; give a number, or leave the key out",
        ),
        "data.temperature": (
            data.temperature is not None,
            "needs the sizes of corpora, which a stream does not tell; give data.weights instead",
        ),
        "data.distillation.runs": (data.distillation.runs is not None, _TRANSLATIONS),
        "data.back_translation.runs": (data.back_translation.runs is not None, _TRANSLATIONS),
        "decoding.shortlist": (
            recipe.decoding.shortlist > 0,
            "is learnt from encoded pairs, and a stream keeps none; set 0",
        ),
    }
    for key, (given, text) in wrong.items():
        if given:
            yield Conflict(text, key, "data.streaming")
