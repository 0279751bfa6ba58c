"""Batched beam search.

Each step takes the 2K best continuations of a sentence's K hypotheses. One that ends is finished
if it is among the K best; the K best that don't end go on. A sentence stops on its own evidence,
and leaves the batch: when its length limit is reached, when nothing may follow, or when K
hypotheses are finished and no live one is credited with a better score than the best of them. So
neither neighbours nor the number of results asked for changes a result, and with K = 1 this is
greedy search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraint
from seq2seq.search.hypothesis import Finished, Hypothesis
from seq2seq.search.loop import Bonus, Live, Move, StateT, Step, run
from seq2seq.search.penalties import Score, plain
from seq2seq.special import EOS

Credit = Callable[[Score, Tensor, int, Tensor], Tensor]

EARLY_STOPPING: dict[str, Credit] = {
    "so_far": lambda score, log_probs, length, limits: score(log_probs, length),
    "never": lambda score, log_probs, length, limits: score(log_probs, limits),
    "first": lambda score, log_probs, length, limits: torch.full_like(log_probs, float("-inf")),
}
"""What a live hypothesis is credited with once K are finished, from its log-probability (B,), its
length and the limits (B,): its score so far, the best score that it can still get, nothing. (That K
are finished proves little where a model is sure of itself: its best output could end too early at
each step.)"""


BLOCK = 64
"""Entries of a row that are looked at together when its best ones are sought."""


@dataclass(frozen=True)
class Candidates:
    """Continuations of the live hypotheses, in the order in which they are taken.

    Attributes:
        log_probs: (P, M), P being sentences, or groups of a sentence's hypotheses; minus infinity
            for those that cannot be.
        rows: (P, M) the row of the hypothesis that goes on.
        tokens: (P, M) what it goes on with.
    """

    log_probs: Tensor
    rows: Tensor
    tokens: Tensor


class Choice(Protocol):
    """Chooses what goes on, knowing constrained log_probs (N, V) that it may overwrite."""

    groups: int
    """Groups of a sentence's hypotheses that are beams of their own."""

    def __call__(self, live: Live, log_probs: Tensor, size: int) -> Candidates:
        """Twice as many candidates as the size of the beam or group, if there are so many."""


class Best:
    """Chooses the likeliest continuations."""

    groups = 1

    def __call__(self, live: Live, log_probs: Tensor, size: int) -> Candidates:
        """See `Choice`."""
        batch, width = live.log_probs.shape
        scores, parents, tokens = candidates(live.log_probs, log_probs, 2 * size)
        offsets = torch.arange(batch, device=scores.device).unsqueeze(1) * width
        return Candidates(scores, parents + offsets, tokens)


