"""Noise on what the network reads in training: words that go missing or change their places.

Each number that decides is a function of (seed, round, line, position), see `draws`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seq2seq import recipe
from seq2seq.draws import uniform
from seq2seq.special import EOS, UNK

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """How training pairs are changed.

    Attributes:
        src_word_dropout: Probability that a source piece is read as `<unk>`.
        tgt_word_dropout: Probability that the decoder reads a target piece as `<unk>`.
        src_shuffle: Most places that a source piece moves.
        seed: With round and line number it determines what happens to a pair.
    """

    src_word_dropout: float
    tgt_word_dropout: float
    src_shuffle: int
    seed: int

    def on_source(self, src: Ids, lengths: Ids, rounds: Ids, lines: Ids) -> tuple[Ids, Ids]:
        """What the source is, and what the encoder reads.

        Args:
            src: Source ids with end marks and padding, shape (B, S).
            lengths: Source ids of each row with the end mark, shape (B,).
            rounds: How often each pair came before, shape (B,).
            lines: Numbers of the pairs in their corpus, shape (B,).
        """
        if self.src_shuffle:
            draws = uniform(self.seed, "src_shuffle", *_places(src, rounds, lines))
            src = shuffle(src, lengths, self.src_shuffle, draws)
        read = src
        if self.src_word_dropout:
            draws = uniform(self.seed, "src_word_dropout", *_places(src, rounds, lines))
            read = drop_words(src, self.src_word_dropout, draws)
        return src, read

    def on_target(self, tgt_in: Ids, rounds: Ids, lines: Ids) -> Ids:
        """What the decoder reads, shape (B, T); what it should say stays as it is."""
        if self.tgt_word_dropout:
            draws = uniform(self.seed, "tgt_word_dropout", *_places(tgt_in, rounds, lines))
            tgt_in = drop_words(tgt_in, self.tgt_word_dropout, draws)
        return tgt_in


def build_noise(section: recipe.Training, seed: int) -> Noise | None:
    """The noise of the recipe, or None if it wants none."""
    amounts = section.src_word_dropout, section.tgt_word_dropout, section.src_shuffle
    return Noise(*amounts, seed) if any(amounts) else None


def drop_words(ids: Ids, probability: float, draws: npt.NDArray[np.float32]) -> Ids:
    """Replace pieces by `UNK`, but never a mark or padding.

    Gal & Ghahramani (2016), section 4.2, drop a word for a whole sentence; here each of its
    occurrences has its own chance, as in Bowman et al. (2016).

    Args:
        ids: Shape (B, S).
        probability: Of each piece.
        draws: Uniform numbers in [0, 1), shape (B, S).
    """
    return np.where((draws < probability) & (ids > EOS), UNK, ids)


def shuffle(ids: Ids, lengths: Ids, distance: int, draws: npt.NDArray[np.float32]) -> Ids:
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


def _places(ids: Ids, rounds: Ids, lines: Ids) -> tuple[Ids, Ids, Ids]:
    """Round (B, 1), line (B, 1) and position (S,) of each id (B, S)."""
    return rounds[:, None], lines[:, None], np.arange(ids.shape[1])
