"""The source as attention sees it, and what all kinds of attention share.

The source is projected to keys once per sentence (`Memory`). Kinds that only compare take a whole
teacher-forced target at once, or all hypotheses of a sentence: both are just more queries to the
same keys. Kinds that remember where they looked before go step by step.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.model.loop import loop


@dataclass(frozen=True)
class Memory:
    """What is attended to, one row per sentence.

    Attributes:
        keys: (B, S, A), or (B, heads, S, A/heads) for several heads.
        values: (B, S, M), or like the keys for several heads.
        mask: (B, S), True at real tokens.
        tokens: source ids (B, S), if they can be copied.
        embeddings: of the source (B, S, E), if there is a lexical model.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    tokens: Tensor | None = None
    embeddings: Tensor | None = None

    def select(self, sentences: Tensor) -> "Memory":
        """Keep the given sentences, (B',)."""
        parts: dict[str, Any] = {
            name: part.index_select(0, sentences)
            for name, part in vars(self).items()
            if part is not None
        }
        return replace(self, **parts)


@dataclass(frozen=True)
class Attended:
    """What came of attending from N rows of T queries.

    Attributes:
        contexts: averages of the values, (N, T, M).
        weights: (N, T, S), zero at padding, of several heads their mean. They sum to one;
            those of `monotonic` to one at most.
        past: what to remember after the last step, (N, S).
    """

    contexts: Tensor
    weights: Tensor
    past: Tensor | None


class Attention(nn.Module, ABC):
    """A kind of attention: what it compares and what it remembers."""

    def build_memory(self, values: Tensor, mask: Tensor) -> Memory:
        """Prepare encoder states (B, S, M) with their mask (B, S)."""
        return Memory(self.project_keys(values), values, mask)

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> keys (B, S, A); here the values themselves."""
        return values

    def start(self, memory: Memory) -> Tensor | None:
        """What a kind that remembers does so before the first step, (B, S)."""
        return None

    def remember(self, past: Tensor, weights: Tensor) -> Tensor:
        """The past after a step with these weights, both (N, S); here just the weights."""
        return weights

    @abstractmethod
    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Contexts (B, Q, M) and weights (B, Q, S) of queries (B, Q, H), each with a past (S)."""

    def forward(self, query: Tensor, memory: Memory, past: Tensor | None = None) -> Attended:
        """Attend from each query.

        Args:
            query: (N, T, H), an equal number of neighbouring rows per sentence.
            memory: B sentences.
            past: (N, S) of a kind that remembers; then there is a loop over T.
        """
        if past is None:
            return Attended(*self._read(query, memory, None), None)
        steps = []
        with loop(query.shape[1]):
            for step in torch.split(query, 1, dim=1):
                contexts, weights = self._read(step, memory, past)
                past = self.remember(past, weights[:, 0])
                steps.append((contexts, weights))
        contexts, weights = (torch.cat(parts, dim=1) for parts in zip(*steps, strict=True))
        return Attended(contexts, weights, past)

    def _read(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `forward`, the rows of a sentence side by side as queries to it."""
        batch, rows, steps = memory.mask.shape[0], query.shape[0], query.shape[1]
        grouped = query.reshape(batch, -1, query.shape[2])
        before = None if past is None else past.view(batch, -1, past.shape[1])
        contexts, weights = self.attend(grouped, memory, before)
        return contexts.view(rows, steps, -1), weights.view(rows, steps, -1)


def read(scores: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """Contexts (B, Q, M) and weights (B, Q, S), the softmax of scores (B, Q, S)."""
    scores = widen(scores).masked_fill(~memory.mask.unsqueeze(1), float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return average(weights, memory.values), weights


def widen(scores: Tensor) -> Tensor:
    """Scores in float32 at least: sums of exponentials want it, in bfloat16 training too."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def average(weights: Tensor, values: Tensor) -> Tensor:
    """Sums (N, T, ·) of values (B, S, ·) by weights (N, T, S) of N/B rows for each of them."""
    grouped = weights.to(values.dtype).reshape(values.shape[0], -1, values.shape[1])
    return torch.bmm(grouped, values).view(*weights.shape[:2], -1)