class Beam:
    """The strategy, and what it has found so far.

    Args:
        limits: (B,) of the sentences.
        beam_size: K, hypotheses kept per sentence, a multiple of the groups.
        score: by which they are ranked.
        early_stopping: one of `EARLY_STOPPING`.
        choose: what goes on.
    """

    def __init__(
        self, limits: Tensor, beam_size: int, score: Score, early_stopping: str, choose: Choice
    ) -> None:
        places = limits.shape[0] * choose.groups
        self.choose = choose
        self.first_rows = choose.groups
        self.size = beam_size // choose.groups
        self.score = score
        self.credit = EARLY_STOPPING[early_stopping]
        self.finished = Finished(places)
        self.places = torch.arange(places, device=limits.device)
        self.count = torch.zeros(places, dtype=torch.long, device=limits.device)
        self.best_score = torch.full((places,), float("-inf"), device=limits.device)

    def advance(self, live: Live, log_probs: Tensor, bonus: Tensor | None) -> Move:
        """See `Strategy`."""
        found = self.choose(live, log_probs, self.size)
        ends = found.tokens == EOS
        self._finish(live, found, ends, bonus)
        order = going_on(ends, self.size)
        scores = found.log_probs.masked_fill(ends, float("-inf")).gather(1, order)
        rows = found.rows.gather(1, order).flatten()
        tokens = found.tokens.gather(1, order).view(-1, 1)
        grown = torch.cat((live.tokens[rows], tokens), dim=1)
        length, groups = grown.shape[1], self.choose.groups
        limits = live.limits if groups == 1 else live.limits.repeat_interleave(groups)
        at_limit = length >= limits
        credit = self.credit(self.score, scores.amax(dim=1), length, limits)
        alive = scores > float("-inf")
        enough = (self.count >= self.size) & (credit <= self.best_score)
        stop = enough | at_limit | ~alive.any(dim=1)
        shape = live.sentences.shape[0], -1
        after = Live(grown, scores.view(shape), live.sentences, live.limits)
        if not bool(stop.any()):
            return after, rows, None
        self._collect(after, alive & at_limit.unsqueeze(1), rows, bonus)
        self._lose(live, ~alive.any(dim=1) & (self.count == 0), bonus)
        if groups > 1:  # Its row count is that of the others, so a group that stops lies idle.
            scores = scores.masked_fill(stop.unsqueeze(1), float("-inf"))
            after = Live(grown, scores.view(shape), live.sentences, live.limits)
            stop = stop.view(shape).all(dim=1)
        keep = (~stop).nonzero().squeeze(1)
        parts = (self.places, self.count, self.best_score)
        kept = [part.view(shape)[keep].flatten() for part in parts]
        self.places, self.count, self.best_score = kept
        return after.keep(keep), rows.view(shape)[keep].flatten(), keep

    def _finish(self, live: Live, found: Candidates, ends: Tensor, bonus: Tensor | None) -> None:
        """Collect what ended among the first K candidates."""
        first = torch.arange(ends.shape[1], device=ends.device) < self.size
        done = ends & first & (found.log_probs > float("-inf"))
        scores = self._scores(found.log_probs, live.tokens.shape[1] + 1, found.rows, bonus)
        place, column = done.nonzero(as_tuple=True)
        if not place.shape[0]:
            return
        self.count = self.count + done.sum(dim=1)
        best = scores.masked_fill(~done, float("-inf")).amax(dim=1)
        self.best_score = torch.maximum(self.best_score, best)
        log_probs, rows = found.log_probs[place, column], found.rows[place, column]
        self.finished.add(
            self.places[place], scores[place, column], log_probs, live.tokens[rows], complete=True
        )

    def _lose(self, live: Live, lost: Tensor, bonus: Tensor | None) -> None:
        """Collect the hypotheses that nothing may follow, where (P,) there is nothing else."""
        alive = live.log_probs.view(lost.shape[0], -1) > float("-inf")
        rows = torch.arange(live.tokens.shape[0], device=lost.device)
        self._collect(live, lost.unsqueeze(1) & alive, rows, bonus)

    def _collect(self, live: Live, which: Tensor, rows: Tensor, bonus: Tensor | None) -> None:
        """Collect hypotheses that haven't ended where (P, R) is set; they come of rows (P·R,)."""
        picked = which.flatten().nonzero().squeeze(1)
        if picked.shape[0]:
            log_probs = live.log_probs.flatten()[picked]
            scores = self._scores(log_probs, live.tokens.shape[1], rows[picked], bonus)
            places = self.places[picked // which.shape[1]]
            self.finished.add(places, scores, log_probs, live.tokens[picked], complete=False)

    def _scores(self, log_probs: Tensor, length: int, rows: Tensor, bonus: Tensor | None) -> Tensor:
        scores = self.score(log_probs, length)
        return scores if bonus is None else scores + bonus[rows]


def beam_search(
    step: Step[StateT],
    state: StateT,
    limits: Tensor,
    *,
    beam_size: int,
    n_best: int = 1,
    score: Score = plain,
    early_stopping: str = "so_far",
    choose: Choice | None = None,
    constraints: Sequence[Constraint] = (),
    bonus: Bonus[StateT] | None = None,
) -> list[list[Hypothesis]]:
    """Search B sentences at once.

    Args:
        step: gives the log-probabilities of the next tokens.
        state: where it starts, one row per sentence.
        limits: (B,) most tokens of each sentence's outputs, end mark counted.
        beam_size: K, hypotheses kept per sentence.
        n_best: hypotheses to return per sentence.
        score: by which hypotheses are ranked.
        early_stopping: one of `EARLY_STOPPING`.
        choose: what goes on; by default the likeliest.
        constraints: what must not be produced.
        bonus: of the scores; live hypotheses are compared without.

    Returns:
        For each sentence from one to `n_best` hypotheses, best first. One that reached its limit
        without ending stands after all complete ones, with `complete` unset, and so do those that
        nothing may follow where no other was found.
    """
    beam = Beam(limits, beam_size, score, early_stopping, choose or Best())
    run(beam, step, state, limits, constraints, bonus)
    return beam.finished.best(n_best, beam.choose.groups)


def going_on(ends: Tensor, size: int) -> Tensor:
    """Places (P, size) of the first candidates that don't end, given which of them (P, M) do."""
    return torch.sort(ends.int(), dim=1, stable=True).indices[:, :size]


def candidates(beams: Tensor, log_probs: Tensor, num: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of beams (B, R) by log_probs (B·R, V), equal ones by token id.

    Returns:
        Log-probabilities, parent row within the sentence and token, each (B, num) or fewer.
    """
    batch, width = beams.shape
    values, tokens = best_tokens(log_probs, num)
    scores = (beams.unsqueeze(2) + values.view(batch, width, -1)).flatten(1)
    tokens = tokens.reshape(batch, -1)
    by_token = torch.sort(tokens, dim=1, stable=True).indices
    by_score = torch.sort(scores.gather(1, by_token), dim=1, descending=True, stable=True).indices[
        :, :num
    ]
    order = by_token.gather(1, by_score)
    return scores.gather(1, order), order // (values.shape[1]), tokens.gather(1, order)


def best_tokens(log_probs: Tensor, num: int) -> tuple[Tensor, Tensor]:
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
