"""Several models that predict together."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.model.decoder import DecoderState
from seq2seq.model.precision import narrow
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.model.shortlist import Shortlist


@dataclass(frozen=True)
class EnsembleState:
    """Where each decoder of an ensemble is, all for the same rows and sentences.

    Attributes:
        members: a state for each model.
        shortlist: the tokens to look at, if not all.
    """

    members: tuple[DecoderState, ...]
    shortlist: Shortlist | None = None

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "EnsembleState":
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""
        shortlist = self.shortlist
        if shortlist is not None and sentences is not None:
            shortlist = shortlist.select(sentences)
        return EnsembleState(
            tuple(member.select(rows, sentences) for member in self.members), shortlist
        )


class Ensemble:
    """Predicts the next token by the mean of the models' probabilities.

    The models may be built and may read the source as differently as they like; what they share
    is the target vocabulary. One model alone predicts as it always does.

    Args:
        models: one or more.
        weights: positive numbers, one per model, by which they count; by default all alike.
    """

    def __init__(self, models: Sequence[Seq2Seq], weights: Sequence[float] | None = None) -> None:
        self.models = tuple(models)
        given = [1.0] * len(models) if weights is None else list(weights)
        self.ids: Tensor | None = None
        self.log_shares = [math.log(weight / sum(given)) for weight in given]

    def narrow(self, ids: Tensor) -> "Ensemble":
        """The same ensemble in a language of target tokens ids (V',) alone.

        It takes and gives places in this list instead of ids. The first tokens are the special
        ones.
        """
        ensemble = copy.copy(self)
        ensemble.models = tuple(narrow(model, ids) for model in self.models)
        ensemble.ids = ids
        return ensemble

    def encode(
        self, sources: Sequence[tuple[Tensor, Tensor]], shortlist: Shortlist | None = None
    ) -> EnsembleState:
        """Read the sources.

        Args:
            sources: each model's ids (B, S) with their lengths (B,) on the CPU.
            shortlist: to whose ids the ensemble was narrowed.
        """
        pairs = zip(self.models, sources, strict=True)
        members = tuple(model.encode(src, lengths) for model, (src, lengths) in pairs)
        return EnsembleState(members, shortlist)

    def step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """A search step: last tokens (N,) -> log of the mean probabilities (N, V) of the next."""
        if self.ids is not None:
            tokens = self.ids[tokens]
        pairs = zip(self.models, state.members, strict=True)
        allowed = None if state.shortlist is None else state.shortlist.allowed
        predictions, states = zip(
            *(model.step(tokens, own, allowed) for model, own in pairs), strict=True
        )
        log_probs: Tensor = predictions[0]
        for other, share in zip(predictions[1:], self.log_shares[1:], strict=True):
            if share != self.log_shares[0]:
                other += share - self.log_shares[0]
            log_probs = torch.logaddexp(log_probs, other)
        if len(predictions) > 1:
            log_probs += self.log_shares[0]
        return log_probs, EnsembleState(states, state.shortlist)
