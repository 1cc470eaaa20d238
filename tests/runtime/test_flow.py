"""Whole requests through local and cloud tiers: the real SDK, real sockets, a scripted model."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from edge_llm.backends.fake import fake_capabilities
from edge_llm.errors import (
    AnswerRejectedError,
    CloudError,
    CloudUnavailableError,
    ContextLengthExceededError,
    DeadlineExceededError,
    NoRouteError,
    RuntimeClosedError,
)
from edge_llm.types import Answer
from tests.support.cloud_server import CloudServer
from tests.support.hybrid import (
    CLOUD_ANSWER,
    LOCAL,
    DoubtfulBackend,
    SlowBackend,
    cloud,
    hybrid,
    hybrid_async,
)
from tests.support.runtimes import SpokenBackend

SURE = "Good night."
LONG = "One two three. Four five six. Seven eight nine. Ten."
RESET = "say From\nreset"
DOWN = "status 503\nbody {}"
HANG = "hang"


def doubtful_from(position: int) -> Any:
    """Sure at first, and not at all from a position on."""
    return lambda at: 0.999 if at < position else 0.05


def outcomes(answer: Answer) -> list[tuple[str, str]]:
    return [(attempt.tier, attempt.outcome) for attempt in answer.attempts]


def test_a_sure_answer_stays_here() -> None:
    with hybrid(DoubtfulBackend(SURE)) as (llm, server):
        answer = llm.chat("good night")

    assert (answer.text, answer.route, answer.reason) == (SURE, "local", None)
    assert (answer.signal, answer.degraded) == ("low_logprob", False)
    assert answer.score == pytest.approx(0.999, abs=1e-3)
    assert answer.threshold == 0.1
    assert server.requests == []


def test_what_the_model_says_of_itself_decides_before_anything_is_written() -> None:
    with hybrid(DoubtfulBackend(LONG, unsure=0.9)) as (llm, _):
        answer = llm.chat("why is the sky blue?")

    assert (answer.text, answer.route, answer.model) == ("From the cloud.", "cloud", "scripted")
    assert (answer.reason, answer.signal, answer.threshold) == ("unsure", "unsure_token", 0.5)
    assert answer.score == pytest.approx(0.1, abs=1e-3)
    assert outcomes(answer) == [("local", "deferred"), ("cloud", "answered")]
    assert 1 <= answer.wasted_tokens < 20
    assert answer.wasted_tokens == answer.attempts[0].completion_tokens


def test_a_model_that_is_sure_by_its_own_word_is_not_doubted() -> None:
    with hybrid(DoubtfulBackend(SURE, unsure=0.1)) as (llm, server):
        answer = llm.chat("good night")

    assert (answer.text, answer.route) == (SURE, "local")
    assert answer.score == pytest.approx(0.9, abs=1e-3)
    assert server.requests == []


@pytest.mark.parametrize("hold", ["full", "sentence", "window(40)"])
def test_a_draft_that_gets_worse_is_replaced_before_anybody_saw_it(hold: str) -> None:
    backend = DoubtfulBackend(
        "so it goes on without an end to its first sentence", doubtful_from(8)
    )
    with hybrid(backend) as (llm, _):
        chunks = list(llm.stream("x", hold=hold))

    answer = chunks[-1].answer
    assert answer is not None
    assert "".join(chunk.text for chunk in chunks) == answer.text == "From the cloud."
    assert (answer.reason, answer.policy) == ("low_confidence", "deferral")


@pytest.mark.parametrize("hold", ["none", "window(2)", "sentence"])
def test_a_draft_that_was_seen_is_finished_and_flagged(hold: str) -> None:
    with hybrid(DoubtfulBackend(LONG, doubtful_from(18))) as (llm, server):
        chunks = list(llm.stream("x", hold=hold))

    answer = chunks[-1].answer
    assert answer is not None
    assert "".join(chunk.text for chunk in chunks) == answer.text == LONG
    assert (answer.route, answer.degraded, answer.reason) == ("local", True, "low_confidence")
    assert server.requests == []


def test_the_cloud_gets_roles_and_texts_as_they_are() -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "why?"},
    ]
    with hybrid(DoubtfulBackend(LONG, unsure=0.9)) as (llm, server):
        llm.chat(conversation, max_tokens=50, temperature=0.5)

    body = server.requests[0].json
    assert body["messages"] == conversation
    assert (body["max_tokens"], body["temperature"]) == (50, 0.5)


NOT_ONE = {
    "type": "json_schema",
    "json_schema": {"schema": {"properties": {"a": {"not": {"const": 1}}}, "required": ["a"]}},
}
"""A schema of which a grammar keeps only a part."""

BAD_DRAFTS: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "empty"),
    ("round and round and " * 12, {}, "loop"),
    ("and so on and so forth", {"max_tokens": 5}, "truncated"),
    ("no number", {"validator": str.isdigit}, "validator"),
    ('{"a":1}', {"response_format": NOT_ONE, "max_tokens": 30}, "invalid"),
]


@pytest.mark.parametrize(("reply", "options", "reason"), BAD_DRAFTS)
def test_a_bad_draft_goes_up_with_its_reason(
    reply: str, options: dict[str, Any], reason: str
) -> None:
    said = {"validator": "42", "invalid": '{"a":2}'}.get(reason, "From the cloud.")
    escaped = json.dumps(said)[1:-1].replace(" ", "\\u0020")
    script = f"say {escaped}\nfinish stop\nusage 9 1\ndone"
    with hybrid(DoubtfulBackend(reply), script) as (llm, _):
        answer = llm.chat("x", **options)

    assert (answer.route, answer.reason) == ("cloud", reason)
    assert answer.text == said


def test_what_does_not_fit_goes_where_it_fits_without_being_cut() -> None:
    small = DoubtfulBackend(SURE, capabilities=fake_capabilities(max_model_len=128))
    with hybrid(small) as (llm, server):
        answer = llm.chat("x" * 300)

    assert (answer.route, answer.reason, answer.policy) == (
        "cloud",
        "context_length",
        "context_length",
    )
    assert answer.score is not None
    assert answer.score > 300
    assert answer.threshold == 128
    assert server.requests[0].json["messages"] == [{"role": "user", "content": "x" * 300}]


def test_what_fits_nowhere_is_a_typed_error_with_the_counts() -> None:
    small = DoubtfulBackend(SURE, capabilities=fake_capabilities(max_model_len=128))
    with hybrid(small) as (_, server):
        tiers = [LOCAL, cloud(server, context_length=256)]
        with (
            hybrid(small, tiers=tiers) as (llm, _),
            pytest.raises(ContextLengthExceededError) as caught,
        ):
            llm.chat("x" * 300)

    assert caught.value.max_model_len == 256
    assert caught.value.prompt_tokens > 300


def test_a_missing_capability_is_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    message = {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}
    with hybrid(DoubtfulBackend(SURE)) as (llm, server):
        with pytest.raises(NoRouteError, match=r"cloud: capability \(vision"):
            llm.chat([message])
        tiers = [LOCAL, cloud(server, capabilities=["vision"])]
        with hybrid(DoubtfulBackend(SURE), tiers=tiers) as (seeing, _):
            answer = seeing.chat([message])

    assert (answer.route, answer.reason, answer.signal) == ("cloud", "capability", "vision")


def test_local_only_stays_here_and_says_that_it_wanted_more() -> None:
    with hybrid(DoubtfulBackend(LONG, unsure=0.9)) as (llm, server):
        answer = llm.chat("my secret", privacy="local_only")

    assert (answer.text, answer.route, answer.degraded) == (LONG, "local", True)
    assert answer.reason == "unsure"
    assert server.requests == []


def test_a_task_rule_sends_a_request_straight_up() -> None:
    rules = {"rules": ({"pattern": "(?i)prove", "tier": "cloud"},)}
    with hybrid(DoubtfulBackend(SURE), escalation=rules) as (llm, server):
        assert llm.chat("good night").route == "local"
        answer = llm.chat("Prove it.")

    assert (answer.route, answer.reason, answer.wasted_tokens) == ("cloud", "task", 0)
    assert len(answer.attempts) == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("script", [DOWN, RESET, "status 401\nbody {}", "say From\nclose"])
def test_when_the_cloud_fails_the_parked_draft_is_finished_and_flagged(script: str) -> None:
    with hybrid(DoubtfulBackend(LONG, unsure=0.9), script) as (llm, _):
        answer = llm.chat("x")

    assert (answer.text, answer.route, answer.degraded) == (LONG, "local", True)
    assert answer.reason == "unsure"
    assert [tier for tier, _ in outcomes(answer)] == ["local", "cloud"]
    assert outcomes(answer)[0] == ("local", "answered")
    assert outcomes(answer)[1][1].startswith("cloud_")
    assert answer.wasted_tokens == 0


def test_when_the_cloud_fails_after_it_was_seen_there_is_an_error_and_no_second_voice() -> None:
    with hybrid(DoubtfulBackend(LONG, unsure=0.9), RESET) as (llm, _):
        stream = llm.stream("x", hold="none")
        assert next(stream).text == "From"
        with pytest.raises(CloudError):
            list(stream)


def test_a_request_that_went_straight_up_falls_back_to_the_tier_it_passed_over() -> None:
    rules = {"rules": ({"pattern": "prove", "tier": "cloud"},)}
    with hybrid(DoubtfulBackend(SURE), DOWN, escalation=rules) as (llm, _):
        answer = llm.chat("prove it")

    assert (answer.text, answer.route, answer.degraded) == (SURE, "local", True)
    assert answer.reason == "task"


def test_where_nobody_can_answer_the_error_is_the_clouds() -> None:
    small = DoubtfulBackend(SURE, capabilities=fake_capabilities(max_model_len=128))
    with hybrid(small, DOWN) as (llm, _), pytest.raises(CloudUnavailableError):
        llm.chat("x" * 300)


def test_a_slow_cloud_leaves_time_for_the_local_answer() -> None:
    with hybrid(DoubtfulBackend(LONG, unsure=0.9), HANG) as (llm, server):
        answer = llm.chat("x", deadline_s=2.0)
        assert server.requests[0].client_left.wait(5)

    assert (answer.text, answer.degraded) == (LONG, True)
    assert outcomes(answer)[1][1] == "cloud_timeout"


def test_a_deadline_that_nobody_can_keep_is_a_typed_error_in_time() -> None:
    small = DoubtfulBackend(SURE, capabilities=fake_capabilities(max_model_len=128))
    with hybrid(small, HANG) as (llm, _), pytest.raises((DeadlineExceededError, CloudError)):
        llm.chat("x" * 300, deadline_s=0.5)


def test_a_local_answer_that_is_not_ready_in_time_is_cut_short_and_says_so() -> None:
    with hybrid(SlowBackend("word " * 150), tiers=[LOCAL]) as (llm, _):
        answer = llm.chat("x", deadline_s=0.3)

    assert (answer.finish_reason, answer.degraded, answer.reason) == ("length", True, "deadline")
    assert 0 < len(answer.text) < 750


def is_idle(backend: SlowBackend) -> bool:
    """Whether the model has stopped for good, within five seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        before = backend.num_forwards
        time.sleep(20 * backend.step_s)
        if backend.num_forwards == before:
            return True
    return False


