import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.errors import (
    ConfigError,
    ContextLengthExceededError,
    InvalidParameterError,
    ModelNotFoundError,
    RuntimeClosedError,
    RuntimeForkedError,
    UnknownOptionError,
)
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.llm import EdgeLLM, load
from edge_llm.types import Answer, Usage
from tests.support.runtimes import SpokenBackend, fake_runtime, local_model, local_tiers

CALL = '<tool_call>{"name": "HassTurnOn", "arguments": {"area": "kitchen"}}</tool_call>'


@pytest.fixture
def llm() -> Iterator[EdgeLLM]:
    with fake_runtime(SpokenBackend("Good night.")) as runtime:
        yield runtime


def test_the_record_says_how_the_answer_came_about(llm: EdgeLLM) -> None:
    answer = llm.chat("good night")

    assert (answer.text, answer.finish_reason, answer.model) == ("Good night.", "stop", "fake")
    assert (answer.route, answer.reason, answer.tier) == ("local", None, "local")
    (attempt,) = answer.attempts
    assert (attempt.tier, attempt.outcome, attempt.completion_tokens) == ("local", "answered", 12)
    assert answer.usage == Usage(prompt_tokens=29, completion_tokens=12, cached_tokens=0)
    assert 0 < answer.timings.ttft_s <= answer.timings.e2e_s
    assert (answer.confidence, answer.calibrated, answer.degraded) == (None, False, False)
    assert len(answer.trace_id) == 32


def test_the_stream_is_the_answer_in_pieces(llm: EdgeLLM) -> None:
    chunks = list(llm.stream("good night"))

    assert "".join(chunk.text for chunk in chunks) == "Good night."
    assert len(chunks) > 5
    assert [chunk.answer is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].answer is not None
    assert chunks[-1].answer.text == "Good night."


def test_log_probabilities_come_with_the_tokens_they_are_of(llm: EdgeLLM) -> None:
    chunks = list(llm.stream("hi", temperature=0.0, top_logprobs=2))
    answer = chunks[-1].answer

    assert answer is not None
    assert answer.logprobs is not None
    assert b"".join(one.bytes for one in answer.logprobs).decode() == answer.text
    assert tuple(one for chunk in chunks for one in chunk.logprobs) == answer.logprobs
    first = answer.logprobs[0]
    assert (first.token, len(first.top_logprobs)) == ("G", 2)
    assert first.top_logprobs[0].logprob == first.logprob
    assert json.loads(json.dumps(answer.to_dict()))["logprobs"][0]["bytes"] == [ord("G")]


def test_no_log_probabilities_unless_asked(llm: EdgeLLM) -> None:
    assert llm.chat("hi").logprobs is None
    assert llm.chat("hi", top_logprobs=0).logprobs


def test_a_call_with_words_keeps_both() -> None:
    with fake_runtime(SpokenBackend(CALL + "Turning on the kitchen lights.")) as llm:
        answer = llm.chat("kitchen lights on")

    assert answer.text == "Turning on the kitchen lights."
    assert answer.finish_reason == "tool_calls"
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [
        ("HassTurnOn", {"area": "kitchen"})
    ]


def test_a_call_without_words_is_given_some() -> None:
    with fake_runtime(SpokenBackend(CALL)) as llm:
        chunks = list(llm.stream("kitchen lights on"))

    assert chunks[-1].answer is not None
    assert chunks[-1].answer.text == "Turn on: kitchen."
    assert "".join(chunk.text for chunk in chunks) == "Turn on: kitchen."


def test_a_call_that_does_not_parse_is_shown_as_it_is() -> None:
    with fake_runtime(SpokenBackend('<tool_call>{"name": </tool_call>')) as llm:
        answer = llm.chat("x")

    assert answer.tool_calls == ()
    assert answer.text == '<tool_call>{"name": </tool_call>'
    assert answer.finish_reason == "stop"


def test_thoughts_are_kept_apart() -> None:
    with fake_runtime(SpokenBackend("<think>Hm, late.</think>Good night.")) as llm:
        answer = llm.chat("good night")

    assert (answer.reasoning, answer.text) == ("Hm, late.", "Good night.")


