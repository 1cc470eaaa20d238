import random
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_llm.backends.base import KVCacheFullError
from edge_llm.backends.fake import FakeBackend, fake_capabilities, scripted_reply
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import (
    BackendError,
    ContextLengthExceededError,
    DeadlineExceededError,
    InvalidParameterError,
    RequestAbortedError,
)
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.types import SamplingParams

TOKENIZER = ByteTokenizer()
END = min(TOKENIZER.eog_ids)
PARAMS = SamplingParams(temperature=0.9, seed=1, max_tokens=12)


def request(text: str = "hello", **changes: object) -> EngineRequest:
    params = replace(PARAMS, **{k: v for k, v in changes.items() if k != "deadline_s"})  # type: ignore[arg-type]
    deadline_s = changes.get("deadline_s")
    assert deadline_s is None or isinstance(deadline_s, float)
    return EngineRequest(tuple(text.encode()), params, deadline_s=deadline_s)


@dataclass
class Outcome:
    token_ids: tuple[int, ...] = ()
    text: str = ""
    last: SequenceEvent | None = None


def collect(outcomes: dict[int, Outcome], events: list[SequenceEvent]) -> None:
    for event in events:
        outcome = outcomes[event.request_id]
        assert outcome.last is None, "nothing comes after the last event"
        outcome.token_ids += event.token_ids
        outcome.text += event.text
        outcome.last = event if event.is_last else None


def run_alone(wanted: EngineRequest) -> Outcome:
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    engine = Engine(FakeBackend())
    request_id = engine.add_request(wanted)
    while engine.has_work:
        collect(outcomes, engine.step())
    return outcomes[request_id]


def assert_nothing_leaks(engine: Engine) -> None:
    backend = engine.backend
    assert isinstance(backend, FakeBackend)
    assert not engine.scheduler.running
    assert not engine.scheduler.waiting
    engine.scheduler.check_integrity()
    engine.clear_prefix_cache()
    assert engine.scheduler.num_used_cells == 0
    assert backend.num_used_cells == 0
    engine.scheduler.check_integrity()


requests = st.builds(
    request,
    st.text("abc", min_size=1, max_size=90),
    max_tokens=st.integers(1, 40),
    temperature=st.sampled_from([0.0, 1.2]),
    seed=st.integers(0, 3),
    stop=st.sampled_from([(), ("a",), ("x", "\n")]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(requests, min_size=1, max_size=9),
    st.integers(1, 4),
    st.sampled_from([140, 200, 512]),
    st.sampled_from([4, 16, 64]),
    st.randoms(use_true_random=False),
)
def test_batched_output_equals_solo_output_whatever_arrives_and_leaves(
    wanted: list[EngineRequest],
    max_num_seqs: int,
    num_kv_cells: int,
    max_num_batched_tokens: int,
    rng: random.Random,
) -> None:
    capabilities = fake_capabilities(
        max_model_len=135,
        max_num_seqs=max_num_seqs,
        num_kv_cells=num_kv_cells,
        max_num_batched_tokens=max_num_batched_tokens,
    )
    engine = Engine(FakeBackend(capabilities=capabilities))
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    ids: dict[int, EngineRequest] = {}
    aborted: set[int] = set()
    waiting = list(wanted)
    while waiting or engine.has_work:
        while waiting and rng.random() < 0.5:
            one = waiting.pop()
            ids[engine.add_request(one)] = one
        if ids and rng.random() < 0.05:
            request_id = rng.choice(list(ids))
            event = engine.abort(request_id)
            if event is not None:
                aborted.add(request_id)
                collect(outcomes, [event])
        collect(outcomes, engine.step())

    for request_id, one in ids.items():
        solo = run_alone(one)
        got = outcomes[request_id]
        if request_id in aborted:
            assert solo.token_ids[: len(got.token_ids)] == got.token_ids
            assert got.last is not None
            assert isinstance(got.last.error, RequestAbortedError)
        else:
            assert got.last is not None
            assert (got.token_ids, got.text) == (solo.token_ids, solo.text)
            assert got.last.finish_reason == (solo.last and solo.last.finish_reason)
    assert_nothing_leaks(engine)


def scripted(reply: str | list[int], prompt: str = "hello") -> Engine:
    ids = list(reply.encode()) if isinstance(reply, str) else reply
    return Engine(FakeBackend(scripted_reply(TOKENIZER, ids, lambda: len(prompt))))


def finish(engine: Engine, wanted: EngineRequest) -> Outcome:
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    request_id = engine.add_request(wanted)
    while engine.has_work:
        collect(outcomes, engine.step())
    return outcomes[request_id]


def test_an_answer_ends_at_the_end_of_turn_token_which_is_not_text() -> None:
    outcome = finish(scripted("hi"), request())

    assert outcome.text == "hi"
    assert outcome.token_ids == (*b"hi", END)
    assert outcome.last is not None
    assert outcome.last.finish_reason == "stop"


def test_max_tokens_ends_an_answer_by_length() -> None:
    outcome = finish(scripted("hi there"), request(max_tokens=3))

    assert outcome.text == "hi "
    assert outcome.last is not None
    assert outcome.last.finish_reason == "length"


def test_the_end_of_the_context_ends_an_answer_by_length() -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(max_model_len=8)))

    outcome = finish(engine, request("hello", max_tokens=None, logit_bias={END: -100.0}))

    assert len(outcome.token_ids) == 3
    assert outcome.last is not None
    assert outcome.last.finish_reason == "length"


