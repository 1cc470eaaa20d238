import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.guarantees.binomial import (
    binomial_cdf,
    incomplete_beta,
    lower_bound,
    trials_without_failure,
    upper_bound,
)
from edge_llm.confidence.guarantees.bounds import mean_p_value


@given(st.integers(1, 60), st.data(), st.floats(0.01, 0.99))
def test_the_tail_is_the_sum_of_its_terms(trials: int, data: st.DataObject, chance: float) -> None:
    successes = data.draw(st.integers(0, trials))
    terms = (
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        for k in range(successes + 1)
    )

    assert binomial_cdf(successes, trials, chance) == pytest.approx(math.fsum(terms), rel=1e-10)


@pytest.mark.parametrize(
    ("successes", "trials", "chance"),
    [(20, 1000, 0.03), (9_900, 10_000, 0.991), (19_800, 1_000_000, 0.02), (0, 1_000_000, 1e-5)],
)
def test_large_numbers_are_as_exact_as_scipys(successes: int, trials: int, chance: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy has no wheel here")

    theirs = float(stats.binom.cdf(successes, trials, chance))

    assert binomial_cdf(successes, trials, chance) == pytest.approx(theirs, rel=1e-7)


def test_the_ends() -> None:
    assert binomial_cdf(-1, 5, 0.5) == 0.0
    assert binomial_cdf(5, 5, 0.5) == 1.0
    assert incomplete_beta(2.0, 3.0, 0.0) == 0.0
    assert incomplete_beta(2.0, 3.0, 1.0) == 1.0
    # I_x(1, b) = 1 - (1 - x)^b; I_x(2, 2) = 3 x^2 - 2 x^3.
    assert incomplete_beta(1.0, 3.0, 0.2) == pytest.approx(1 - 0.8**3)
    assert incomplete_beta(2.0, 2.0, 0.7) == pytest.approx(3 * 0.49 - 2 * 0.343)


def test_bounds_of_the_published_table() -> None:
    # Clopper and Pearson's limits of 95 %: 2 of 20 and 0 of 20, one side at 2.5 %.
    assert upper_bound(2, 20, 0.025) == pytest.approx(0.31698, abs=1e-5)
    assert lower_bound(2, 20, 0.025) == pytest.approx(0.01235, abs=1e-5)
    assert upper_bound(0, 20, 0.025) == pytest.approx(0.16843, abs=1e-5)
    assert upper_bound(3, 3, 0.1) == 1.0
    assert upper_bound(0, 0, 0.1) == 1.0


@given(st.integers(1, 300), st.data(), st.sampled_from([0.01, 0.05, 0.1]))
def test_at_the_bound_the_tail_is_delta(trials: int, data: st.DataObject, delta: float) -> None:
    successes = data.draw(st.integers(0, trials - 1))

    bound = upper_bound(successes, trials, delta)

    assert binomial_cdf(successes, trials, bound) == pytest.approx(delta, rel=1e-6)


def test_how_many_trials_without_failure_prove_a_level() -> None:
    assert trials_without_failure(0.05, 0.1) == 45
    assert trials_without_failure(0.02, 0.1) == 114
    assert upper_bound(0, 45, 0.1) <= 0.05 < upper_bound(0, 44, 0.1)


def test_graded_values_have_a_valid_but_weaker_test() -> None:
    exact = mean_p_value(10, 500, 0.04, exact=True)
    graded = mean_p_value(10, 500, 0.04, exact=False)

    assert exact < graded < 0.15
    assert mean_p_value(30, 500, 0.04, exact=False) == 1.0
    assert mean_p_value(0.0, 500, 0.04, exact=False) == pytest.approx(0.96**500)
    assert mean_p_value(0.0, 0, 0.04, exact=False) == 1.0
    assert mean_p_value(9.0, 10, 1.0, exact=True) == 0.0
