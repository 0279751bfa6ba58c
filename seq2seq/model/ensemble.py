"""Several models that predict together."""

import copy
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
        members: a state for each model, that of the language model last.
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
    is the target vocabulary. One model alone predicts as it always does. A language model may have
    its say in all of it (shallow fusion, Gulcehre et al. 2015): then log-probabilities are the sum
    of the others' and its own, times a factor.

    Args:
        models: one or more.
        weights: positive numbers, one per model, by which they count; by default all alike.
        language_model: of the target vocabulary, if there is one.
        factor: of its log-probabilities.
    """

    def __init__(
        self,
        models: Sequence[Seq2Seq],
        weights: Sequence[float] | None = None,
        language_model: Seq2Seq | None = None,
        factor: float = 1.0,
    ) -> None:
        self.models = tuple(models)
        self.language_model = language_model
        self.factor = factor
        given = [1.0] * len(models) if weights is None else list(weights)
        self.ids: Tensor | None = None
        # Logarithms first: numbers may be so large that there is no sum of them.
        logs = torch.tensor(given, dtype=torch.float64).log()
        self.log_shares: list[float] = torch.log_softmax(logs, dim=0).tolist()

    def narrow(self, ids: Tensor) -> "Ensemble":
        """The same ensemble in a language of target tokens ids (V',) alone.

        It takes and gives places in this list instead of ids. The first tokens are the special
        ones.
        """
        ensemble = copy.copy(self)
        ensemble.models = tuple(narrow(model, ids) for model in self.models)
        if self.language_model is not None:
            ensemble.language_model = narrow(self.language_model, ids)
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
        members = [model.encode(src, lengths) for model, (src, lengths) in pairs]
        if self.language_model is not None:
            members.append(self.language_model.encode(*sources[0]))  # all it sees is how many
        return EnsembleState(tuple(members), shortlist)

    def step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """A search step: last tokens (N,) -> log of the mean probabilities (N, V) of the next."""
        if self.ids is not None:
            tokens = self.ids[tokens]
        models = self.models if self.language_model is None else (*self.models, self.language_model)
        pairs = zip(models, state.members, strict=True)
        allowed = None if state.shortlist is None else state.shortlist.allowed
        predictions, states = zip(
            *(model.step(tokens, own, allowed) for model, own in pairs), strict=True
        )
        log_probs: Tensor = predictions[0]
        others = predictions[1 : len(self.models)]
        for other, share in zip(others, self.log_shares[1:], strict=True):
            if share != self.log_shares[0]:
                other += share - self.log_shares[0]
            log_probs = torch.logaddexp(log_probs, other)
        if others:
            log_probs += self.log_shares[0]
        if self.language_model is not None:
            log_probs = torch.add(log_probs, predictions[-1], alpha=self.factor)
        return log_probs, EnsembleState(states, state.shortlist)
