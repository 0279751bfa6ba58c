"""Whether the difference between two systems can be chance.

The tests are those of sacreBLEU, with the same p-values to all digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seq2seq.scoring.metrics import SEED, Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.05
"""A difference with a p-value below this is called one."""

_CHUNK = 512
"""Trials at a time: a multiple of 32, the bits that the generator makes at once, gives the same
trials as all at once."""


@dataclass(frozen=True)
class Difference:
    """How a system's score differs from the baseline's.

    Attributes:
        value: The score of the system less that of the baseline.
        p_value: The probability of a difference of this size or more if the two were alike.
        is_better: What the sign says; of errors fewer are better.
    """

    value: float
    p_value: float
    is_better: bool

    @property
    def is_significant(self) -> bool:
        """Whether it is hardly chance.

        Equal scores aren't different, though their p-value is small: a system has the same score as
        itself in every trial.
        """
        return bool(self.value) and self.p_value < LEVEL

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `not distinguishable` or, for equal scores, `equal`."""
        if not self.value:
            return "equal"
        if not self.is_significant:
            return "not distinguishable"
        return "better" if self.is_better else "worse"


def paired_bootstrap(baseline: Statistics, system: Statistics) -> float:
    """The p-value of the difference in the resamples of the interval (Koehn 2004)."""
    import numpy as np

    differences = np.abs(system.resampled - baseline.resampled)
    return _p_value(differences - differences.mean(), _distance(baseline, system))


def approximate_randomization(baseline: Statistics, system: Statistics, num_trials: int) -> float:
    """The p-value from trials that swap the systems' lines at random (Riezler & Maxwell 2005)."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    ours, theirs = (np.array(one.rows, dtype="float64") for one in (system, baseline))
    score = system.metric._compute_score_from_stats
    found: list[float] = []
    for start in range(0, num_trials, _CHUNK):
        size = min(_CHUNK, num_trials - start), len(ours)
        keep = rng.integers(2, size=size, dtype=bool).astype("float64")
        one, other = keep @ theirs + (1 - keep) @ ours, (1 - keep) @ theirs + keep @ ours
        found += [abs(score(a).score - score(b).score) for a, b in zip(one, other, strict=True)]
    return _p_value(np.array(found), _distance(baseline, system))


TESTS: dict[str, Callable[[Statistics, Statistics, int], float]] = {
    "bs": lambda baseline, system, _: paired_bootstrap(baseline, system),
    "ar": approximate_randomization,
}


@dataclass(frozen=True)
class PairedTest:
    """A test for differences.

    Attributes:
        name: One of `TESTS`.
        num_trials: How often lines are drawn or swapped. The paired bootstrap takes the resamples
            that there are, which must be as many.
    """

    name: str
    num_trials: int

    def __call__(
        self, baseline: Statistics, system: Statistics, *, fewer_is_better: bool
    ) -> Difference:
        """Tests what a metric counts for two systems; some metrics count errors."""
        value = system.value() - baseline.value()
        p_value = TESTS[self.name](baseline, system, self.num_trials)
        return Difference(value, p_value, (value < 0) == fewer_is_better)

    def __str__(self) -> str:
        return {
            "bs": f"paired bootstrap, {self.num_trials:,} resamples",
            "ar": f"approximate randomisation, {self.num_trials:,} trials",
        }[self.name]


def _distance(baseline: Statistics, system: Statistics) -> float:
    return abs(baseline.value() - system.value())


def _p_value(found: NDArray[np.floating[Any]], difference: float) -> float:
    """The share of trials that go beyond the difference; what is found is counted as one more."""
    return (int((found > difference).sum()) + 1) / (len(found) + 1)