def test_leaving_a_stream_stops_both_tiers() -> None:
    backend = SlowBackend(LONG, unsure=0.9)
    with hybrid(backend, "say From\nsay  here.\nhang") as (llm, server):
        for _ in llm.stream("x", hold="none"):
            break
        assert server.requests[0].client_left.wait(5)
        assert is_idle(backend)


def test_a_race_is_won_by_a_local_answer_that_is_ready_first() -> None:
    backend = DoubtfulBackend(SURE, lambda at: 0.25)
    with hybrid(backend, HANG) as (llm, server):
        answer = llm.chat("x", on_doubt="race")
        for seen in server.requests:  # none, where the answer was ready before the connection
            assert seen.client_left.wait(5)

    assert (answer.text, answer.route, answer.degraded) == (SURE, "local", False)
    assert outcomes(answer)[0] == ("local", "answered")
    assert outcomes(answer)[1] in [("cloud", "lost"), ("cloud", "cancelled")]


def test_a_race_is_won_by_the_cloud_when_it_speaks_first() -> None:
    backend = SlowBackend("x" * 900, lambda at: 0.25)
    with hybrid(backend) as (llm, _):
        answer = llm.chat("x", on_doubt="race")

    assert (answer.text, answer.route, answer.reason) == (
        "From the cloud.",
        "cloud",
        "low_confidence",
    )
    assert outcomes(answer) == [("local", "lost"), ("cloud", "answered")]
    assert answer.wasted_tokens > 0


