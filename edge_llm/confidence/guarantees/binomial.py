"""Exact tails of the binomial distribution, and the bounds they give: no normal approximation."""

from __future__ import annotations

import math

_TINY = 1e-300
_PRECISION = 1e-15


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), the share of a beta distribution below x; a, b above 0, x in [0, 1].

    Relative error about 1e-14 (a + b) at worst: nine digits for a million trials. The continued
    fraction takes some sqrt(max(a, b)) terms. Source: NIST Digital Library of Mathematical
    Functions, 8.17.22, evaluated by Lentz's method.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    # The fraction converges fast on this side of the mean only.
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _fraction(a, b, x) / a


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """P(at most `successes` of `trials`), each with `probability`."""
    if successes >= trials:
        return 1.0
    if successes < 0:
        return 0.0
    return incomplete_beta(trials - successes, successes + 1.0, 1.0 - probability)


def upper_bound(successes: int, trials: int, delta: float) -> float:
    """What the probability is at most, for sure with 1 - delta; 1 where nothing was tried.

    Source: Clopper and Pearson 1934, one-sided.
    """
    if successes >= trials:
        return 1.0
    if successes == 0:
        return -math.expm1(math.log(delta) / trials)
    low, high = successes / trials, 1.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if binomial_cdf(successes, trials, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def lower_bound(successes: int, trials: int, delta: float) -> float:
    """What the probability is at least, for sure with 1 - delta."""
    return 1.0 - upper_bound(trials - successes, trials, delta)


def trials_without_failure(level: float, delta: float) -> int:
    """So many trials without one failure prove, with 1 - delta, fewer than `level` failures."""
    return math.ceil(math.log(delta) / math.log1p(-level))


def _fraction(a: float, b: float, x: float) -> float:
    c = 1.0
    d = 1.0 / _floored(1.0 - (a + b) * x / (a + 1.0))
    value, change, m = d, 0.0, 0
    while abs(change - 1.0) > _PRECISION:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _floored(1.0 + term * d)
            c = _floored(1.0 + term / c)
            value *= c * d
        change = c * d
    return value


def _floored(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