def test_a_stop_string_ends_the_answer_and_is_not_shown() -> None:
    outcome = finish(scripted("one. two"), request(stop=(". ",)))

    assert outcome.text == "one"
    assert outcome.last is not None
    assert outcome.last.finish_reason == "stop"


def test_half_a_stop_string_at_the_end_is_shown() -> None:
    assert finish(scripted("one."), request(stop=(". ",))).text == "one."


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    assert finish(scripted(list("é".encode()[:1])), request()).text == "\ufffd"


def test_tokens_forced_by_a_constraint_follow_at_once_and_count() -> None:
    class After:
        def start(self) -> "After":
            return self

        def advance(self, token_id: int, text: str) -> list[int]:
            return list(b"XY") if text == "h" else []

    outcome = finish(scripted("habc"), replace(request(), constraint=After()))

    assert outcome.text == "hXYc"


def test_a_prompt_longer_than_the_context_is_refused_with_the_counts() -> None:
    engine = Engine(FakeBackend())

    with pytest.raises(ContextLengthExceededError) as caught:
        engine.add_request(request("x" * 250))

    assert caught.value.prompt_tokens == 250
    assert caught.value.max_tokens == 12
    assert caught.value.max_model_len == 256
    assert not engine.has_work


@pytest.mark.parametrize("token_ids", [(), (-1,), (10_000,)])
def test_impossible_prompts_are_refused(token_ids: tuple[int, ...]) -> None:
    with pytest.raises(InvalidParameterError):
        Engine(FakeBackend()).add_request(EngineRequest(token_ids, PARAMS))


def test_a_bias_on_a_token_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="10000"):
        Engine(FakeBackend()).add_request(request(logit_bias={10_000: 1.0}))


def test_abort_frees_everything_at_once() -> None:
    engine = Engine(FakeBackend())
    request_id = engine.add_request(request())
    engine.step()

    event = engine.abort(request_id)

    assert event is not None
    assert isinstance(event.error, RequestAbortedError)
    assert_nothing_leaks(engine)
    assert engine.abort(request_id) is None


@pytest.mark.parametrize("flood", [False, True])
def test_a_parked_request_goes_on_as_if_it_had_never_stopped(flood: bool) -> None:
    engine = Engine(FakeBackend())
    wanted = request("hello", max_tokens=20, logit_bias={END: -100.0})
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    request_id = engine.add_request(wanted)
    for _ in range(8):
        collect(outcomes, engine.step())

    engine.park(request_id)
    assert engine.step() == []
    assert engine.scheduler.cache.num_cells > 0
    for index in range(20 if flood else 1):  # others come and go, and may take all the room
        engine.add_request(request(f"{index} " + "x" * 100, max_tokens=40))
        while engine.has_work:
            engine.step()
    engine.resume(request_id)
    while engine.has_work:
        collect(outcomes, engine.step())

    assert outcomes[request_id].token_ids == run_alone(wanted).token_ids
    assert_nothing_leaks(engine)


def test_a_parked_request_can_be_aborted_and_other_calls_do_nothing() -> None:
    engine = Engine(FakeBackend())
    request_id = engine.add_request(request())
    engine.step()
    engine.resume(request_id)
    engine.park(request_id)
    engine.park(request_id)

    event = engine.abort(request_id)

    assert event is not None
    assert isinstance(event.error, RequestAbortedError)
    engine.park(request_id)
    engine.resume(request_id)
    assert_nothing_leaks(engine)