def test_thoughts_that_never_end_leave_room_for_an_answer() -> None:
    with fake_runtime(SpokenBackend("<think>" + "hm " * 200)) as llm:
        answer = llm.chat("good night", max_tokens=160)

    # The script goes on as if nothing had happened; a real model would answer now.
    assert answer.reasoning is not None
    assert "hm hm" in answer.reasoning
    assert answer.text.strip() != ""
    assert answer.usage.completion_tokens == 160
    assert answer.finish_reason == "length"


def test_messages_of_a_conversation_are_answered(llm: EdgeLLM) -> None:
    answer = llm.chat(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "good night"},
        ]
    )

    assert answer.text == "Good night."


def test_a_system_prompt_comes_from_the_request_or_the_configuration() -> None:
    with fake_runtime(SpokenBackend("ok"), system_prompt="configured") as llm:
        plain = llm.chat("hi").usage.prompt_tokens
        own = llm.chat("hi", system="request's").usage.prompt_tokens
        longer = llm.chat("hi", system="request's own, longer").usage.prompt_tokens

    assert plain - own == len("configured") - len("request's")
    assert longer > plain


TOOL = {"type": "function", "function": {"name": "light"}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"temprature": 1.0}, UnknownOptionError, "temperature"),
    ({"temperature": -1.0}, InvalidParameterError, "temperature"),
    ({"stop": ""}, InvalidParameterError, "stop"),
    ({"max_tokens": 5000}, ContextLengthExceededError, "5000"),
    ({"tools": [{"type": "function", "function": {}}]}, InvalidParameterError, r"tools\[0\]"),
    ({"tools": [TOOL, TOOL]}, InvalidParameterError, "'light'"),
    ({"tools": [TOOL], "tool_choice": "always"}, InvalidParameterError, "always"),
    ({"tools": [TOOL], "tool_choice": named("door")}, InvalidParameterError, "door"),
    ({"tool_choice": "required"}, InvalidParameterError, "needs tools"),
    ({"parallel_tool_calls": "no"}, InvalidParameterError, "parallel_tool_calls"),
    ({"thinking_budget": -1}, InvalidParameterError, "thinking_budget"),
    ({"overflow": "truncate"}, InvalidParameterError, "drop_oldest"),
    ({"top_logprobs": 21}, InvalidParameterError, "0 to 20, not 21"),
    ({"top_logprobs": True}, InvalidParameterError, "0 to 20, not True"),
]


@pytest.mark.parametrize(("options", "error", "words"), WRONG, ids=lambda v: str(v)[:30])
def test_a_wrong_option_is_named(
    llm: EdgeLLM, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        llm.chat("hi", **options)
    assert llm.chat("hi").text == "Good night.", "the runtime lives on"


@pytest.mark.parametrize("messages", ["", [], [{"role": "root", "content": "x"}], [3], 7])
def test_messages_that_are_none_are_refused(llm: EdgeLLM, messages: Any) -> None:
    with pytest.raises(InvalidParameterError):
        llm.chat(messages)


LONG: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "a" * 300},
    {"role": "assistant", "content": "", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "b" * 300},
    {"role": "assistant", "content": "c" * 100},
    {"role": "user", "content": "d" * 100},
]  # fmt: skip


def small() -> SpokenBackend:
    return SpokenBackend("ok", fake_capabilities(max_model_len=512, num_kv_cells=512))


def test_a_conversation_that_does_not_fit_is_an_error_and_never_cut() -> None:
    with fake_runtime(small()) as llm, pytest.raises(ContextLengthExceededError) as caught:
        llm.chat(LONG)

    assert caught.value.prompt_tokens > caught.value.max_model_len == 512


def test_drop_oldest_drops_whole_turns_with_their_tool_exchange_and_says_so() -> None:
    with fake_runtime(small()) as llm:
        answer = llm.chat(LONG, overflow="drop_oldest")

    assert answer.dropped_messages == 4
    assert answer.usage.prompt_tokens < 200


def test_drop_oldest_never_drops_the_question_itself() -> None:
    with fake_runtime(small()) as llm, pytest.raises(ContextLengthExceededError):
        llm.chat("x" * 600, overflow="drop_oldest")


def test_several_threads_get_their_own_answers(llm: EdgeLLM) -> None:
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(llm.chat("good night"))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert [a.text for a in answers] == ["Good night."] * 12


def test_it_works_inside_a_running_event_loop_as_in_a_notebook(llm: EdgeLLM) -> None:
    async def cell() -> str:
        return llm.chat("good night").text

    assert asyncio.run(cell()) == "Good night."


