"""Random numbers that are functions of what they are for.

Each is a hash of seed, purpose and whatever else it belongs to (an update, a line, a place), so it
depends on nothing else: not on the batch, nor on the order of batches, nor on where a run was
resumed. No generator has a state to keep.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Purpose = Literal[
    "src_word_dropout",
    "tgt_word_dropout",
    "src_shuffle",
    "teacher_forcing",
    "minimum_risk",
    "sample",
]

_PURPOSES: dict[Purpose, int] = {
    "src_word_dropout": 1,
    "tgt_word_dropout": 2,
    "src_shuffle": 3,
    "teacher_forcing": 4,
    "minimum_risk": 5,
    "sample": 6,
}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_UNUSED_BITS = np.uint64(40)


def uniform(
    seed: int, purpose: Purpose, *parts: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Uniform numbers in [0, 1), of the shape that the parts have together when they are broadcast.

    The hash is the finaliser of SplitMix64 (Steele et al. 2014), applied for each argument in turn;
    24 of its bits are taken, which float32 holds exactly.

    Args:
        seed: of everything.
        purpose: what the numbers are for.
        parts: non-negative numbers.
    """
    state = np.zeros(1, dtype=np.uint64)
    for part in (seed, _PURPOSES[purpose], *parts):
        state = _mix(state ^ _mix(np.array(part, ndmin=1).astype(np.uint64) + _GOLDEN))
    return (state >> _UNUSED_BITS).astype(np.float32) * np.float32(2.0**-24)


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> _SHIFTS[0])) * _FACTORS[0]
    state = (state ^ (state >> _SHIFTS[1])) * _FACTORS[1]
    return state ^ (state >> _SHIFTS[2])