def test_in_a_race_a_cloud_that_fails_changes_nothing() -> None:
    with hybrid(SlowBackend(LONG, lambda at: 0.25), DOWN) as (llm, _):
        answer = llm.chat("x", on_doubt="race")

    assert (answer.text, answer.route, answer.degraded) == (LONG, "local", False)


def test_a_draft_is_sent_along_under_roles_of_its_own() -> None:
    with hybrid(DoubtfulBackend(SURE, lambda at: 0.05)) as (llm, server):
        answer = llm.chat("x", on_doubt="draft_and_refine")

    user, draft, instruction = server.requests[0].json["messages"]
    assert user == {"role": "user", "content": "x"}
    assert draft == {"role": "assistant", "content": SURE}
    assert instruction["role"] == "system"
    assert (answer.text, answer.route) == ("From the cloud.", "cloud")


def verdict(word: str) -> str:
    return f"say {word}\nfinish stop\nusage 9 1\ndone"


def test_a_draft_that_the_cloud_approves_is_delivered() -> None:
    with hybrid(DoubtfulBackend(SURE, lambda at: 0.05), verdict("YES")) as (llm, server):
        answer = llm.chat("x", on_doubt="verify")

    assert (answer.text, answer.route, answer.degraded) == (SURE, "local", False)
    assert outcomes(answer) == [("local", "answered"), ("cloud", "judged")]
    assert server.requests[0].json["max_tokens"] == 16


