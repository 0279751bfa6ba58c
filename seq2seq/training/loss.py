"""Losses computed together with the output layer, a chunk of tokens at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq.model.copying import log_shares, mixture
from seq2seq.training.predictions import Predictions

ROW_MULTIPLE = 64
"""Predictions are filled up to a multiple of this: matrix products of ever new shapes would each
need a kernel of their own, which takes time and, in oneDNN's cache, memory."""

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
    predictions: Predictions, targets: Tensor, label_smoothing: float = 0.0, r_drop: float = 0.0
) -> Loss:
    """Loss of N predictions for targets (N,), all of them real tokens; of two passes their mean.

    Where tokens can be copied, label smoothing is that of the distribution over the vocabulary:
    (1 - ε) · -log P(target) + ε · (mean of -log P_vocabulary over all tokens). Whatever the gate
    says, the output layer is kept from being too sure; the model may well be sure that it has to
    copy, which smoothing the mixture would forbid, as tokens that aren't in the source can't be
    copied. If nothing is copied, this is the usual loss.

    Args:
        predictions: products are made in the type of their features.
        targets: (N,) token ids.
        label_smoothing: mass on the uniform distribution (Szegedy et al. 2016, section 7).
        r_drop: alpha of R-Drop (Liang et al. 2021, equation 4), for two passes: with their
            distributions p and q, alpha/4 (KL(p‖q) + KL(q‖p)) is added for each token. That is
            half of the paper's loss, which has the sum of the two cross-entropies where this has
            their mean: so alpha is the paper's, and losses compare with those of one pass.
    """
    assert not r_drop or len(predictions.features) == 2, len(predictions.features)
    output, (target, src, rows) = predictions.output, _filled(targets, predictions)
    objective, cross_entropy = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        label_smoothing,
        r_drop,
        torch.is_grad_enabled(),
        target,
        src,
        output.weight,
        output.bias,
        *rows,
    )
    return Loss(objective, cross_entropy)


