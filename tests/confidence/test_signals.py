import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.base import Score
from edge_llm.confidence.low_logprob import LowLogprob
from edge_llm.confidence.unsure_token import UnsureToken
from edge_llm.types import TokenStatistics


def token(logprob: float, watched: tuple[float, ...] = ()) -> TokenStatistics:
    return TokenStatistics(1, logprob, 0.0, (), (), 0.0, 0.0, 0, 0.0, watched)


def test_the_unsure_token_counts_at_the_first_token_alone() -> None:
    sure_later = [token(-1.0, (math.log(0.9),)), token(-1.0, (math.log(0.001),))]

    assert UnsureToken().score(sure_later) == pytest.approx(0.1)


def test_without_tokens_or_without_the_watched_one_nothing_is_said() -> None:
    assert UnsureToken().score([]) is None
    assert UnsureToken().score([token(-1.0)]) is None
    assert LowLogprob().score([]) is None


def test_one_unlikely_word_is_not_averaged_away_in_a_short_answer() -> None:
    likely, unlikely = token(math.log(0.99)), token(math.log(0.02))

    assert LowLogprob().score([unlikely]) == pytest.approx(0.02)
    assert LowLogprob().score([likely] * 8 + [unlikely]) == pytest.approx(0.02)
    assert LowLogprob().score([likely] * 30 + [unlikely]) == pytest.approx(0.99)


@given(st.lists(st.floats(-1e9, 1e-6) | st.just(-math.inf), min_size=1, max_size=40))
def test_scores_are_between_0_and_1(logprobs: list[float]) -> None:
    score = LowLogprob().score([token(one, (one,)) for one in logprobs])
    unsure = UnsureToken().score([token(one, (one,)) for one in logprobs])

    assert score is not None
    assert unsure is not None
    assert 0.0 <= score <= 1.0
    assert 0.0 <= unsure <= 1.0


def test_a_score_at_the_threshold_is_kept() -> None:
    assert not Score(0.5, "x", 0.5).is_low
    assert Score(0.49, "x", 0.5).is_low
