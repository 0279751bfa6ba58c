"""Batched sampling.

The random numbers are given, one for each token of each sample, so a sample is a function of them
and the model: neither neighbours nor the size of the batch change it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from seq2seq.draws import uniform
from seq2seq.search.beam import best_tokens
from seq2seq.search.constraints import Constraint
from seq2seq.search.hypothesis import Finished, Hypothesis
from seq2seq.search.loop import Live, Move, StateT, Step, run
from seq2seq.search.penalties import Score, plain
from seq2seq.special import EOS, PAD

Filter = Callable[[Tensor], Tensor]
"""Log-probabilities (N, V) -> those of the tokens that stay, minus infinity for the others."""


class Sampler:
    """The strategy, and what it has found so far; each sample is a place of its own.

    Args:
        draws: uniform numbers in [0, 1), (B, C, T).
        score: of samples; they aren't ranked by it.
        temperature: divides log-probabilities before they are drawn from.
        filters: what is drawn from, one applied after the other.
    """

    def __init__(
        self, draws: Tensor, score: Score, temperature: float, filters: Sequence[Filter]
    ) -> None:
        self.draws = draws
        self.first_rows = draws.shape[1]
        self.score = score
        self.temperature = temperature
        self.filters = filters
        self.finished = Finished(draws.shape[0] * draws.shape[1])

    def advance(self, live: Live, log_probs: Tensor, bonus: Tensor | None) -> Move:
        """See `Strategy`; once a sample has ended its row goes on with padding."""
        length = live.tokens.shape[1]
        flat = log_probs / self.temperature
        for keep in self.filters:
            flat = keep(flat)
        counts = live.log_probs.flatten() > float("-inf")
        drawn, possible = _invert(flat, self.draws[live.sentences, :, length].flatten())
        gained = log_probs.gather(1, drawn.unsqueeze(1)).squeeze(1)
        totals = live.log_probs.flatten() + gained
        self._collect(live, live.log_probs.flatten(), live.tokens, counts & ~possible, False)
        self._collect(live, totals, live.tokens, counts & possible & (drawn == EOS), True)
        counts = counts & possible & (drawn != EOS)
        grown = torch.cat((live.tokens, drawn.masked_fill(~counts, PAD).unsqueeze(1)), dim=1)
        totals = totals.masked_fill(~counts, float("-inf"))
        after = Live(grown, totals.view_as(live.log_probs), live.sentences, live.limits)
        at_limit = length + 1 >= live.limits
        stop = at_limit | ~counts.view_as(live.log_probs).any(dim=1)
        if not bool(stop.any()):
            return after, None, None
        cut = counts & at_limit.repeat_interleave(self.first_rows)
        self._collect(after, totals, grown, cut, False)
        keep_ = (~stop).nonzero().squeeze(1)
        rows = (~stop).repeat_interleave(self.first_rows).nonzero().squeeze(1)
        return after.keep(keep_), rows, keep_

    def _collect(
        self, live: Live, log_probs: Tensor, tokens: Tensor, which: Tensor, complete: bool
    ) -> None:
        """Collect the rows (N,) that are set."""
        rows = which.nonzero().squeeze(1)
        if rows.shape[0]:
            places = live.owners()[rows] * self.first_rows + rows % self.first_rows
            totals, said = log_probs[rows], tokens[rows]
            scores = self.score(totals, said.shape[1] + complete)
            self.finished.add(places, scores, totals, said, complete)


def sample(
    step: Step[StateT],
    state: StateT,
    limits: Tensor,
    draws: Tensor,
    *,
    score: Score = plain,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    constraints: Sequence[Constraint] = (),
) -> list[list[Hypothesis]]:
    """Draw outputs of B sentences token by token, C of each (ancestral sampling).

    Args:
        step: gives the log-probabilities of the next tokens.
        state: where it starts, one row per sentence.
        limits: (B,) most tokens of each sentence's outputs, end mark counted.
        draws: uniform numbers in [0, 1), (B, C, T) with T no less than the limits.
        score: of samples.
        temperature: log-probabilities are divided by it before they are drawn from.
        top_k: draw from that many of the likeliest tokens (Fan et al. 2018); 0 is off.
        top_p: draw from the likeliest tokens that have this probability together, the one that
            reaches it included (nucleus sampling, Holtzman et al. 2020); 1 is off.
        constraints: what must not be drawn.

    Returns:
        For each sentence its C samples, in the order of the draws; their log-probabilities are
        those that the step function gives. Those that reached the limit first, or that nothing may
        follow, are not complete.
    """
    filters: list[Filter] = []
    if top_k:
        filters.append(lambda log_probs: keep_top_k(log_probs, top_k))
    if top_p < 1:
        filters.append(lambda log_probs: keep_top_p(log_probs, top_p))
    sampler = Sampler(draws, score, temperature, filters)
    run(sampler, step, state, limits, constraints)
    return sampler.finished.joined(draws.shape[1])


def keep_top_k(log_probs: Tensor, k: int) -> Tensor:
    """The k likeliest tokens of each row; of equal ones those with the lower ids."""
    values, tokens = best_tokens(log_probs, k)
    return torch.full_like(log_probs, float("-inf")).scatter_(1, tokens, values)


def keep_top_p(log_probs: Tensor, p: float) -> Tensor:
    """The likeliest tokens of each row until their probabilities, renormalised, come to p."""
    values, tokens = torch.sort(log_probs, dim=1, descending=True, stable=True)
    shares = torch.softmax(values, dim=1)
    values = values.masked_fill(shares.cumsum(dim=1) - shares >= p, float("-inf"))
    return torch.full_like(log_probs, float("-inf")).scatter_(1, tokens, values)


def build_draws(seed: int, keys: Sequence[int], num_samples: int, length: int) -> Tensor:
    """Uniform numbers in [0, 1), (B, C, T), each a function of seed, key, sample and place."""
    places = np.array(keys)[:, None, None], np.arange(num_samples)[:, None], np.arange(length)
    return torch.from_numpy(uniform(seed, "sample", *places))


def _invert(log_probs: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens (N,) at which the cumulated probabilities of log_probs (N, V) pass draws (N,).

    Returns:
        They, and whether (N,) there is any token to draw.
    """
    cumulated = torch.softmax(log_probs, dim=1).cumsum(dim=1)
    total = cumulated[:, -1]
    # Rounding must not take a draw to the end, where the last token may have no probability.
    points = torch.minimum(draws * total, torch.nextafter(total, torch.zeros_like(total)))
    tokens = torch.searchsorted(cumulated, points.unsqueeze(1), right=True).squeeze(1)
    return tokens.clamp(max=log_probs.shape[1] - 1), total > 0
