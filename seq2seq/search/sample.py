"""Batched sampling from a step function.

The random numbers are given, one for each token of each sample, so a sample is a function of them
and the model: neither neighbours nor the size of the batch change it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.search.beam import Hypothesis, StateT, Step
from seq2seq.search.constraints import Constraint
from seq2seq.special import BOS, EOS, PAD


@torch.inference_mode()
def sample(
    step: Step[StateT],
    state: StateT,
    limits: Tensor,
    draws: Tensor,
    *,
    temperature: float = 1.0,
    constraints: Sequence[Constraint] = (),
) -> list[list[Hypothesis]]:
    """Draw outputs of B sentences token by token, C of each (ancestral sampling).

    Args:
        step: gives the log-probabilities of the next tokens.
        state: where it starts, one row per sentence.
        limits: (B,) most tokens of each sentence's outputs, end mark counted.
        draws: uniform numbers in [0, 1), (B, C, T) with T no less than the limits.
        temperature: log-probabilities are divided by it before they are drawn from.
        constraints: what must not be drawn; something must be left.

    Returns:
        For each sentence its C samples, in the order of the draws; their scores are the
        log-probabilities that the step function gives. Those that reached the limit first are not
        complete.
    """
    (batch, width), device = draws.shape[:2], draws.device
    sentences = torch.arange(batch, device=device)
    state = state.select(sentences.repeat_interleave(width))
    found: list[list[Hypothesis]] = [[] for _ in range(batch)]
    tokens = torch.empty(batch * width, 0, dtype=torch.long, device=device)
    last = torch.full((batch * width,), BOS, device=device)
    scores = torch.zeros(batch * width, device=device)
    ended = torch.zeros(batch * width, dtype=torch.bool, device=device)
    while sentences.shape[0]:
        log_probs, state = step(last, state)
        for constraint in constraints:
            constraint(log_probs, tokens)
        drawn = _invert(log_probs / temperature, draws[sentences, :, tokens.shape[1]].flatten())
        last = drawn.masked_fill(ended, PAD)
        gained = log_probs.gather(1, drawn.unsqueeze(1)).squeeze(1)
        scores = scores + gained.masked_fill(ended, 0.0)
        tokens = torch.cat((tokens, last.unsqueeze(1)), dim=1)
        ended = ended | (last == EOS)
        stop = ended.view(-1, width).all(dim=1) | (tokens.shape[1] >= limits[sentences])
        if not bool(stop.any()):
            continue
        rows = stop.repeat_interleave(width).nonzero().squeeze(1)
        owners = sentences.repeat_interleave(width)[rows].tolist()
        results = zip(owners, scores[rows].tolist(), tokens[rows].tolist(), strict=True)
        for owner, score, ids in results:
            found[owner].append(_finish(score, ids))
        keep = (~stop).nonzero().squeeze(1)
        rows = (~stop).repeat_interleave(width).nonzero().squeeze(1)
        sentences, state = sentences[keep], state.select(rows, keep)
        last, tokens, scores, ended = last[rows], tokens[rows], scores[rows], ended[rows]
    return found


def _invert(log_probs: Tensor, draws: Tensor) -> Tensor:
    """The tokens (N,) at which the cumulated probabilities of log_probs (N, V) pass draws (N,)."""
    cumulated = torch.softmax(log_probs, dim=1).cumsum(dim=1)
    total = cumulated[:, -1]
    # Rounding must not take a draw to the end, where the last token may have no probability.
    points = torch.minimum(draws * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulated, points.unsqueeze(1), right=True).squeeze(1)


def _finish(score: float, ids: list[int]) -> Hypothesis:
    complete = EOS in ids
    return Hypothesis(score, score, ids[: ids.index(EOS)] if complete else ids, complete)
