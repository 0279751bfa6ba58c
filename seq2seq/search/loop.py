"""The loop that all searches share: read the last tokens, constrain what may follow, go on.

How hypotheses go on is up to a strategy; a sentence leaves the batch as soon as it is done with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraint
from seq2seq.special import BOS

SelfT = TypeVar("SelfT")


class SearchState(Protocol):
    """What a step function needs to remember."""

    def select(self: SelfT, rows: Tensor, sentences: Tensor | None = None) -> SelfT:
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""


StateT = TypeVar("StateT", bound=SearchState)
Step = Callable[[Tensor, StateT], tuple[Tensor, StateT]]
"""(last tokens (N,), state) -> (log-probabilities (N, V) that search may overwrite, state)."""
Bonus = Callable[[StateT], Tensor]
"""State after a step -> what the score of each row gets on top, (N,), at most 0, if it ends now."""


@dataclass(frozen=True)
class Live:
    """The hypotheses that go on, R neighbouring rows for each of B sentences.

    Attributes:
        tokens: (B·R, t) produced so far.
        log_probs: (B, R); minus infinity for rows that don't count.
        sentences: (B,) place of each sentence in the batch.
        limits: (B,) most tokens, end mark counted.
    """

    tokens: Tensor
    log_probs: Tensor
    sentences: Tensor
    limits: Tensor

    def owners(self) -> Tensor:
        """The place in the batch of each row's sentence, (B·R,)."""
        return self.sentences.repeat_interleave(self.log_probs.shape[1])

    def keep(self, sentences: Tensor) -> "Live":
        """Those of some of the sentences, (B',)."""
        batch, length = self.log_probs.shape[0], self.tokens.shape[1]
        return Live(
            self.tokens.view(batch, -1, length)[sentences].flatten(0, 1),
            self.log_probs[sentences],
            self.sentences[sentences],
            self.limits[sentences],
        )


Move = tuple[Live, Tensor | None, Tensor | None]
"""(What lives after a step, the rows (N',) it comes from if they changed, the sentences (B',) that
stay if not all do)."""


class Strategy(Protocol):
    """How the hypotheses of one batch go on."""

    first_rows: int
    """Rows per sentence to start with."""

    def advance(self, live: Live, log_probs: Tensor, bonus: Tensor | None) -> Move:
        """Extend by a token, given constrained log_probs (N, V) and the bonus (N,) of each row."""


@torch.inference_mode()
def run(
    strategy: Strategy,
    step: Step[StateT],
    state: StateT,
    limits: Tensor,
    constraints: Sequence[Constraint] = (),
    bonus: Bonus[StateT] | None = None,
) -> None:
    """Go on until nothing lives; the strategy keeps what was found.

    Args:
        strategy: a fresh one.
        step: gives the log-probabilities of the next tokens.
        state: where it starts, one row per sentence.
        limits: (B,) most tokens of each sentence's outputs, end mark counted.
        constraints: what must not be produced, in the order in which they are applied.
        bonus: of the scores.
    """
    device, batch, rows = limits.device, limits.shape[0], strategy.first_rows
    sentences = torch.arange(batch, device=device)
    if rows > 1:
        state = state.select(sentences.repeat_interleave(rows))
    live = Live(
        tokens=torch.empty(batch * rows, 0, dtype=torch.long, device=device),
        log_probs=torch.zeros(batch, rows, device=device),
        sentences=sentences,
        limits=limits,
    )
    last = torch.full((batch * rows,), BOS, dtype=torch.long, device=device)
    while live.sentences.shape[0]:
        log_probs, state = step(last, state)
        owners = live.owners()
        for constraint in constraints:
            constraint(log_probs, live.tokens, owners)
        extra = None if bonus is None else bonus(state)
        live, moved, stay = strategy.advance(live, log_probs, extra)
        if moved is not None:
            state = state.select(moved, stay)
        last = live.tokens[:, -1]
