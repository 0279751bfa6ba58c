"""Dropout with cheap random numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import recipe

LEVELS = 256


@dataclass(frozen=True)
class Dropouts:
    """Probabilities by the place where units are dropped, 0 to 1.

    Attributes:
        embedding: of embeddings.
        hidden: of what recurrent layers give, between them and above.
        output: of the readout.
        recurrent: of what a recurrent layer reads of its own last step.
        weight: of the recurrent weights.
        locked: whether a sequence loses the same units at all its steps.
    """

    embedding: float = 0.0
    hidden: float = 0.0
    output: float = 0.0
    recurrent: float = 0.0
    weight: float = 0.0
    locked: bool = False


def build_dropouts(section: recipe.Model) -> Dropouts:
    """The probabilities of the recipe; what it doesn't tell apart is `dropout`."""
    given = section.embedding_dropout, section.hidden_dropout, section.output_dropout
    embedding, hidden, output = (section.dropout if p is None else p for p in given)
    within = section.recurrent_dropout, section.weight_dropout
    return Dropouts(embedding, hidden, output, *within, locked=section.locked_dropout)


class Dropout(nn.Module):
    """Zeroes units with a probability and scales up the others (Srivastava et al. 2014).

    Locked dropout takes the same units of a sequence at all steps (Gal & Ghahramani 2016).

    On the CPU a random byte decides on a unit, so the probability is a multiple of 1/256. Torch
    draws a number for each instead and takes six times as long, a tenth of a training step.
    """

    def __init__(self, probability: float, *, locked: bool = False) -> None:
        super().__init__()
        self.probability = probability
        self.locked = locked

    def forward(self, inputs: Tensor) -> Tensor:
        """Units of any shape, (B, T, …) if locked; unchanged outside training."""
        mask = self.draw(inputs[:, :1] if self.locked else inputs)
        return inputs if mask is None else inputs * mask

    def over_steps(self) -> Callable[[Tensor], Tensor]:
        """Dropout for a loop over time, to be called with (B, T, …) step by step.

        If it is locked, the units that the first call drops stay dropped.
        """
        if not self.locked:
            return self
        drawn: list[Tensor | None] = []

        def drop(inputs: Tensor) -> Tensor:
            if not drawn:
                drawn.append(self.draw(inputs[:, :1]))
            return inputs if drawn[0] is None else inputs * drawn[0]

        return drop

    def draw(self, like: Tensor) -> Tensor | None:
        """What to multiply units of the shape of `like` with; None for nothing to drop."""
        if not self.training or not self.probability:
            return None
        if like.device.type != "cpu":
            return F.dropout(torch.ones_like(like), self.probability)
        dropped = min(max(round(self.probability * LEVELS), 1), LEVELS - 1)
        words = torch.empty((like.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.uint8)[: like.numel()].view(like.shape)
        return (bits >= dropped).to(like.dtype) * (LEVELS / (LEVELS - dropped))
