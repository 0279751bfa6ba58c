"""Training on references."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from seq2seq import recipe
from seq2seq.data.batch import Batch
from seq2seq.device import autocast
from seq2seq.draws import uniform
from seq2seq.model.decoder import DecoderState, join_steps
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import PAD
from seq2seq.training.loss import Loss, output_loss
from seq2seq.training.predictions import predictions_at
from seq2seq.training.progress import Progress
from seq2seq.training.teacher_forcing import forcing_ratio, mix_predictions


class CrossEntropy:
    """Negative log-likelihood of the references, each token after the reference up to it.

    Args:
        section: settings; they can have some of the tokens up to it be predictions.
        seed: of the draws of these.
    """

    def __init__(self, section: recipe.Training, seed: int) -> None:
        self.section = section
        self.seed = seed

    def size(self, batch: Batch) -> int:
        """Target tokens."""
        return batch.num_tokens

    def __call__(self, model: Seq2Seq, batch: Batch, progress: Progress) -> Loss:
        """See `Objective`."""
        section = self.section
        read = twice(batch) if section.r_drop else batch
        with autocast(batch.src.device, section.precision):
            state = model.encode(read.src_in, read.src_lengths, read.src)
            tokens = self._mix(model, read, state, progress)
            decoded = decode_in_parts(model, tokens, state, section.truncate)
        return features_loss(model, *decoded, batch, section.label_smoothing, section.r_drop)

    def _mix(self, model: Seq2Seq, batch: Batch, state: DecoderState, progress: Progress) -> Tensor:
        """What the decoder reads, (B, T)."""
        tokens, ratio = batch.tgt_in, forcing_ratio(self.section, progress.update)
        if ratio == 1:
            return tokens
        places = batch.index[:, None], np.arange(tokens.shape[1])
        draws = torch.from_numpy(uniform(self.seed, "teacher_forcing", progress.update, *places))
        return mix_predictions(model, batch.src, tokens, state, draws.to(tokens.device), ratio)


def decode_in_parts(
    model: Seq2Seq, tokens: Tensor, state: DecoderState, steps: int | None
) -> tuple[Tensor, DecoderState]:
    """Decode a target so that no gradient flows back further than a part of it.

    Args:
        model: the network.
        tokens: what the decoder reads, (B, T).
        state: where it starts.
        steps: of a part; None for all in one.

    Returns:
        Features (B, T, R), and the state after them with the attention weights of all steps.
    """
    if steps is None:
        return model.decode(tokens, state)
    features, weights = [], []
    for part in torch.split(tokens, steps, dim=1):
        feature, state = model.decode(part, state)
        features.append(feature)
        weights.append(state.weights)
        state = state.detach()
    return torch.cat(features, dim=1), replace(state, weights=join_steps(weights))


def features_loss(
    model: Seq2Seq,
    features: Tensor,
    state: DecoderState,
    batch: Batch,
    label_smoothing: float = 0.0,
    r_drop: float = 0.0,
) -> Loss:
    """Loss at the real positions of a batch.

    Args:
        model: the network.
        features: (B, T, R), or (2B, T, R) of two passes.
        state: after them.
        batch: what they are to predict.
        label_smoothing: see `output_loss`.
        r_drop: see `output_loss`.
    """
    targets = batch.tgt_out.flatten()
    # Their number is known, so nobody has to wait for the device to count them.
    real = (targets != PAD).nonzero_static(size=batch.num_tokens).squeeze(1)
    predictions = predictions_at(real, model, features, state, batch.src)
    return output_loss(predictions, targets.index_select(0, real), label_smoothing, r_drop)


def twice(batch: Batch) -> Batch:
    """The pairs of a batch, and all of them again below."""
    return replace(
        batch,
        src=batch.src.repeat(2, 1),
        src_in=batch.src_in.repeat(2, 1),
        src_lengths=batch.src_lengths.repeat(2),
        tgt_in=batch.tgt_in.repeat(2, 1),
        tgt_out=batch.tgt_out.repeat(2, 1),
        index=np.tile(batch.index, 2),
        num_tokens=2 * batch.num_tokens,
    )
