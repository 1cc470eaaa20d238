import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.backends.fake import FakeBackend
from edge_llm.engine.engine import Engine
from edge_llm.engine.logits import LogitRow
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.statistics import self_certainty, token_statistics
from edge_llm.types import SamplingParams


def measure(logits: list[float]) -> float:
    row = LogitRow(np.array(logits, np.float32))
    return self_certainty(row, token_statistics(row, 0, 0).logsumexp)


def test_knowing_nothing_is_0_and_certainty_is_the_divergence_from_it() -> None:
    assert measure([3.0] * 8) == pytest.approx(0.0, abs=1e-6)
    # p = (1/2, 1/4, 1/4): KL(U || p) = -(log 1/2 + 2 log 1/4) / 3 - log 3
    assert measure([math.log(2), 0.0, 0.0]) == pytest.approx(5 * math.log(2) / 3 - math.log(3))


@pytest.mark.parametrize("never", [-math.inf, float(np.finfo(np.float32).min), -1e9])
def test_tokens_that_the_model_rules_out_do_not_count(never: float) -> None:
    assert measure([math.log(2), 0.0, never, 0.0]) == pytest.approx(
        measure([math.log(2), 0.0, 0.0]), abs=1e-6
    )


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=300))
def test_it_is_the_definition_and_never_negative(logits: list[float]) -> None:
    values = np.array(logits, np.float32).astype(np.float64)
    logprobs = values - np.logaddexp.reduce(values)
    expected = -float(np.mean(logprobs)) - math.log(len(values))

    assert measure(logits) == pytest.approx(max(0.0, expected), abs=1e-3)
    assert measure(logits) >= 0.0


@pytest.mark.parametrize("asked", [True, False])
def test_it_is_said_where_it_is_asked_for(asked: bool) -> None:
    engine = Engine(FakeBackend())
    engine.add_request(
        EngineRequest((1, 2), SamplingParams(max_tokens=3), statistics=4, self_certainty=asked)
    )
    events = [event for _ in range(6) for event in engine.step()]
    found = [one for event in events for one in event.statistics if one is not None]

    assert found
    assert all((one.self_certainty is not None) is asked for one in found)
