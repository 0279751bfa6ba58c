"""Batched beam search over a step function.

Each step takes the 2K best continuations of a sentence's K hypotheses. One that ends is finished
if it is among the K best; the K best that don't end go on. A sentence stops on its own evidence,
and leaves the batch: when K hypotheses are finished and no live one scores better so far than the
best of them, when its length limit is reached or when nothing may follow. (That K are finished
proves little where a model is sure of itself: its best output could end too early at each step.) So
neither neighbours nor the number of results asked for changes a result, and with K = 1 this is
greedy search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraint
from seq2seq.search.penalties import length_penalty
from seq2seq.special import BOS, EOS

SelfT = TypeVar("SelfT")


BLOCK = 64
"""Entries of a row that are looked at together when its best ones are sought."""


class SearchState(Protocol):
    """What a step function needs to remember."""

    def select(self: SelfT, rows: Tensor, sentences: Tensor | None = None) -> SelfT:
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""


StateT = TypeVar("StateT", bound=SearchState)
Step = Callable[[Tensor, StateT], tuple[Tensor, StateT]]
"""(last tokens (N,), state) -> (log-probabilities (N, V) that search may overwrite, state)."""


@dataclass(frozen=True)
class Hypothesis:
    """A found output.

    Attributes:
        score: log-probability over the length penalty; hypotheses are ranked by it.
        log_prob: natural log-probability of the tokens and, if complete, the end mark.
        tokens: ids, without the end mark.
        complete: whether it ended by itself, not at the length limit or for want of a next token.
    """

    score: float
    log_prob: float
    tokens: list[int]
    complete: bool


@dataclass(frozen=True)
class Beams:
    """The live hypotheses, R neighbouring rows for each of B sentences.

    Attributes:
        tokens: (B·R, t) produced so far.
        log_probs: (B, R).
        sentences: (B,) place of each sentence in the batch.
        num_finished: (B,) hypotheses finished so far.
        best_score: (B,) of the best of these.
        limits: (B,) most tokens, end mark counted.
    """

    tokens: Tensor
    log_probs: Tensor
    sentences: Tensor
    num_finished: Tensor
    best_score: Tensor
    limits: Tensor


class Finished:
    """Collects finished hypotheses, a few tensors a step, and ranks them at the end."""

    def __init__(self, num_sentences: int, alpha: float) -> None:
        self.hypotheses: list[list[Hypothesis]] = [[] for _ in range(num_sentences)]
        self.alpha = alpha

    def add(self, sentences: Tensor, log_probs: Tensor, tokens: Tensor, complete: bool) -> None:
        """Add hypotheses of sentences (F,) with their log_probs (F,) and tokens (F, t)."""
        length = tokens.shape[1] + complete
        scores = log_probs / length_penalty(float(length), self.alpha)
        rows = zip(
            sentences.tolist(), scores.tolist(), log_probs.tolist(), tokens.tolist(), strict=True
        )
        for sentence, score, log_prob, ids in rows:
            self.hypotheses[sentence].append(Hypothesis(score, log_prob, ids, complete))

    def best(self, n_best: int) -> list[list[Hypothesis]]:
        """The n best of each sentence, complete ones first; equal ones by their tokens."""
        return [
            sorted(found, key=lambda h: (not h.complete, -h.score, h.tokens))[:n_best]
            for found in self.hypotheses
        ]


@torch.inference_mode()
def beam_search(
    step: Step[StateT],
    state: StateT,
    limits: Tensor,
    *,
    beam_size: int,
    n_best: int = 1,
    alpha: float = 0.0,
    constraints: Sequence[Constraint] = (),
    vocabulary: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """Search B sentences at once.

    Args:
        step: gives the log-probabilities of the next tokens.
        state: where it starts, one row per sentence.
        limits: (B,) most tokens of each sentence's outputs, end mark counted.
        beam_size: K, hypotheses kept per sentence.
        n_best: hypotheses to return per sentence.
        alpha: exponent of the length penalty.
        constraints: what must not be produced.
        vocabulary: ids (V,) of the tokens whose log-probabilities the step function gives,
            ascending; by default all from 0 on.

    Returns:
        For each sentence from one to `n_best` hypotheses, best first. One that reached its limit
        without ending stands after all complete ones, with `complete` unset, and so do those that
        nothing may follow where no other was found.
    """
    device, batch = limits.device, limits.shape[0]
    finished = Finished(batch, alpha)
    beams = Beams(
        tokens=torch.empty(batch, 0, dtype=torch.long, device=device),
        log_probs=torch.zeros(batch, 1, device=device),
        sentences=torch.arange(batch, device=device),
        num_finished=torch.zeros(batch, dtype=torch.long, device=device),
        best_score=torch.full((batch,), float("-inf"), device=device),
        limits=limits,
    )
    last = torch.full((batch,), BOS, dtype=torch.long, device=device)
    while beams.sentences.shape[0]:
        log_probs, state = step(last, state)
        for constraint in constraints:
            constraint(log_probs, beams.tokens)
        beams, rows, keep = _advance(beams, log_probs, beam_size, finished, vocabulary)
        state = state.select(rows, keep)
        last = beams.tokens[:, -1]
    return finished.best(n_best)


def _advance(
    beams: Beams,
    log_probs: Tensor,
    beam_size: int,
    finished: Finished,
    vocabulary: Tensor | None,
) -> tuple[Beams, Tensor, Tensor | None]:
    """Extend all beams by a token: the new ones, the rows they come from, the sentences kept."""
    batch, width = beams.log_probs.shape
    scores, parents, tokens = _candidates(beams.log_probs, log_probs, 2 * beam_size)
    if vocabulary is not None:
        tokens = vocabulary[tokens]
    ends = tokens == EOS
    viable = scores > float("-inf")
    offsets = torch.arange(batch, device=scores.device).unsqueeze(1) * width
    first = torch.arange(scores.shape[1], device=scores.device) < beam_size
    done = ends & viable & first
    best_ended = scores.masked_fill(~done, float("-inf")).amax(dim=1)
    sentence, place = done.nonzero(as_tuple=True)
    if sentence.shape[0]:
        source = (parents + offsets)[sentence, place]
        finished.add(
            beams.sentences[sentence], scores[sentence, place], beams.tokens[source], complete=True
        )
    live = torch.sort(ends.int(), dim=1, stable=True).indices[:, :beam_size]
    scores = scores.masked_fill(ends, float("-inf")).gather(1, live)
    rows = (parents + offsets).gather(1, live)
    grown = torch.cat((beams.tokens[rows.flatten()], tokens.gather(1, live).view(-1, 1)), dim=1)
    count = beams.num_finished + done.sum(dim=1)
    # All are of one length by now, those that ended with their end mark.
    penalty = length_penalty(float(grown.shape[1]), finished.alpha)
    best = torch.maximum(beams.best_score, best_ended / penalty)
    hopeless = scores.amax(dim=1) / penalty <= best
    alive = scores > float("-inf")
    at_limit = grown.shape[1] >= beams.limits
    stop = ((count >= beam_size) & hopeless) | at_limit | ~alive.any(dim=1)
    if not bool(stop.any()):
        kept = Beams(grown, scores, beams.sentences, count, best, beams.limits)
        return kept, rows.flatten(), None
    cut = (stop.unsqueeze(1) & alive & at_limit.unsqueeze(1)).flatten().nonzero().squeeze(1)
    if cut.shape[0]:
        owner = beams.sentences[cut // live.shape[1]]
        finished.add(owner, scores.flatten()[cut], grown[cut], complete=False)
    lost = (~alive.any(dim=1) & (count == 0)).unsqueeze(1) & (beams.log_probs > float("-inf"))
    row = lost.flatten().nonzero().squeeze(1)
    if row.shape[0]:
        owner = beams.sentences[row // width]
        finished.add(owner, beams.log_probs.flatten()[row], beams.tokens[row], complete=False)
    keep = (~stop).nonzero().squeeze(1)
    grown = grown.view(batch, -1, grown.shape[1])[keep].flatten(0, 1)
    kept = Beams(
        grown, scores[keep], beams.sentences[keep], count[keep], best[keep], beams.limits[keep]
    )
    return kept, rows[keep].flatten(), keep


def _candidates(beams: Tensor, log_probs: Tensor, num: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of beams (B, R) by log_probs (B·R, V), equal ones by token id.

    Returns:
        Log-probabilities, parent row within the sentence and token, each (B, num) or fewer.
    """
    batch, width = beams.shape
    values, tokens = _best_tokens(log_probs, num)
    scores = (beams.unsqueeze(2) + values.view(batch, width, -1)).flatten(1)
    tokens = tokens.reshape(batch, -1)
    by_token = torch.sort(tokens, dim=1, stable=True).indices
    by_score = torch.sort(scores.gather(1, by_token), dim=1, descending=True, stable=True).indices[
        :, :num
    ]
    order = by_token.gather(1, by_score)
    return scores.gather(1, order), order // (values.shape[1]), tokens.gather(1, order)


