"""What a run is said to cost before it begins."""

import pytest

from edge_llm.cloud.types import Endpoint, Prices
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.recording import Said
from edge_llm.evaluate.replay.estimate import USUAL_TOKENS, estimate_usd, usual_tokens

QUESTIONS = [Example(str(n), ({"role": "user", "content": "x" * 300},), n) for n in range(10)]
PAID = Endpoint("paid", "https://example.org/v1", "m", prices=Prices(1.0, 10.0))


def test_the_largest_cost_is_that_of_the_longest_answers() -> None:
    expected, most = estimate_usd([PAID], QUESTIONS, 1000)

    assert most == pytest.approx(10 * (108 * 1.0 + 1000 * 10.0) / 1e6)
    assert expected == pytest.approx(10 * (108 * 1.0 + USUAL_TOKENS * 10.0) / 1e6)


def test_answers_of_this_model_tell_how_long_the_next_will_be() -> None:
    assert usual_tokens([Said(completion_tokens=40)] * 20) == 40
    assert usual_tokens([Said(completion_tokens=40)] * 19) == USUAL_TOKENS


def test_the_dearest_endpoint_counts() -> None:
    cheap = Endpoint("cheap", "https://example.org/v1", "m", prices=Prices(0.1, 1.0))

    assert estimate_usd([cheap, PAID], QUESTIONS, 100) == estimate_usd([PAID], QUESTIONS, 100)


def test_a_cloud_without_a_price_is_not_free() -> None:
    unknown = Endpoint("unknown", "https://example.org/v1", "m")

    assert estimate_usd([unknown], QUESTIONS, 100) == (None, None)
    assert estimate_usd([unknown], [], 100) == (0.0, 0.0)


def test_a_server_of_ones_own_is_free_unless_it_has_a_price() -> None:
    own = Endpoint("own", "http://127.0.0.1:1/v1", "m", trust="device")

    assert estimate_usd([own], QUESTIONS, 100) == (0.0, 0.0)