def token_losses(predictions: Predictions, targets: Tensor) -> Tensor:
    """Negative log-likelihood (N,) in nats of each target (N,) by predictions of one pass.

    For objectives that aren't sums over tokens: what each token counts is known only when all are
    summed up, so the logits are made again for the gradient, a chunk at a time.
    """
    output, features = predictions.output, predictions.features
    layer = [part.to(features.dtype) for part in (output.weight, output.bias)]

    def losses(target: Tensor, src: Tensor | None, *rows: Tensor) -> Tensor:
        logits = F.linear(rows[0].flatten(0, 1), *layer).float()
        if src is None:
            return F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none")
        return -_mixed(logits, target, src, rows[1:], logits.logsumexp(dim=1))

    target, src, rows = _filled(targets, predictions)
    found = []
    for part in _chunks(len(target), len(output.weight)):
        own = target[part], None if src is None else src[part], *(row[:, part] for row in rows)
        found.append(checkpoint(losses, *own, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(found)[: len(targets)]


@torch.no_grad()
def best_tokens(predictions: Predictions) -> Tensor:
    """The most likely token of each prediction, (P·N,), a chunk of them at a time."""
    output, features = predictions.output, predictions.features
    layer = [part.to(features.dtype) for part in (output.weight, output.bias)]
    best = []
    for part in _chunks(features.shape[1], len(features) * len(layer[0])):
        rows = [row[:, part] for row in predictions.rows]
        logits = F.linear(rows[0].flatten(0, 1), *layer)
        if predictions.src is not None:
            logits = _mixture(logits.float(), predictions.src[part], rows[1:])
        best.append(logits.argmax(dim=1).view(len(features), -1))
    return torch.cat(best, dim=1).flatten()


class _ChunkedLoss(torch.autograd.Function):
    """Takes the gradients of each chunk while its logits are there, so they never exist at once."""

    @staticmethod
    def forward(
        ctx: Any,
        smoothing: float,
        r_drop: float,
        with_grad: bool,
        targets: Tensor,
        src: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        *rows: Tensor,
    ) -> tuple[Tensor, Tensor]:
        passes, dtype = len(rows[0]), rows[0].dtype
        layer = [part.detach().to(dtype).requires_grad_(with_grad) for part in (weight, bias)]
        layer_grads = [torch.zeros_like(weight), torch.zeros_like(bias)]
        totals, row_grads = weight.new_zeros(2), []
        for part in _chunks(len(targets), passes * len(weight)):
            target, ids = targets[part].repeat(passes), None if src is None else src[part]
            inputs = [row[:, part].detach().requires_grad_(with_grad) for row in rows]
            with torch.set_grad_enabled(with_grad):
                logits = F.linear(inputs[0].flatten(0, 1), *layer).float()
                loss = _sums(logits, target, ids, inputs[1:], smoothing)
                if r_drop:
                    own = logits if ids is None else _mixture(logits, ids, inputs[1:])
                    loss = loss[0] + r_drop / 2 * _divergence(own), loss[1]
            totals += torch.stack(loss).detach()
            if with_grad:
                grads = torch.autograd.grad(loss[0], (*inputs, *layer))
                row_grads.append(grads[:-2])
                layer_grads[0] += grads[-2]
                layer_grads[1] += grads[-1]
        if with_grad:
            joined = (torch.cat(parts, dim=1) for parts in zip(*row_grads, strict=True))
            ctx.save_for_backward(*layer_grads, *joined)
            ctx.passes = passes
        objective, cross_entropy = (totals / passes).unbind()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        scale = grads[0] / ctx.passes
        scaled = (saved * scale.to(saved.dtype) for saved in ctx.saved_tensors)
        return None, None, None, None, None, *scaled


def _sums(
    logits: Tensor, target: Tensor, src: Tensor | None, copies: Sequence[Tensor], smoothing: float
) -> tuple[Tensor, Tensor]:
    """Smoothed loss and cross-entropy, summed over logits (P·n, V) for targets (P·n,)."""
    real = target != IGNORED
    if src is not None:
        normaliser = logits.logsumexp(dim=1)
        cross_entropy = -(_mixed(logits, target, src, copies, normaliser) * real).sum()
        uniform = ((normaliser - logits.mean(dim=1)) * real).sum()
        return (1 - smoothing) * cross_entropy + smoothing * uniform, cross_entropy
    smoothed = F.cross_entropy(
        logits, target, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    # Smoothed loss = plain loss + ε (logit of the target - mean logit).
    plain = logits.detach()
    gap = ((_of_targets(plain, target) - plain.mean(dim=1)) * real).sum()
    return smoothed, smoothed.detach() - smoothing * gap


def _mixed(
    logits: Tensor, target: Tensor, src: Tensor, copies: Sequence[Tensor], normaliser: Tensor
) -> Tensor:
    """Log-probabilities (P·n,) of targets (P·n,) that are generated or copied."""
    generate, copy, weights = copies
    same = src == target.view(len(weights), -1, 1)
    copied = copy + log_shares((weights * same).sum(dim=2))
    return torch.logaddexp(
        generate.flatten() + _of_targets(logits, target) - normaliser, copied.flatten()
    )


def _mixture(logits: Tensor, src: Tensor, copies: Sequence[Tensor]) -> Tensor:
    """Log-probabilities (P·n, V) of all tokens, be they generated or copied."""
    generate, copy, weights = (part.flatten(0, 1) for part in copies)
    ids = src.repeat(len(weights) // len(src), 1)
    return mixture(torch.log_softmax(logits, dim=1), generate, copy, weights, ids)


def _of_targets(logits: Tensor, target: Tensor) -> Tensor:
    return logits.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)


def _divergence(logits: Tensor) -> Tensor:
    """KL(p‖q) + KL(q‖p) summed over rows of logits (2n, V), p being the first half of them.

    Rows that only fill up are alike in both halves and add nothing.
    """
    p, q = torch.log_softmax(logits, dim=1).chunk(2)
    return ((p.exp() - q.exp()) * (p - q)).sum()


def _filled(
    targets: Tensor, predictions: Predictions
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Targets, source ids and rows of as many places as matrix products are made for."""
    missing = -len(targets) % ROW_MULTIPLE
    src = predictions.src
    return (
        F.pad(targets, (0, missing), value=IGNORED),
        None if src is None else F.pad(src, (0, 0, 0, missing)),
        [F.pad(row, (0, 0) * (row.dim() - 2) + (0, missing)) for row in predictions.rows],
    )


def _chunks(num: int, entries: int) -> Iterator[slice]:
    """Cuts places into parts that can be there at once, when each makes so many logits."""
    size = ROW_MULTIPLE * max(1, CHUNK_ENTRIES // entries // ROW_MULTIPLE)
    return (slice(start, start + size) for start in range(0, max(num, 1), size))
