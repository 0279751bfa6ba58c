"""Dropout with cheap random numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256


class Dropout(nn.Module):
    """Zeroes units with a probability and scales up the others (Srivastava et al. 2014).

    On the CPU a random byte decides on a unit, so the probability is a multiple of 1/256. Torch
    draws a number for each instead and takes six times as long, a tenth of a training step.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, inputs: Tensor) -> Tensor:
        """Units of any shape; unchanged outside training."""
        if not self.training or not self.probability:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.probability)
        dropped = min(max(round(self.probability * LEVELS), 1), LEVELS - 1)
        words = torch.empty((inputs.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.uint8)[: inputs.numel()].view(inputs.shape)
        return inputs * ((bits >= dropped).to(inputs.dtype) * (LEVELS / (LEVELS - dropped)))