def test_a_draft_that_the_cloud_refuses_is_replaced() -> None:
    backend = DoubtfulBackend(SURE, lambda at: 0.05)
    with hybrid(backend, verdict("NO."), CLOUD_ANSWER) as (llm, _):
        answer = llm.chat("x", on_doubt="verify")

    assert (answer.text, answer.reason) == ("From the cloud.", "verifier")


def test_a_draft_that_cannot_be_judged_is_delivered_and_flagged() -> None:
    with hybrid(DoubtfulBackend(SURE, lambda at: 0.05), DOWN) as (llm, _):
        answer = llm.chat("x", on_doubt="verify")

    assert (answer.text, answer.degraded, answer.reason) == (SURE, True, "low_confidence")


@pytest.mark.parametrize("script", ["say And more.\nfinish stop\nusage 9 3\ndone", DOWN])
def test_an_answer_that_was_begun_is_continued_where_the_endpoint_can(script: str) -> None:
    backend = DoubtfulBackend(LONG, doubtful_from(18))
    with CloudServer(script) as server:
        tiers = [LOCAL, cloud(server, capabilities=["continue_prefix"])]
        with hybrid(backend, tiers=tiers) as (llm, _):
            chunks = list(llm.stream("x", on_doubt="continue", hold="sentence"))
        prefix = server.requests[0].json["messages"][-1]

    answer = chunks[-1].answer
    assert answer is not None
    assert prefix["role"] == "assistant"
    assert LONG.startswith(prefix["content"])
    text = "".join(chunk.text for chunk in chunks)
    assert text == answer.text
    if script == DOWN:
        assert (text, answer.degraded) == (LONG, True)
    else:
        assert text == prefix["content"] + "And more."
        assert answer.route == "cloud"


