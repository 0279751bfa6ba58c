"""Copying source tokens (pointer-generator network, See et al. 2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.model.initialise import init_linear


class Copying(nn.Module):
    """Mixes the distribution over the vocabulary with the attention over the source tokens.

    P(y) = g · P_vocabulary(y) + (1 - g) · (sum of the weights at places of y), where the gate g is
    read off the features that the output layer sees.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = init_linear(nn.Linear(size, 1))

    def log_gates(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of g and 1 - g, each (…), from features (…, R)."""
        gate = F.linear(features.float(), self.gate.weight, self.gate.bias).squeeze(-1)
        return F.logsigmoid(gate), F.logsigmoid(-gate)

    @torch.no_grad()
    def mix(self, features: Tensor, log_probs: Tensor, weights: Tensor, src: Tensor) -> Tensor:
        """Log-probabilities (N, V) of the mixture, for search.

        Args:
            features: (N, R).
            log_probs: of the vocabulary alone, (N, V); overwritten.
            weights: (N, S).
            src: source ids (B, S), each row for N/B neighbouring ones.
        """
        generate, copy = self.log_gates(features)
        log_probs += generate.unsqueeze(1)
        ids = src.repeat_interleave(len(weights) // len(src), dim=0)
        shares = torch.zeros_like(log_probs).scatter_add_(1, ids, weights.to(log_probs.dtype))
        copied = copy.unsqueeze(1) + shares.gather(1, ids).log()
        mixed = torch.logaddexp(log_probs.gather(1, ids), copied)
        return log_probs.scatter_(1, ids, mixed)

    def score(
        self, features: Tensor, weights: Tensor, src: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What each target (B, T) gets: log g, and log of its part that is copied.

        Args:
            features: (B, T, R).
            weights: (B, T, S).
            src: source ids (B, S).
            targets: ids (B, T).

        Returns:
            Both (B, T); the second is negative infinity where nothing can be copied.
        """
        generate, copy = self.log_gates(features)
        same = src.unsqueeze(1) == targets.unsqueeze(2)
        return generate, copy + log_shares((weights * same).sum(dim=2))


def mixture(
    log_probs: Tensor, generate: Tensor, copy: Tensor, weights: Tensor, src: Tensor
) -> Tensor:
    """Log-probabilities (N, V) of the mixture, with a gradient; `Copying.mix` is for search.

    Args:
        log_probs: of the vocabulary alone, (N, V).
        generate: log g, (N,).
        copy: log of 1 - g, (N,).
        weights: (N, S).
        src: source ids (N, S).
    """
    shares = torch.zeros_like(log_probs).scatter_add(1, src, weights.to(log_probs.dtype))
    copied = copy.unsqueeze(1) + log_shares(shares)
    return torch.logaddexp(generate.unsqueeze(1) + log_probs, copied)


def log_shares(shares: Tensor) -> Tensor:
    """Logarithms, negative infinity at zero, where the gradient is zero."""
    nothing = shares == 0
    return torch.where(nothing, 1.0, shares).log().masked_fill(nothing, float("-inf"))
