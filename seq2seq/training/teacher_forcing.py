"""What the decoder reads in training: reference tokens, or its own predictions among them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from seq2seq import recipe
from seq2seq.model.decoder import DecoderState
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import BOS, PAD
from seq2seq.training.loss import best_tokens
from seq2seq.training.predictions import predictions_at

TEACHER_FORCING_DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "exponential": lambda done: math.exp(-5 * done),
    "inverse_sigmoid": lambda done: 1 / (1 + math.exp(12 * done - 6)),
}
"""How much is left of the way from 1 to the final ratio, when a share of it is done."""


def forcing_ratio(section: recipe.Training, update: int) -> float:
    """Probability that a token is the reference's, after a number of updates."""
    done = update / section.teacher_forcing_updates
    decay = section.teacher_forcing_decay
    left = 0.0 if decay is None or done >= 1 else TEACHER_FORCING_DECAYS[decay](done)
    return section.teacher_forcing + (1 - section.teacher_forcing) * left


def mix_predictions(
    model: Seq2Seq,
    src: Tensor,
    tokens: Tensor,
    state: DecoderState,
    draws: Tensor,
    ratio: float,
) -> Tensor:
    """Replace some of the tokens by what the model holds most likely after the reference.

    All predictions come from one pass over the references, so there is no loop over time
    (Mihaylova & Martins 2019, one pass with argmax; Duckworth et al. 2019). Gradients flow through
    the pass that reads the mixture only.

    Args:
        model: gives the predictions, under the dropout that it is in.
        src: source ids, (B, S).
        tokens: (B, T), beginning with the begin mark, padded.
        state: where the decoder starts.
        draws: (B, T) uniform numbers in [0, 1); a token is kept where they are below the ratio.
        ratio: probability to keep a token.
    """
    with torch.no_grad():
        places = torch.arange(tokens.numel(), device=tokens.device)
        seen = predictions_at(places, model, *model.decode(tokens, state), src)
        predicted = best_tokens(seen).view(tokens.shape)
    kept = (draws < ratio) | (tokens == BOS) | (tokens == PAD)
    return torch.where(kept, tokens, predicted.roll(1, dims=1))