def test_json_that_nobody_gets_right_is_an_error_and_never_shown() -> None:
    with hybrid(DoubtfulBackend("no JSON"), CLOUD_ANSWER) as (llm, _):
        stream = llm.stream("x", hold="none", response_format={"type": "json_object"})
        with pytest.raises(AnswerRejectedError):
            next(stream)


def test_a_tool_call_of_the_cloud_comes_whole_and_at_the_end() -> None:
    script = """
tool 0 call_9 f {"a":
tool 0 - - 1}
finish tool_calls
usage 9 3
done
"""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    with hybrid(SpokenBackend(SURE), script) as (llm, _):
        answer = llm.chat("x", tools=tools)

    assert (answer.reason, answer.signal) == ("capability", "tools")
    assert [(c.id, c.name, c.arguments) for c in answer.tool_calls] == [("call_9", "f", {"a": 1})]
    assert answer.finish_reason == "tool_calls"


def test_many_requests_share_the_tiers() -> None:
    async def main() -> list[Answer]:
        async with hybrid_async(DoubtfulBackend(LONG, unsure=0.9)) as (llm, _):
            return await asyncio.gather(*(llm.chat("x") for _ in range(8)))

    assert [answer.text for answer in asyncio.run(main())] == ["From the cloud."] * 8


def test_the_record_is_plain_json_with_all_it_cost() -> None:
    prices = {"input_usd": 1.0, "output_usd": 2.0}
    with hybrid(DoubtfulBackend(LONG, unsure=0.9)) as (_, server):
        tiers = [LOCAL, cloud(server, prices=prices)]
        with hybrid(DoubtfulBackend(LONG, unsure=0.9), tiers=tiers) as (llm, _):
            answer = llm.chat("x")

    record = json.loads(json.dumps(answer.to_dict()))
    assert record["cost_usd"] == pytest.approx((9 * 1.0 + 3 * 2.0) / 1e6)
    local, remote = record["attempts"]
    assert (local["tier"], local["outcome"], local["reason"]) == ("local", "deferred", "unsure")
    assert (remote["prompt_tokens"], remote["completion_tokens"]) == (9, 3)
    assert remote["cost_usd"] == record["cost_usd"]
    assert record["usage"]["prompt_tokens"] == local["prompt_tokens"] + 9
    assert record["hold_s"] >= 0


def test_an_empty_answer_of_the_cloud_is_worth_less_than_the_draft() -> None:
    with hybrid(DoubtfulBackend(SURE, unsure=0.9), "finish stop\nusage 9 0\ndone") as (llm, _):
        answer = llm.chat("x")

    assert (answer.text, answer.route, answer.degraded) == (SURE, "local", True)


def test_closing_ends_requests_that_wait_for_the_cloud() -> None:
    with hybrid(DoubtfulBackend(SURE, unsure=0.9), HANG) as (llm, server):
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                llm.chat("x")
            except RuntimeClosedError as error:
                errors.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        end = time.monotonic() + 20
        while not server.requests and time.monotonic() < end:
            time.sleep(0.01)
        llm.close()
        asking.join(20)

        assert not asking.is_alive()
    assert len(errors) == 1


def test_a_cloud_that_asks_to_come_back_in_an_hour_is_not_waited_for() -> None:
    later = "status 429 retry-after=3600\nbody {}"
    with CloudServer(later) as server:
        patience = {"total_s": 1.0}
        tiers = [LOCAL, cloud(server, max_retries=2, timeouts=patience)]
        with hybrid(DoubtfulBackend(SURE, unsure=0.9), tiers=tiers) as (llm, _):
            answer = llm.chat("x")

    assert (answer.text, answer.degraded) == (SURE, True)
