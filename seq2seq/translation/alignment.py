"""Alignments of words, from attention over pieces.

Words are what stands between spaces. A piece may be part of a word, a word, or several.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seq2seq.data.segmentation import SPACE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

_SPACES = re.compile("[ \t\0\n\r]+")
"""What the tokenizers take for a space, and what is one where text stands in one line."""

_SPACE_BYTES = {"<0x20>", "<0x09>", "<0x0A>", "<0x0D>"}
"""Pieces of a model that spells in bytes."""

_SPELT_SPACE = [f"<0x{byte:02X}>" for byte in SPACE.encode()]
"""The pieces of U+2581 in one that has no piece for it, as one of whole words has none."""


def word_shares(pieces: Sequence[str]) -> Matrix:
    """How much of each piece is in each word, (pieces, words); the rows sum to one.

    A piece without letters, such as the bare space before a word, belongs to the word after it.

    Args:
        pieces: of a text in its order, U+2581 for a space.
    """
    import numpy as np

    places: list[list[int]] = []
    word, outside = -1, True
    for piece in _without_bytes_of_spaces(pieces):
        touched: list[int] = []
        for sign in piece:
            if sign in (SPACE, "\n", "\r"):
                outside = True
                continue
            word, outside = word + outside, False
            if not touched or touched[-1] != word:
                touched.append(word)
        places.append(touched or [word + 1])
    shares = np.zeros((len(places), word + 1), dtype=np.float32)
    for row, touched in zip(shares, places, strict=True):
        known = [min(place, word) for place in touched if word >= 0]
        row[known] = 1 / max(1, len(known))
    return shares


def _without_bytes_of_spaces(pieces: Sequence[str]) -> list[str]:
    """The pieces, with U+2581 for each that is a space in bytes or a part of one."""
    found = [SPACE if piece in _SPACE_BYTES else piece for piece in pieces]
    size = len(_SPELT_SPACE)
    for start in range(len(found) - size + 1):
        if found[start : start + size] == _SPELT_SPACE:
            found[start : start + size] = [SPACE] * size
    return found


def align_words(weights: Matrix, src: Sequence[str], tgt: Sequence[str]) -> list[tuple[int, int]]:
    """Links (source word, target word): for each target word the source word most attended to.

    A target word attends as its pieces do on average, to a source word as to all its pieces.

    Args:
        weights: (T, S) attention from target to source pieces.
        src: source pieces in the order of the text.
        tgt: target pieces in the order of the text.
    """
    words = word_shares(tgt).T @ weights @ word_shares(src)
    if not words.size:
        return []
    # The mean over pieces would divide each row by its length, which the best place ignores.
    best = words.argmax(axis=1)
    return [(int(i), j) for j, i in enumerate(best) if words[j, i] > 0]


def split_words(text: str) -> list[str]:
    """The words of a text."""
    return [word for word in _SPACES.split(text) if word]


def format_links(links: Sequence[tuple[int, int]]) -> str:
    """Links as `source-target`, counted from 0 (the format of Pharaoh)."""
    return " ".join(f"{i}-{j}" for i, j in links)
