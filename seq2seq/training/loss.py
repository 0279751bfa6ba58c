"""Cross-entropy computed together with the output layer, a chunk of tokens at a time."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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
        objective: what training minimises, label smoothing and all else included.
        cross_entropy: negative log-likelihood in nats; perplexity is the exponential of its mean.
    """

    objective: Tensor
    cross_entropy: Tensor


def output_loss(
    output: Output,
    features: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    r_drop: float = 0.0,
) -> Loss:
    """Loss of features (N, R) under the output layer for targets (N,), all of them real tokens.

    Features of two passes, (2, N, R), cost the mean of both.

    Args:
        output: layer from features to logits (V); products are made in the type of the features.
        features: (N, R), or (2, N, R) from two passes that differ by their dropout.
        targets: (N,) token ids.
        label_smoothing: mass on the uniform distribution (Szegedy et al. 2016, section 7).
        r_drop: alpha of R-Drop (Liang et al. 2021, equation 4), for two passes: with their
            distributions p and q, alpha/4 (KL(p‖q) + KL(q‖p)) is added for each token. That is
            half of the paper's loss, which has the sum of the two cross-entropies where this has
            their mean: so alpha is the paper's, and losses compare with those of one pass.
    """
    missing = -len(targets) % ROW_MULTIPLE
    passes = features if features.dim() == 3 else features.unsqueeze(0)
    assert not r_drop or len(passes) == 2, len(passes)
    objective, cross_entropy = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        F.pad(passes, (0, 0, 0, missing)),
        output.weight,
        output.bias,
        F.pad(targets, (0, missing), value=IGNORED),
        label_smoothing,
        r_drop,
        torch.is_grad_enabled(),
    )
    return Loss(objective, cross_entropy)


def token_losses(output: Output, features: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood (N,) in nats of each target (N,) by features (N, R).

    For objectives that aren't sums over tokens: what each token counts is known only when all are
    summed up, so the logits are made again for the gradient, a chunk at a time.
    """
    weight, bias = output.weight.to(features.dtype), output.bias.to(features.dtype)

    def losses(chunk: Tensor, target: Tensor) -> Tensor:
        logits = F.linear(chunk, weight, bias).float()
        return F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none")

    missing = -len(targets) % ROW_MULTIPLE
    filled = F.pad(features, (0, 0, 0, missing)), F.pad(targets, (0, missing), value=IGNORED)
    chunks = zip(*(torch.split(part, _chunk_rows(len(weight))) for part in filled), strict=True)
    parts = [
        checkpoint(losses, *chunk, use_reentrant=False, preserve_rng_state=False)
        for chunk in chunks
    ]
    return torch.cat(parts)[: len(targets)]


@torch.no_grad()
def best_tokens(output: Output, features: Tensor) -> Tensor:
    """The most likely token, (N,), by features (N, R), a chunk of them at a time."""
    weight, bias = output.weight.to(features.dtype), output.bias.to(features.dtype)
    chunks = torch.split(features, _chunk_rows(len(weight)))
    return torch.cat([F.linear(chunk, weight, bias).argmax(dim=1) for chunk in chunks])


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
        r_drop: float,
        with_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        passes = len(features)
        size = _chunk_rows(passes * len(weight))
        weight_cast = weight.detach().to(features.dtype).requires_grad_(with_grad)
        bias_cast = bias.detach().to(features.dtype).requires_grad_(with_grad)
        totals = weight.new_zeros(2)
        feature_grads = []
        weight_grad, bias_grad = torch.zeros_like(weight), torch.zeros_like(bias)
        for chunk, target in zip(
            torch.split(features, size, dim=1), torch.split(targets, size), strict=True
        ):
            chunk = chunk.flatten(0, 1).detach().requires_grad_(with_grad)
            target = target.repeat(passes)
            with torch.set_grad_enabled(with_grad):
                logits = F.linear(chunk, weight_cast, bias_cast).float()
                smoothed = F.cross_entropy(
                    logits, target, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
                )
                objective = smoothed + r_drop / 2 * _divergence(logits) if r_drop else smoothed
            # Smoothed loss = plain loss + ε (logit of the target - mean logit).
            plain = logits.detach()
            target_logits = plain.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
            gap = ((target_logits - plain.mean(dim=1)) * (target != IGNORED)).sum()
            totals += torch.stack((objective.detach(), smoothed.detach() - smoothing * gap))
            if with_grad:
                grads = torch.autograd.grad(objective, (chunk, weight_cast, bias_cast))
                feature_grads.append(grads[0].view(passes, -1, chunk.shape[1]))
                weight_grad += grads[1]
                bias_grad += grads[2]
        if with_grad:
            ctx.save_for_backward(torch.cat(feature_grads, dim=1), weight_grad, bias_grad)
            ctx.passes = passes
        objective, cross_entropy = (totals / passes).unbind()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        features, weight, bias = ctx.saved_tensors
        scale = grads[0] / ctx.passes
        gradients = features * scale.to(features.dtype), weight * scale, bias * scale
        return (*gradients, None, None, None, None)


def _divergence(logits: Tensor) -> Tensor:
    """KL(p‖q) + KL(q‖p) summed over rows of logits (2n, V), p being the first half of them.

    Rows that only fill up are alike in both halves and add nothing.
    """
    p, q = torch.log_softmax(logits, dim=1).chunk(2)
    return ((p.exp() - q.exp()) * (p - q)).sum()


def _chunk_rows(entries: int) -> int:
    """Rows of so many logits to make at a time."""
    return ROW_MULTIPLE * max(1, CHUNK_ENTRIES // entries // ROW_MULTIPLE)