def _best_tokens(log_probs: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """The `num` best log-probabilities of each row, best first, and their tokens.

    `topk` picks at will among values equal to the last one, so their places are filled again in
    order of id. Such rows are common where logits come from bfloat16.
    """
    vocab = log_probs.shape[1]
    if num >= vocab:
        return log_probs.topk(vocab, dim=1)
    values, tokens = _top(log_probs, num + 1)
    edge, beyond = values[:, num - 1], values[:, num]
    values, tokens = values[:, :num], tokens[:, :num]
    tied = ((edge == beyond) & (edge > float("-inf"))).nonzero().squeeze(1)
    if tied.shape[0]:
        edges = edge[tied].unsqueeze(1)
        row, token = (log_probs[tied] == edges).nonzero(as_tuple=True)
        counts = torch.bincount(row)
        rank = torch.arange(row.shape[0], device=row.device) - (counts.cumsum(0) - counts)[row]
        place = (values[tied] > edges).sum(dim=1)[row] + rank
        fits = place < num
        tokens[tied[row[fits]], place[fits]] = token[fits]
    return values, tokens


def _top(rows: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """What `topk` gives for rows (N, V), in half the time where they are long.

    The best are in those blocks of a row whose largest entries are the best ones, or in what is
    left over behind the last block.
    """
    blocks = rows.shape[1] // BLOCK
    if blocks < 3 * num:
        return rows.topk(num, dim=1)
    head, tail = rows[:, : blocks * BLOCK], rows[:, blocks * BLOCK :]
    head = head.view(-1, blocks, BLOCK)
    best = head.amax(dim=2).topk(num, dim=1, sorted=False).indices
    row = torch.arange(rows.shape[0], device=rows.device).unsqueeze(1)
    values, place = torch.cat((head[row, best].flatten(1), tail), dim=1).topk(num, dim=1)
    starts = torch.cat((best * BLOCK, best.new_full((best.shape[0], 1), blocks * BLOCK)), dim=1)
    block = (place // BLOCK).clamp(max=num)
    return values, starts.gather(1, block) + place - block * BLOCK
