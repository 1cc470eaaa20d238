"""Calls made to happen, and everything that can go wrong with one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from edge_llm.runtime.tools.execute import Executor
from edge_llm.runtime.tools.function import tool, tool_from
from edge_llm.runtime.tools.types import ToolResult
from edge_llm.types import ToolCall


def execute(function: Callable[..., Any], arguments: dict[str, Any], **limits: Any) -> ToolResult:
    found = tool_from(function)
    executor = Executor({found.name: found}, **limits)
    return asyncio.run(executor.execute(ToolCall("1", found.name, arguments)))


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


async def double_later(number: int) -> int:
    """Double a number."""
    await asyncio.sleep(0)
    return 2 * number


@pytest.mark.parametrize("function", [double, double_later])
def test_a_call_of_either_kind_has_its_value_and_its_text(function: Callable[..., Any]) -> None:
    done = execute(function, {"number": 21})

    assert (done.status, done.value, done.content) == ("ok", 42, "42")


@pytest.mark.parametrize(
    ("value", "text"),
    [("as it is", "as it is"), (None, "null"), ({"a": [1, None]}, '{"a":[1,null]}'), (1.5, "1.5")],
)
def test_results_are_told_as_text(value: Any, text: str) -> None:
    def give() -> Any:
        return value

    assert execute(give, {}).content == text


def test_an_exception_is_told_by_its_message_and_not_its_traceback() -> None:
    def fail() -> None:
        raise LookupError("no such lamp")

    done = execute(fail, {})

    assert (done.status, done.content) == ("error", "error: LookupError: no such lamp")


@pytest.mark.parametrize("arguments", [{}, {"number": "x"}, {"number": 1, "more": 2}])
def test_arguments_that_do_not_fit_are_never_passed_on(arguments: dict[str, Any]) -> None:
    called = []

    def note(number: int) -> None:
        called.append(number)

    done = execute(note, arguments)

    assert done.status == "invalid"
    assert called == []


def test_nothing_is_called_that_was_not_registered() -> None:
    executor = Executor({"double": tool_from(double)})

    done = asyncio.run(executor.execute(ToolCall("1", "__import__", {"name": "os"})))

    assert done.status == "unknown"
    assert done.content == "error: there is no tool '__import__'; there are: double"


def test_a_call_that_takes_too_long_is_left_to_itself() -> None:
    release = threading.Event()

    def wait() -> None:
        release.wait(30)

    done = execute(wait, {}, timeout_s=0.05)
    release.set()

    assert done.status == "timeout"
    assert "0.05 seconds" in done.content


def test_a_timeout_of_its_own_is_an_error_of_the_function() -> None:
    def fail() -> None:
        raise TimeoutError("the lamp did not answer")

    done = execute(fail, {})

    assert (done.status, done.content) == ("error", "error: TimeoutError: the lamp did not answer")


def test_a_long_result_keeps_its_begin_and_its_end() -> None:
    def recite() -> str:
        return "a" * 500 + "b" * 500

    done = execute(recite, {}, max_result_chars=100)

    assert done.omitted_chars == 900
    assert done.content == "a" * 75 + "\n[… 900 characters left out …]\n" + "b" * 25


@pytest.mark.parametrize("said", [True, False, None, 1, "yes"])
@pytest.mark.parametrize("is_async", [False, True])
def test_only_a_clear_yes_lets_a_call_happen(said: Any, is_async: bool) -> None:
    happened: list[int] = []

    @tool(needs_approval=True)
    def wipe(number: int) -> None:
        happened.append(number)

    async def later(_: ToolCall) -> Any:
        return said

    done = execute(wipe, {"number": 1}, approve=later if is_async else lambda _: said)

    assert done.status == ("ok" if said is True else "denied")
    assert happened == ([1] if said is True else [])


def test_a_function_that_ends_the_program_ends_only_its_call() -> None:
    def leave() -> None:
        raise SystemExit(1)

    assert execute(leave, {}).status == "error"


def test_cancelling_reaches_an_asynchronous_function() -> None:
    cancelled = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        found = tool_from(wait)
        work = asyncio.create_task(Executor({"wait": found}).execute(ToolCall("1", "wait", {})))
        await asyncio.sleep(0.02)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(main())

    assert cancelled == [True]
