"""The loss of a mixture of generating and copying, a chunk of tokens at a time."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.model.lexical import Output
from seq2seq.training.loss import CHUNK_ENTRIES, IGNORED, ROW_MULTIPLE, Loss


def pointer_loss(
    output: Output,
    features: Tensor,
    targets: Tensor,
    generate: Tensor,
    copied: Tensor,
    label_smoothing: float = 0.0,
) -> Loss:
    """Loss of targets (N,) with probabilities g · P_vocabulary + c.

    Label smoothing is that of the distribution over the vocabulary: (1 - ε) · -log P(target) + ε ·
    (mean of -log P_vocabulary over all tokens). Whatever the gate says, the output layer is kept
    from being too sure; the model may well be sure that it has to copy, which smoothing the mixture
    would forbid, as tokens that aren't in the source can't be copied. With g = 1 this is the usual
    loss.

    Args:
        output: layer from features to logits (V); products are made in the type of the features.
        features: (N, R).
        targets: (N,) token ids.
        generate: log g, (N,).
        copied: log c of each target, (N,); negative infinity where it can't be copied.
        label_smoothing: ε.
    """
    missing = -len(targets) % ROW_MULTIPLE
    objective, cross_entropy = _ChunkedPointerLoss.apply(  # type: ignore[no-untyped-call]
        F.pad(features, (0, 0, 0, missing)),
        output.weight,
        output.bias,
        F.pad(generate, (0, missing)),
        F.pad(copied, (0, missing)),
        F.pad(targets, (0, missing), value=IGNORED),
        label_smoothing,
        torch.is_grad_enabled(),
    )
    return Loss(objective, cross_entropy)


class _ChunkedPointerLoss(torch.autograd.Function):
    """Takes the gradients of each chunk while its logits are there, so they never exist at once."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        generate: Tensor,
        copied: Tensor,
        targets: Tensor,
        smoothing: float,
        with_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        layer = [
            part.detach().to(features.dtype).requires_grad_(with_grad) for part in (weight, bias)
        ]
        layer_grads = [torch.zeros_like(weight), torch.zeros_like(bias)]
        totals, row_grads = weight.new_zeros(2), []
        size = ROW_MULTIPLE * max(1, CHUNK_ENTRIES // weight.shape[0] // ROW_MULTIPLE)
        rows = (torch.split(part, size) for part in (features, generate, copied, targets))
        for *parts, target in zip(*rows, strict=True):
            inputs = [part.detach().requires_grad_(with_grad) for part in parts]
            with torch.set_grad_enabled(with_grad):
                chunk, gate, copy = inputs
                logits = F.linear(chunk, *layer).float()
                normaliser, real = logits.logsumexp(dim=1), target != IGNORED
                chosen = logits.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
                mixed = torch.logaddexp(gate + chosen - normaliser, copy)
                cross_entropy = -(mixed * real).sum()
                uniform = ((normaliser - logits.mean(dim=1)) * real).sum()
                objective = (1 - smoothing) * cross_entropy + smoothing * uniform
            totals += torch.stack((objective.detach(), cross_entropy.detach()))
            if with_grad:
                *grads, weight_grad, bias_grad = torch.autograd.grad(objective, (*inputs, *layer))
                row_grads.append(grads)
                layer_grads[0] += weight_grad
                layer_grads[1] += bias_grad
        if with_grad:
            joined = [torch.cat(parts) for parts in zip(*row_grads, strict=True)]
            ctx.save_for_backward(joined[0], *layer_grads, *joined[1:])
        objective, cross_entropy = totals.unbind()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        scaled = (saved * grads[0].to(saved.dtype) for saved in ctx.saved_tensors)
        return *scaled, None, None, None