class SlowBackend(SpokenBackend):
    def forward(self, batch: Any, interrupt: Any = None) -> Any:
        time.sleep(0.005)
        return super().forward(batch)


def wait_until_idle(backend: FakeBackend) -> None:
    end = time.monotonic() + 5
    while backend.num_used_cells and time.monotonic() < end:
        time.sleep(0.01)
    assert backend.num_used_cells == 0


def test_leaving_a_stream_early_stops_the_work() -> None:
    backend = SlowBackend("x" * 500)
    with fake_runtime(backend) as llm:
        for _ in llm.stream("go on"):
            break
        wait_until_idle(backend)

    assert backend.num_forwards < 100


def test_cancelling_an_async_answer_stops_the_work() -> None:
    backend = SlowBackend("x" * 500)

    async def main() -> None:
        llm = AsyncEdgeLLM()
        llm._tiers = local_tiers(backend)
        async with llm:
            task = asyncio.create_task(llm.chat("go on"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            wait_until_idle(backend)

    asyncio.run(main())


def test_many_async_requests_share_one_runtime() -> None:
    async def main() -> list[str]:
        llm = AsyncEdgeLLM()
        llm._tiers = local_tiers(SpokenBackend("Good night."))
        async with llm:
            answers = await asyncio.gather(*(llm.chat("good night") for _ in range(10)))
            streamed = [chunk.text async for chunk in llm.stream("good night")]
        return [*(a.text for a in answers), "".join(streamed)]

    assert asyncio.run(main()) == ["Good night."] * 11


def test_what_is_known_of_the_model_can_be_asked(llm: EdgeLLM) -> None:
    assert (llm.facts.name, llm.facts.max_model_len) == ("fake", 1024)
    llm.close()

    with pytest.raises(RuntimeClosedError):
        _ = llm.facts


def test_after_close_every_call_says_so(llm: EdgeLLM) -> None:
    llm.close()
    llm.close()

    with pytest.raises(RuntimeClosedError, match="closed"):
        llm.chat("hi")
    with pytest.raises(RuntimeClosedError):
        next(iter(llm.stream("hi")))


def test_close_ends_answers_that_are_under_way() -> None:
    with fake_runtime(SlowBackend("x" * 500)) as llm:
        stream = iter(llm.stream("go on"))
        next(stream)
        llm.close()

        with pytest.raises(RuntimeClosedError):
            for _ in stream:
                pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_forked_child_it_raises_instead_of_hanging(llm: EdgeLLM) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            llm.chat("hi")
            outcome = b"answered"
        except RuntimeForkedError:
            llm.close()
            outcome = b"refused"
        except Exception as error:  # noqa: BLE001 — process border: the parent shows it
            outcome = repr(error).encode()
        os.write(write, outcome)
        os._exit(0)
    os.close(write)

    assert os.read(read, 1000) == b"refused"
    os.waitpid(child, 0)
    os.close(read)
    assert llm.chat("hi").text == "Good night."


def test_a_model_that_is_not_there_is_named_with_its_neighbours(tmp_path: Any) -> None:
    (tmp_path / "qwen3-0.6b.gguf").touch()

    with pytest.raises(ModelNotFoundError, match=r"qwen3-0\.6b\.gguf"):
        load(tmp_path / "qwen3-0.6.gguf")


BAD_CONFIG: list[dict[str, Any]] = [
    {"context_size": 0},
    {"context_size": "big"},
    {"threads": -1},
    {"overflow": "truncate"},
    {"max_num_seqs": 1000},
    {"contextsize": 100},
]


@pytest.mark.parametrize("options", BAD_CONFIG, ids=str)
def test_a_wrong_load_option_is_an_error_before_anything_is_loaded(options: Any) -> None:
    with pytest.raises(ConfigError):
        EdgeLLM("nowhere.gguf", **options)


def test_one_runtime_serves_several_event_loops_while_it_loads() -> None:
    model = local_model(SpokenBackend("Good night."))
    loads: list[object] = []

    def slow_load(config: object) -> object:
        loads.append(config)
        time.sleep(0.2)
        return model

    answers: list[str] = []
    with mock.patch("edge_llm.runtime.async_llm.load_local_model", slow_load):
        llm = AsyncEdgeLLM()

        def ask() -> None:
            answers.append(asyncio.run(llm.chat("good night")).text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    llm.close_blocking()

    assert answers == ["Good night."] * 4
    assert len(loads) == 1
