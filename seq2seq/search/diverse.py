"""Beams whose groups differ (Vijayakumar et al. 2016)."""

import torch
from torch import Tensor

from seq2seq.search.beam import Candidates, candidates, going_on
from seq2seq.search.loop import Live
from seq2seq.special import EOS


class Diverse:
    """Chooses for one group after the other, each avoiding what those before it go on with.

    Hamming diversity: for each hypothesis of the earlier groups that goes on with a token now, the
    token is worth that much less to the later ones. The groups are beams of their own, and the
    log-probabilities of what is chosen are those of the model.

    Args:
        groups: number of groups.
        strength: what a token loses for each time that it is said already.
    """

    def __init__(self, groups: int, strength: float) -> None:
        self.groups = groups
        self.strength = strength

    def __call__(self, live: Live, log_probs: Tensor, size: int) -> Candidates:
        """See `Choice`."""
        batch, width = live.log_probs.shape[0], live.log_probs.shape[1] // self.groups
        own = live.log_probs.view(batch, self.groups, width)
        nexts = log_probs.view(batch, self.groups, width, -1)
        said = log_probs.new_zeros(batch, 1, log_probs.shape[1])
        first_rows = torch.arange(batch, device=said.device).unsqueeze(1) * live.log_probs.shape[1]
        chosen = []
        for group in range(self.groups):
            penalised = (nexts[:, group] - self.strength * said).flatten(0, 1)
            values, parents, tokens = candidates(own[:, group], penalised, 2 * size)
            rows = first_rows + group * width + parents
            scores = own[:, group].gather(1, parents) + log_probs[rows, tokens]
            chosen.append((scores, rows, tokens))
            on = going_on(tokens == EOS, size)
            counts = (values.gather(1, on) > float("-inf")).to(said.dtype)
            said.scatter_add_(2, tokens.gather(1, on).unsqueeze(1), counts.unsqueeze(1))
        parts = (torch.stack(part, dim=1).flatten(0, 1) for part in zip(*chosen, strict=True))
        return Candidates(*parts)
