import pytest

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.engine.engine import Engine
from edge_llm.engine.pacer import FIRST_BUDGET, MIN_BUDGET, PrefillPacer
from edge_llm.engine.request import EngineRequest
from edge_llm.types import SamplingParams


def test_nobody_speaking_means_no_bound() -> None:
    assert PrefillPacer(3.0).budget(0) is None


def test_before_anything_is_measured_it_is_careful() -> None:
    assert PrefillPacer(3.0).budget(1) == FIRST_BUDGET


@pytest.mark.parametrize(("slowdown", "expected"), [(3.0, 10), (11.0, 50), (1.01, MIN_BUDGET)])
def test_the_budget_fills_the_time_that_is_to_spare(slowdown: float, expected: int) -> None:
    pacer = PrefillPacer(slowdown)
    for _ in range(50):
        pacer.observe(1, 0, 0.020)
        pacer.observe(1, 16, 0.020 + 16 * 0.0039)

    assert pacer.budget(1) == pytest.approx(expected, abs=2)


def test_a_long_prompt_arrives_in_small_chunks_and_everybody_keeps_speaking() -> None:
    capabilities = fake_capabilities(
        max_model_len=512, num_kv_cells=1024, max_num_batched_tokens=512
    )
    engine = Engine(FakeBackend(capabilities=capabilities))
    speaking = SamplingParams(temperature=0.0, max_tokens=60, logit_bias={257: -100.0})
    speaker = engine.add_request(EngineRequest(tuple(b"hello"), speaking))
    for _ in range(3):
        engine.step()
    engine.add_request(EngineRequest((65,) * 200, SamplingParams(max_tokens=1)))

    spoken = [
        any(event.request_id == speaker and event.token_ids for event in engine.step())
        for _ in range(10)
    ]

    assert all(spoken)


def test_alone_a_long_prompt_is_computed_in_one_chunk() -> None:
    capabilities = fake_capabilities(max_model_len=512, max_num_batched_tokens=512)
    engine = Engine(FakeBackend(capabilities=capabilities))
    engine.add_request(EngineRequest((65,) * 400, SamplingParams(max_tokens=1)))

    (event,) = engine.step()

    assert event.is_last
