"""Padded tensors for the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.data.encoding import EncodedCorpus
from seq2seq.special import BOS, EOS, PAD

Rows = Sequence[npt.NDArray[np.integer] | Sequence[int]]
"""Id sequences."""


@dataclass(frozen=True)
class Batch:
    """Pairs of sentences side by side, padded at the end.

    Attributes:
        src: Source ids with end marks, shape (B, S).
        src_in: What the encoder reads: the same, but with word dropout some of them are `<unk>`.
        src_lengths: Source ids of each row, shape (B,); always on the CPU.
        tgt_in: What the decoder reads: the begin mark and the target ids, shape (B, T). With word
            dropout some of them are `<unk>` here.
        tgt_out: What the decoder should say: the target ids and the end mark, shape (B, T).
        index: Positions of the pairs in their corpus, shape (B,).
        num_tokens: Target ids with end marks, without padding.
    """

    src: Tensor
    src_in: Tensor
    src_lengths: Tensor
    tgt_in: Tensor
    tgt_out: Tensor
    index: npt.NDArray[np.int64]
    num_tokens: int

    def to(self, device: torch.device | str) -> "Batch":
        """The batch with its ids on a device; nobody waits until they are there."""
        ids = [self.src, self.src_in, self.tgt_in, self.tgt_out]
        if torch.device(device).type == "cuda":
            # The GPU fetches pinned memory by itself, any other is copied first.
            ids = [part.pin_memory() for part in ids]
        src, src_in, tgt_in, tgt_out = (part.to(device, non_blocking=True) for part in ids)
        return replace(self, src=src, src_in=src_in, tgt_in=tgt_in, tgt_out=tgt_out)

    def halves(self) -> tuple["Batch", "Batch"]:
        """The upper and the lower half of the pairs, each as long as its own longest."""
        middle = len(self.index) // 2
        return self._rows(slice(middle)), self._rows(slice(middle, None))

    def _rows(self, rows: slice) -> "Batch":
        lengths, tgt_lengths = self.src_lengths[rows], (self.tgt_out[rows] != PAD).sum(dim=1)
        src_end, tgt_end = int(lengths.max()), int(tgt_lengths.max())
        return Batch(
            self.src[rows, :src_end],
            self.src_in[rows, :src_end],
            lengths,
            self.tgt_in[rows, :tgt_end],
            self.tgt_out[rows, :tgt_end],
            self.index[rows],
            int(tgt_lengths.sum()),
        )

    def describe(self) -> str:
        """Its lengths in words, for messages."""
        return f"{self.src.shape[1]:,} source and {self.tgt_out.shape[1]:,} target tokens"


def pad(sequences: Rows) -> tuple[Tensor, Tensor]:
    """Lay sequences side by side.

    Returns:
        The ids, shape (B, S), int64, filled up with `PAD`, and the lengths, shape (B,), int64.
    """
    lengths = [len(sequence) for sequence in sequences]
    padded = np.full((len(sequences), max(lengths, default=0)), PAD, dtype=np.int64)
    for row, length, sequence in zip(padded, lengths, sequences, strict=True):
        row[:length] = sequence
    return torch.from_numpy(padded), torch.tensor(lengths, dtype=torch.int64)


def load_batch(
    corpus: EncodedCorpus, index: npt.NDArray[np.int64], rounds: int | npt.NDArray[np.int64] = 0
) -> Batch:
    """Read a batch of pairs.

    Args:
        corpus: The encoded pairs.
        index: Positions of the pairs in the corpus.
        rounds: Of all pairs or each, shape (B,). With the corpus' seed and a pair's line it
            determines how the pair is segmented and what noise it gets, if the corpus has subword
            sampling or noise.
    """
    rounds = np.broadcast_to(rounds, index.shape)
    src_ids: Rows
    tgt_ids: Rows
    if corpus.sampling is None:
        src_ids = [corpus.src(i) for i in index.tolist()]
        tgt_ids = [corpus.tgt(i) for i in index.tolist()]
    else:
        src_ids, tgt_ids = corpus.sample(index, rounds)
    src, src_lengths = pad(src_ids)
    tgt_out, tgt_lengths = pad(tgt_ids)
    tgt_in = torch.empty_like(tgt_out)
    tgt_in[:, 0] = BOS
    tgt_in[:, 1:] = tgt_out[:, :-1]
    tgt_in[tgt_in == EOS] = PAD
    src_in = src
    if corpus.noise is not None:
        lines = np.array([corpus.line(i) for i in index.tolist()])
        noisy = corpus.noise.on_source(src.numpy(), src_lengths.numpy(), rounds, lines)
        src, src_in = map(torch.from_numpy, noisy)
        tgt_in = torch.from_numpy(corpus.noise.on_target(tgt_in.numpy(), rounds, lines))
    return Batch(src, src_in, src_lengths, tgt_in, tgt_out, index, int(tgt_lengths.sum()))
