"""Several models that predict together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.model.decoder import DecoderState
from seq2seq.model.seq2seq import Seq2Seq


@dataclass(frozen=True)
class EnsembleState:
    """Where each decoder of an ensemble is, all for the same rows and sentences."""

    members: tuple[DecoderState, ...]

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "EnsembleState":
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""
        return EnsembleState(tuple(member.select(rows, sentences) for member in self.members))


class Ensemble:
    """Predicts the next token by the mean of the models' probabilities.

    The models may be built and may read the source as differently as they like; what they share
    is the target vocabulary. One model alone predicts as it always does.
    """

    def __init__(self, models: Sequence[Seq2Seq]) -> None:
        self.models = tuple(models)
        self.log_shares = [-math.log(len(models))] * len(models)

    def encode(self, sources: Sequence[tuple[Tensor, Tensor]]) -> EnsembleState:
        """Read each model's ids (B, S) with their lengths (B,) on the CPU, a pair per model."""
        pairs = zip(self.models, sources, strict=True)
        return EnsembleState(tuple(model.encode(src, lengths) for model, (src, lengths) in pairs))

    def step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """A search step: last tokens (N,) -> log of the mean probabilities (N, V) of the next."""
        pairs = zip(self.models, state.members, strict=True)
        predictions, states = zip(*(model.step(tokens, own) for model, own in pairs), strict=True)
        log_probs: Tensor = predictions[0]
        for other in predictions[1:]:
            log_probs = torch.logaddexp(log_probs, other)
        if len(predictions) > 1:
            log_probs += self.log_shares[0]
        return log_probs, EnsembleState(states)
