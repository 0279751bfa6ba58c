"""Noise on what the network reads in training: words that go missing or change their places.

Each number that decides is a hash of (seed, epoch, line, position), so that the noise of a pair
depends on nothing else: not on its batch, nor on the order of batches, nor on where a run was
resumed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seq2seq import recipe
from seq2seq.special import EOS, UNK

Ids = npt.NDArray[np.int64]
Purpose = Literal["src_word_dropout", "tgt_word_dropout", "src_shuffle"]

_PURPOSES: dict[Purpose, int] = {"src_word_dropout": 1, "tgt_word_dropout": 2, "src_shuffle": 3}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_UNUSED_BITS = np.uint64(11)


@dataclass(frozen=True)
class Noise:
    """How training pairs are changed.

    Attributes:
        src_word_dropout: Probability that a source piece is read as `<unk>`.
        tgt_word_dropout: Probability that the decoder reads a target piece as `<unk>`.
        src_shuffle: Most places that a source piece moves.
        seed: With epoch and line number it determines what happens to a pair.
    """

    src_word_dropout: float
    tgt_word_dropout: float
    src_shuffle: int
    seed: int

    def on_source(self, src: Ids, lengths: Ids, epoch: int, lines: Ids) -> Ids:
        """What the encoder reads.

        Args:
            src: Source ids with end marks and padding, shape (B, S).
            lengths: Source ids of each row with the end mark, shape (B,).
            epoch: Of training.
            lines: Numbers of the pairs in their corpus, shape (B,).
        """
        if self.src_shuffle:
            draws = uniform(self.seed, "src_shuffle", epoch, lines, src.shape[1])
            src = shuffle(src, lengths, self.src_shuffle, draws)
        if self.src_word_dropout:
            draws = uniform(self.seed, "src_word_dropout", epoch, lines, src.shape[1])
            src = drop_words(src, self.src_word_dropout, draws)
        return src

    def on_target(self, tgt_in: Ids, epoch: int, lines: Ids) -> Ids:
        """What the decoder reads, shape (B, T); what it should say stays as it is."""
        if self.tgt_word_dropout:
            draws = uniform(self.seed, "tgt_word_dropout", epoch, lines, tgt_in.shape[1])
            tgt_in = drop_words(tgt_in, self.tgt_word_dropout, draws)
        return tgt_in


def build_noise(section: recipe.Training, seed: int) -> Noise | None:
    """The noise of the recipe, or None if it wants none."""
    amounts = section.src_word_dropout, section.tgt_word_dropout, section.src_shuffle
    return Noise(*amounts, seed) if any(amounts) else None


def drop_words(ids: Ids, probability: float, draws: npt.NDArray[np.float64]) -> Ids:
    """Replace pieces by `UNK`, but never a mark or padding.

    Gal & Ghahramani (2016), section 4.2, drop a word for a whole sentence; here each of its
    occurrences has its own chance, as in Bowman et al. (2016).

    Args:
        ids: Shape (B, S).
        probability: Of each piece.
        draws: Uniform numbers in [0, 1), shape (B, S).
    """
    return np.where((draws < probability) & (ids > EOS), UNK, ids)


def shuffle(ids: Ids, lengths: Ids, distance: int, draws: npt.NDArray[np.float64]) -> Ids:
    """Shuffle pieces slightly; end marks and padding stay where they are.

    Lample et al. (2018), section 2.3: sorting by i + u, where u is uniform in [0, distance + 1),
    moves no piece by more than `distance` places.

    Args:
        ids: Shape (B, S).
        lengths: Ids of each row with the end mark, shape (B,).
        distance: Most places that a piece moves.
        draws: Uniform numbers in [0, 1), shape (B, S).
    """
    positions = np.arange(ids.shape[1])
    draws = np.where(positions < lengths[:, None] - 1, draws, 1.0)
    order = np.argsort(positions + draws * (distance + 1), axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1)


def uniform(
    seed: int, purpose: Purpose, epoch: int, lines: Ids, length: int
) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), shape (B, length), each a function of the arguments alone.

    The hash is the finaliser of SplitMix64 (Steele et al. 2014), applied for each argument in turn.
    """
    state = np.zeros((1, 1), dtype=np.uint64)
    for part in (seed, _PURPOSES[purpose], epoch, lines[:, None], np.arange(length)):
        state = _mix(state ^ _mix(np.array(part, ndmin=1).astype(np.uint64) + _GOLDEN))
    return (state >> _UNUSED_BITS).astype(np.float64) * 2.0**-53


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> _SHIFTS[0])) * _FACTORS[0]
    state = (state ^ (state >> _SHIFTS[1])) * _FACTORS[1]
    return state ^ (state >> _SHIFTS[2])