def test_a_passed_deadline_ends_a_request() -> None:
    engine = Engine(FakeBackend())
    request_id = engine.add_request(request(deadline_s=0.0))

    (event,) = engine.step()

    assert event.request_id == request_id
    assert isinstance(event.error, DeadlineExceededError)
    assert_nothing_leaks(engine)


def test_logits_that_are_no_numbers_end_one_request_and_spare_the_other() -> None:
    def script(tokens: object) -> NDArray[np.float32]:
        bad = list(tokens)[0] == ord("b")  # type: ignore[call-overload]  # noqa: RUF015
        row = np.full(TOKENIZER.vocab_size, np.nan if bad else 0.0, np.float32)
        row[END] += 9
        return row

    engine = Engine(FakeBackend(script))
    bad, good = engine.add_request(request("bad")), engine.add_request(request("good"))
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    while engine.has_work:
        collect(outcomes, engine.step())

    assert isinstance(outcomes[bad].last.error, BackendError)  # type: ignore[union-attr]
    assert outcomes[good].last.finish_reason == "stop"  # type: ignore[union-attr]
    assert_nothing_leaks(engine)


class NarrowBackend(FakeBackend):
    """Has less room than it said, as a backend with other users would."""

    def forward(self, batch: Any, interrupt: Any = None) -> NDArray[np.float32]:
        if self.num_used_cells + sum(len(i.token_ids) for i in batch) > 40:
            raise KVCacheFullError
        return super().forward(batch)


def test_a_backend_that_is_full_sends_the_youngest_back_and_loses_nobody() -> None:
    engine = Engine(NarrowBackend())
    wanted = [request("a" * 15), request("b" * 15), request("c" * 15)]
    ids = [engine.add_request(one) for one in wanted]
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    while engine.has_work:
        collect(outcomes, engine.step())

    assert engine.scheduler.stats.num_preemptions > 0
    for request_id, one in zip(ids, wanted, strict=True):
        assert outcomes[request_id].token_ids == run_alone(one).token_ids
    assert_nothing_leaks(engine)


def test_a_sequence_that_can_never_fit_ends_with_an_error() -> None:
    outcome = finish(Engine(NarrowBackend()), request("a" * 60))

    assert outcome.last is not None
    assert isinstance(outcome.last.error, BackendError)


def copying_backend() -> FakeBackend:
    return FakeBackend(capabilities=fake_capabilities(can_share_prefix=False, num_kv_cells=8 * 256))


def ended(engine: Engine, *requests: EngineRequest) -> list[Outcome]:
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    ids = [engine.add_request(wanted) for wanted in requests]
    while engine.has_work:
        collect(outcomes, engine.step())
        engine.scheduler.check_integrity()
    return [outcomes[request_id] for request_id in ids]


def test_a_conversation_goes_on_in_its_own_cells_where_prefixes_are_copied() -> None:
    backend = copying_backend()
    engine = Engine(backend)
    first = request("tell me a story")
    (answer,) = ended(engine, first)

    turn = EngineRequest((*first.token_ids, *answer.token_ids, *b" and then?"), PARAMS)
    (next_answer,) = ended(engine, turn)

    assert backend.num_copied_tokens == 0
    assert next_answer.last is not None
    assert next_answer.last.num_cached_tokens == len(first.token_ids) + len(answer.token_ids) - 1
    assert next_answer.token_ids == run_alone(turn).token_ids


def test_a_prefix_in_use_by_others_is_copied_and_no_more_of_it_than_is_wanted() -> None:
    backend = copying_backend()
    engine = Engine(backend)
    ended(engine, request("a long system prompt: one"))

    wanted = [request(f"a long system prompt: {word}") for word in ("two", "three")]
    answers = ended(engine, *wanted)

    assert backend.num_copied_tokens == 2 * len("a long system prompt: ")
    assert [a.token_ids for a in answers] == [run_alone(w).token_ids for w in wanted]


def test_nothing_leaks_where_prefixes_are_copied() -> None:
    rng = random.Random(3)
    backend = copying_backend()
    engine = Engine(backend)
    texts = ["ab" * n + word for n in (1, 5, 20) for word in ("", "x", "yz")]
    for _ in range(30):
        wanted = [request(rng.choice(texts), seed=rng.randrange(3)) for _ in range(6)]
        for want, got in zip(wanted, ended(engine, *wanted), strict=True):
            assert got.token_ids == run_alone(want).token_ids
    engine.clear_prefix_cache()
    assert backend.num_used_cells == 0
