"""The recurrent decoder with attention.

There is one path for training, scoring and search: `forward` over any number of steps. In training
these are the whole target, in search one, with several hypotheses (rows) per sentence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seq2seq import recipe
from seq2seq.model.attention import build_attention
from seq2seq.model.cells import Noise, State
from seq2seq.model.dropout import Dropout, Dropouts
from seq2seq.model.embedding import Embedding
from seq2seq.model.initialise import init_linear
from seq2seq.model.loop import loop
from seq2seq.model.memory import Memory
from seq2seq.model.recurrent import Recurrent


@dataclass(frozen=True)
class DecoderState:
    """Where the decoder is, for N rows, an equal number of neighbouring ones per sentence.

    Attributes:
        lower: state of the layers below the attention, each (L, N, H).
        upper: state of the layers above it, each (L, N, H); empty if there are none.
        feed: the last readout (N, R) for input feeding.
        memory: the source, one row per sentence; absent without attention.
        past: (N, S) what an attention that remembers knows of the steps so far.
        weights: (N, T, S) attention of the steps that led here, all those of the last call; for
            those who want to see it, so `select` doesn't keep it.
    """

    lower: State
    upper: State
    feed: Tensor | None
    memory: Memory | None
    past: Tensor | None = None
    weights: Tensor | None = None

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "DecoderState":
        """Tile, reorder or drop rows, (N',), and sentences, (B',), if not all of them stay."""
        return DecoderState(
            tuple(part.index_select(1, rows) for part in self.lower),
            tuple(part.index_select(1, rows) for part in self.upper),
            None if self.feed is None else self.feed.index_select(0, rows),
            self.memory
            if self.memory is None or sentences is None
            else self.memory.select(sentences),
            None if self.past is None else self.past.index_select(0, rows),
        )

    def detach(self) -> "DecoderState":
        """The same state without a gradient to the steps so far; the source keeps its gradient."""
        return replace(
            self,
            lower=tuple(part.detach() for part in self.lower),
            upper=tuple(part.detach() for part in self.upper),
            feed=None if self.feed is None else self.feed.detach(),
            past=None if self.past is None else self.past.detach(),
        )


Drop = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Drops:
    """What is dropped in one pass over a target, drawn before its first step.

    Attributes:
        query: drops from what the attention reads.
        hidden: from what the readout reads.
        output: from what the output layer reads.
        lower: noise of the layers below the attention.
        second: noise of the second transition.
        upper: noise of the layers above the attention.
    """

    query: Drop
    hidden: Drop
    output: Drop
    lower: Sequence[Noise]
    second: Sequence[Noise] | None
    upper: Sequence[Noise] | None


class Decoder(nn.Module):
    """Predicts features of the next token from the tokens so far and the attended source.

    The layers below the attention (one for `first_layer` and `conditional` feeding, otherwise all)
    read the embeddings, the attention compares their output with the source, the layers above read
    both. With `conditional` feeding a second transition takes the state of the layer below through
    the context before the next step begins. With `input` feeding the readout joins the next step's
    input. Each of these two costs a loop over time.
    """

    def __init__(
        self,
        section: recipe.Decoder,
        embedding: Embedding,
        memory_size: int,
        readout_size: int,
        dropouts: Dropouts,
    ) -> None:
        super().__init__()
        hidden = section.hidden_size
        attends = section.attention is not None
        below = attends and section.feeding in ("first_layer", "conditional")
        num_lower = 1 if below else section.num_layers
        num_upper = section.num_layers - num_lower
        context = (hidden if section.context_gate else memory_size) if attends else 0
        self.input_feeding = attends and section.feeding == "input"
        self.deep_output = section.deep_output
        self.readout_size = readout_size
        self.embedding = embedding
        self.embedding_dropout = Dropout(dropouts.embedding, locked=dropouts.locked)
        self.dropout = Dropout(dropouts.hidden, locked=dropouts.locked)
        self.output_dropout = Dropout(dropouts.output, locked=dropouts.locked)

        def stack(input_size: int, num_layers: int, *, on_top: bool = False) -> Recurrent:
            return Recurrent(
                section.rnn_type,
                input_size,
                hidden,
                num_layers,
                residual=section.residual,
                on_top=on_top,
                transition_depth=section.transition_depth,
                dropouts=dropouts,
            )

        fed = section.embedding_dim + (readout_size if self.input_feeding else 0)
        self.lower = stack(fed, num_lower)
        self.upper = stack(hidden + context, num_upper, on_top=True) if num_upper else None
        self.attention = (
            build_attention(section.attention, hidden, memory_size, section.attention_heads)
            if section.attention
            else None
        )
        self.second = stack(memory_size, 1) if section.feeding == "conditional" else None
        self.context_gate = (
            ContextGate(section.embedding_dim, hidden, memory_size)
            if section.context_gate
            else None
        )
        seen = hidden + context + (section.embedding_dim if section.deep_output else 0)
        self.readout = init_linear(nn.Linear(seen, readout_size))

    def forward(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read tokens (N, T) and return features of each next one, (N, T, R), and the new state."""
        embedded = self.embedding_dropout(self.embedding(tokens))
        drops = self._draw(embedded)
        if not self.input_feeding:
            return self._run(embedded, state, drops)
        features, weights = [], []
        with loop(embedded.shape[1]):
            for step in embedded.split(1, dim=1):
                feature, state = self._run(step, state, drops)
                features.append(feature)
                weights.append(state.weights)
        return torch.cat(features, dim=1), replace(state, weights=join_steps(weights))

    def _draw(self, embedded: Tensor) -> _Drops:
        return _Drops(
            self.dropout.over_steps(),
            self.dropout.over_steps(),
            self.output_dropout.over_steps(),
            self.lower.draw(embedded),
            None if self.second is None else self.second.draw(embedded),
            None if self.upper is None else self.upper.draw(embedded),
        )

    def _run(
        self, embedded: Tensor, state: DecoderState, drops: _Drops
    ) -> tuple[Tensor, DecoderState]:
        """All layers over embedded tokens (N, T, E)."""
        inputs = embedded
        if self.input_feeding:
            assert state.feed is not None
            inputs = _join(embedded, state.feed.unsqueeze(1))
        look = self._look if self.second is None else self._look_and_move
        hidden, context, state = look(inputs, state, drops)
        if self.context_gate is not None:
            hidden, context = self.context_gate(embedded, hidden, context)
        upper = state.upper
        if self.upper is not None:
            hidden, upper = self.upper(_join(hidden, context), state.upper, noise=drops.upper)
            hidden = drops.hidden(hidden)
        seen = _join(hidden, context, embedded if self.deep_output else None)
        features = drops.output(torch.tanh(self.readout(seen)))
        feed = features[:, -1] if self.input_feeding else None
        return features, replace(state, upper=upper, feed=feed)

    def _look(
        self, inputs: Tensor, state: DecoderState, drops: _Drops
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """The layers below the attention, each in one call, and their look at the source."""
        hidden, lower = self.lower(inputs, state.lower, noise=drops.lower)
        hidden = drops.query(hidden)
        if self.attention is None:
            return hidden, None, replace(state, lower=lower)
        assert state.memory is not None
        found = self.attention(hidden, state.memory, state.past)
        state = replace(state, lower=lower, past=found.past, weights=found.weights)
        return hidden, found.contexts, state

    def _look_and_move(
        self, inputs: Tensor, state: DecoderState, drops: _Drops
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """The same, with a second transition that begins where the first ended."""
        assert self.second is not None
        steps, weights = [], []
        with loop(inputs.shape[1]):
            for step in torch.split(inputs, 1, dim=1):
                _, context, state = self._look(step, state, drops)
                hidden, lower = self.second(context, state.lower, noise=drops.second)
                state = replace(state, lower=lower)
                steps.append((hidden, context))
                weights.append(state.weights)
        hiddens, contexts = (torch.cat(parts, dim=1) for parts in zip(*steps, strict=True))
        return self.dropout(hiddens), contexts, replace(state, weights=join_steps(weights))


class ContextGate(nn.Module):
    """Balances what comes from the source against what comes from the target (Tu et al. 2017).

    A gate z from the last token, the state and the context weighs the projected context by z and
    the state by 1 - z, unit by unit.
    """

    def __init__(self, embedding_dim: int, hidden_size: int, context_size: int) -> None:
        super().__init__()
        seen = embedding_dim + hidden_size + context_size
        self.gate = init_linear(nn.Linear(seen, hidden_size))
        self.context = init_linear(nn.Linear(context_size, hidden_size, bias=False))

    def forward(self, embedded: Tensor, hidden: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh hidden (N, T, H) and context (N, T, M), both to (N, T, H)."""
        gate = torch.sigmoid(self.gate(_join(embedded, hidden, context)))
        return (1 - gate) * hidden, gate * self.context(context)


def _join(first: Tensor, *others: Tensor | None) -> Tensor:
    """Features side by side, in the type of the first."""
    parts = [first, *(part.to(first.dtype) for part in others if part is not None)]
    return torch.cat(parts, dim=-1) if len(parts) > 1 else first


def join_steps(weights: list[Tensor | None]) -> Tensor | None:
    """Attention weights, each (N, 1, S), one after the other."""
    known = [part for part in weights if part is not None]
    return torch.cat(known, dim=1) if known else None
