"""Searches without a network: what may follow depends on the last two tokens alone."""

from dataclasses import dataclass

import numpy as np
import oracles
import torch
from torch import Tensor

from seq2seq.search.banned import Banned, Spelling
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import Ban
from seq2seq.special import BOS, EOS, PAD

VOCAB = 7
FORBIDDEN = Ban([PAD, BOS])
WIDE = 10_000
"""A beam that holds all there is."""
_BANNED = {}


@dataclass(frozen=True)
class Chains:
    """State of a search over tables (B, V, V, V): rows (N, 2) hold their last two tokens."""

    tables: Tensor
    rows: Tensor

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> "Chains":
        tables = self.tables if sentences is None else self.tables[sentences]
        return Chains(tables, self.rows[rows])


def step(tokens: Tensor, state: Chains) -> tuple[Tensor, Chains]:
    rows = torch.stack((state.rows[:, 1], tokens), dim=1)
    width = len(rows) // len(state.tables)
    sentence = torch.arange(len(state.tables)).repeat_interleave(width)
    return state.tables[sentence, rows[:, 0], rows[:, 1]], Chains(state.tables, rows)


def start(tables) -> Chains:
    tables = torch.as_tensor(tables)
    return Chains(tables, torch.full((len(tables), 2), BOS))


def search(tables, limits, **keys):
    """Beam search over tables; all hypotheses of the beam if not told otherwise."""
    keys = {"beam_size": 3, "n_best": keys.get("beam_size", 3), "constraints": [FORBIDDEN]} | keys
    return beam_search(step, start(tables), torch.as_tensor(limits), **keys)


def random_tables(batch, vocab=VOCAB):
    """Log-probabilities in numbers of 64 bits, like the oracles': their sums are never near."""
    return torch.randn(batch, vocab, vocab, vocab).double().mul(1.5).log_softmax(dim=-1)


def tied_tables(batch, vocab=VOCAB):
    """Log-probabilities whose sums are exact and often equal."""
    return -torch.randint(1, 4, (batch, vocab, vocab, vocab)).float()


def allowed(table, forbidden=(PAD, BOS)):
    table = table.double().numpy().copy()
    table[..., list(forbidden)] = -np.inf
    return oracles.chain(table)


def ban(phrases, vocab=VOCAB):
    """Bans phrases of tokens, each of which writes a sign of its own."""
    if not phrases:
        return None
    signs = ["" if i in (PAD, BOS) else " " if i == EOS else chr(0x4E00 + i) for i in range(vocab)]
    texts = ["".join(signs[i] for i in ids) for ids in phrases]
    banned = Banned(texts, Spelling(signs, lambda char: False))
    _BANNED[banned] = phrases
    return banned


def banned_ids(request):
    """The phrases that a request bans by `ban`, as tokens."""
    return [ids for banned in request.banned for ids in _BANNED[banned]]
