"""Cross-entropy computed together with the output layer, a chunk of tokens at a time."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.model.lexical import Output

ROW_MULTIPLE = 64
"""Features are filled up to a multiple of this: matrix products of ever new shapes would each need
a kernel of their own, which takes time and, in oneDNN's cache, memory."""

IGNORED = -100
"""Target of the rows that only fill up."""

CHUNK_ENTRIES = 7 * 2**20
"""Logits made at a time: 28 MiB in float32, which glibc reuses; see `device.tune_memory`."""


@dataclass(frozen=True)
class Loss:
    """Sums over the target tokens of a batch, both scalars.

    Attributes:
        objective: what training minimises, label smoothing included.
        cross_entropy: negative log-likelihood in nats; perplexity is the exponential of its mean.
    """

    objective: Tensor
    cross_entropy: Tensor


def output_loss(
    output: Output, features: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Loss:
    """Loss of features (N, R) under the output layer for targets (N,), all of them real tokens.

    Args:
        output: layer from features to logits (V); products are made in the type of the features.
        features: (N, R).
        targets: (N,) token ids.
        label_smoothing: mass on the uniform distribution (Szegedy et al. 2016, section 7).
    """
    missing = -len(targets) % ROW_MULTIPLE
    features, targets = (
        F.pad(features, (0, 0, 0, missing)),
        F.pad(targets, (0, missing), value=IGNORED),
    )
    objective, cross_entropy = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        features, output.weight, output.bias, targets, label_smoothing, torch.is_grad_enabled()
    )
    return Loss(objective, cross_entropy)


class _ChunkedLoss(torch.autograd.Function):
    """Takes the gradients of each chunk while its logits are there, so they never exist at once."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        smoothing: float,
        with_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        size = ROW_MULTIPLE * max(1, CHUNK_ENTRIES // weight.shape[0] // ROW_MULTIPLE)
        weight_cast = weight.detach().to(features.dtype).requires_grad_(with_grad)
        bias_cast = bias.detach().to(features.dtype).requires_grad_(with_grad)
        totals = weight.new_zeros(2)
        feature_grads = []
        weight_grad, bias_grad = torch.zeros_like(weight), torch.zeros_like(bias)
        for chunk, target in zip(
            torch.split(features, size), torch.split(targets, size), strict=True
        ):
            chunk = chunk.detach().requires_grad_(with_grad)
            with torch.set_grad_enabled(with_grad):
                logits = F.linear(chunk, weight_cast, bias_cast).float()
                objective = F.cross_entropy(
                    logits, target, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
                )
            # Smoothed loss = plain loss + ε (logit of the target - mean logit).
            plain = logits.detach()
            target_logits = plain.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
            gap = (target_logits - plain.mean(dim=1)).masked_select(target != IGNORED).sum()
            totals += torch.stack((objective.detach(), objective.detach() - smoothing * gap))
            if with_grad:
                grads = torch.autograd.grad(objective, (chunk, weight_cast, bias_cast))
                feature_grads.append(grads[0])
                weight_grad += grads[1]
                bias_grad += grads[2]
        if with_grad:
            ctx.save_for_backward(torch.cat(feature_grads), weight_grad, bias_grad)
        objective, cross_entropy = totals.unbind()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        features, weight, bias = ctx.saved_tensors
        scale = grads[0]
        return features * scale.to(features.dtype), weight * scale, bias * scale, None, None, None
