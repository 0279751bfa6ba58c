"""Length normalisation of hypothesis scores."""

from torch import Tensor


def length_penalty(lengths: Tensor | float, alpha: float) -> Tensor | float:
    """Divisor of a log-probability, ((5 + length) / 6)^alpha (Wu et al. 2016, equation 14).

    Lengths count the end mark.
    """
    return ((5.0 + lengths) / 6.0) ** alpha
