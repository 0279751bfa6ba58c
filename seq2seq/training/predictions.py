"""What a network predicts at the places that a loss looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.model.decoder import DecoderState
from seq2seq.model.lexical import Output
from seq2seq.model.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Predictions:
    """Distributions over the next token at N places, before the output layer makes them.

    Of two passes that differ by their dropout there are P = 2 at each place, otherwise there is
    P = 1. A model that copies has its distributions as g · P_vocabulary + (1 - g) · (weights at
    the places of a token).

    Attributes:
        output: layer from features to logits (V).
        rows: features (P, N, R); of a model that copies also log g (P, N), log (1 - g) (P, N) and
            weights (P, N, S). What has a gradient.
        src: source ids (N, S) of a model that copies.
    """

    output: Output
    rows: tuple[Tensor, ...]
    src: Tensor | None = None

    @property
    def features(self) -> Tensor:
        """Features (P, N, R)."""
        return self.rows[0]


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Those of one network at the places of all parts."""
    src = [part.src for part in parts if part.src is not None]
    return Predictions(
        parts[0].output,
        tuple(torch.cat(rows, dim=1) for rows in zip(*(p.rows for p in parts), strict=True)),
        torch.cat(src) if src else None,
    )


def predictions_at(
    places: Tensor, model: Seq2Seq, features: Tensor, state: DecoderState, src: Tensor
) -> Predictions:
    """The predictions at some of the places of a batch.

    Args:
        places: (N,) numbers of places, counted row by row.
        model: the network.
        features: (B, T, R), or (2B, T, R) of two passes.
        state: after them.
        src: source ids, (B, S).
    """
    steps = features.shape[1]

    def chosen(part: Tensor) -> Tensor:
        return part.reshape(-1, len(src) * steps, part.shape[2]).index_select(1, places)

    seen = chosen(features)
    if model.copying is None:
        return Predictions(model.output, (seen,))
    assert state.weights is not None
    rows = seen, *model.copying.log_gates(seen), chosen(state.weights)
    return Predictions(model.output, rows, src.index_select(0, places // steps))
