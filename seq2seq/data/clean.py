"""Which training pairs to keep, and the account of those that were not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

KEPT, BLANK, TOO_LONG, TOO_LOPSIDED = range(4)


@dataclass(frozen=True)
class Limits:
    """What training pairs must keep to.

    Attributes:
        max_length: Most pieces on a side.
        max_ratio: Most pieces of the longer side for each piece of the shorter one.
        reads_source: Whether there is a source side; without one the target alone is judged.
    """

    max_length: int
    max_ratio: float
    reads_source: bool = True

    def judge(
        self, src_lengths: npt.NDArray[np.int64], tgt_lengths: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int8]:
        """Judge pairs by their numbers of pieces, end marks not counted.

        Returns:
            For each pair `KEPT` or the first of `BLANK`, `TOO_LONG`, `TOO_LOPSIDED` that applies.
        """
        if not self.reads_source:
            src_lengths = tgt_lengths
        shorter = np.minimum(src_lengths, tgt_lengths)
        longer = np.maximum(src_lengths, tgt_lengths)
        verdicts = np.full(len(shorter), KEPT, dtype=np.int8)
        verdicts[longer > self.max_ratio * shorter] = TOO_LOPSIDED
        verdicts[longer > self.max_length] = TOO_LONG
        verdicts[shorter == 0] = BLANK
        return verdicts


@dataclass(frozen=True)
class Ledger:
    """How many pairs were read, and what became of them. The other numbers add up to `read`."""

    read: int = 0
    kept: int = 0
    blank: int = 0
    too_long: int = 0
    too_lopsided: int = 0

    def count(self, verdicts: npt.NDArray[np.int8]) -> "Ledger":
        """The account with the pairs of these verdicts added."""
        kept, blank, too_long, too_lopsided = np.bincount(verdicts, minlength=4).tolist()
        return Ledger(
            self.read + len(verdicts),
            self.kept + kept,
            self.blank + blank,
            self.too_long + too_long,
            self.too_lopsided + too_lopsided,
        )

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, counts: Mapping[str, int]) -> "Ledger":
        """The inverse of `to_dict`."""
        return cls(**counts)

    @property
    def remedy(self) -> str:
        """What to do where no pair is kept: limits can be raised for those that had text."""
        limits = {"data.max_length": self.too_long, "data.max_ratio": self.too_lopsided}
        keys = [key for key, number in limits.items() if number]
        return f"raise {' or '.join(keys)}" if keys else "put text on both sides"

    def __str__(self) -> str:
        """One line for the log."""
        dropped = [
            f"{number:,} {name}"
            for name, number in (
                ("blank on a side", self.blank),
                ("too long", self.too_long),
                ("too lopsided", self.too_lopsided),
            )
            if number
        ]
        tail = f"; dropped {', '.join(dropped)}" if dropped else ""
        return f"{self.kept:,} of {self.read:,} pairs kept{tail}"
