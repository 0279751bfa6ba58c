"""Attention through a layer over query and key, some kinds with a look at what was attended to."""

import torch
from torch import Tensor, nn

from seq2seq.model.initialise import init_linear
from seq2seq.model.memory import Attention, Memory, read, widen

MAX_FERTILITY = 2.0
"""Most target tokens that `coverage` expects of a source token, as Tu et al. (2016) set it."""

MIN_SHARE = 1e-4
"""Least share of it: unbounded encoder states (`rnn_relu`, `ssru`) can make a sigmoid zero, and by
its inverse, which is infinite, even what is not covered at all would be no number."""

FILTERS, WIDTH = 8, 11
"""Filters of `location` and how many source positions each sees; odd."""


class BahdanauAttention(Attention):
    """Additive attention, v·tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2).

    Without the bias of W it is what Luong et al. (2015, equation 8) call "concat",
    v·tanh([W U] [q; k]).
    """

    def __init__(self, query_size: int, value_size: int, *, bias: bool = True) -> None:
        super().__init__()
        self.query = init_linear(nn.Linear(query_size, query_size, bias=bias))
        self.key = init_linear(nn.Linear(value_size, query_size, bias=False))
        self.energy = init_linear(nn.Linear(query_size, 1, bias=False))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> U k, (B, S, H)."""
        keys: Tensor = self.key(values)
        return keys

    def score(self, query: Tensor, keys: Tensor, more: Tensor | None = None) -> Tensor:
        """Scores (B, Q, S) through a (B, Q, S, H) sum, to which `more` of that shape is added."""
        joined = self.query(query).unsqueeze(2) + keys.unsqueeze(1)
        if more is not None:
            joined = joined + more
        scores: Tensor = self.energy(torch.tanh(joined)).squeeze(-1)
        return scores

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        return read(self.score(query, memory.keys), memory)


class CoverageAttention(Attention):
    """Additive attention that sees how much each token was attended to before (Tu et al. 2016).

    Their linguistic model: the weights so far, summed and divided by the token's
    fertility, join the sum under the tanh.
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.additive = BahdanauAttention(query_size, value_size)
        self.fertility = init_linear(nn.Linear(value_size, 1))
        self.coverage = init_linear(nn.Linear(1, query_size, bias=False))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> U k and one over the fertility, (B, S, H + 1)."""
        shares = torch.sigmoid(self.fertility(values)).clamp(min=MIN_SHARE)
        rates = 1 / (MAX_FERTILITY * shares)
        return torch.cat((self.additive.project_keys(values), rates), dim=-1)

    def start(self, memory: Memory) -> Tensor:
        """Nothing is covered."""
        return widen(memory.values.new_zeros(memory.mask.shape))

    def remember(self, past: Tensor, weights: Tensor) -> Tensor:
        """The sum of all weights."""
        return past + weights

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        assert past is not None
        keys, rates = memory.keys[:, :, :-1], memory.keys[:, :, -1:]
        covered = self.coverage((past * rates.transpose(1, 2)).unsqueeze(3))
        return read(self.additive.score(query, keys, covered), memory)


class LocationAttention(Attention):
    """Additive attention that sees where it looked last (Chorowski et al. 2015).

    The last weights, convolved over the source positions, join the sum under the tanh.
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.additive = BahdanauAttention(query_size, value_size)
        self.filters = nn.Conv1d(1, FILTERS, WIDTH, padding=WIDTH // 2, bias=False)
        nn.init.xavier_uniform_(self.filters.weight)
        self.location = init_linear(nn.Linear(FILTERS, query_size, bias=False))

    def project_keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> U k, (B, S, H)."""
        return self.additive.project_keys(values)

    def start(self, memory: Memory) -> Tensor:
        """It looked nowhere."""
        return widen(memory.values.new_zeros(memory.mask.shape))

    def attend(self, query: Tensor, memory: Memory, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        assert past is not None
        around = self.filters(past.reshape(-1, 1, past.shape[2])).transpose(1, 2)
        located = self.location(around).view(*past.shape, -1)
        return read(self.additive.score(query, memory.keys, located), memory)
