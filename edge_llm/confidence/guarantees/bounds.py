"""How surely a mean is below a level, from a sample of values in [0, 1]."""

from __future__ import annotations

import math

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.guarantees.binomial import binomial_cdf


def is_binary(values: Floats) -> bool:
    """Whether all are 0 or 1: then the exact tail may be used."""
    return bool(((values == 0.0) | (values == 1.0)).all())


def mean_p_value(total: float, num_values: int, level: float, *, exact: bool) -> float:
    """How likely a sum of `num_values` independent values in [0, 1] is to be at most `total` where
    their mean is above `level`; at most that.

    Rises with `total`. `exact` for values that are 0 or 1 (the binomial tail), otherwise the better
    of Hoeffding's and Bentkus's inequalities.
    Source: Bates et al., "Distribution-Free, Risk-Controlling Prediction Sets", 2021, theorem 4;
    Angelopoulos et al., "Learn then Test", 2021, proposition 5.
    """
    if level >= 1.0:
        return 0.0
    if num_values == 0:
        return 1.0
    mean = total / num_values
    # Nothing speaks against it; the tail would be about a half, and takes longer to find.
    if mean >= level:
        return 1.0
    if exact:
        return binomial_cdf(round(total), num_values, level)
    # A sum of shares is off by rounding: without the shift a whole number would be rounded up.
    bentkus = math.e * binomial_cdf(math.ceil(total - 1e-9), num_values, level)
    return min(1.0, math.exp(-num_values * _divergence(mean, level)), bentkus)


def _divergence(first: float, second: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    value = (1.0 - first) * math.log((1.0 - first) / (1.0 - second))
    return value + (first * math.log(first / second) if first > 0.0 else 0.0)
