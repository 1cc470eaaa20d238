"""Tools of real MCP servers, in processes of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_llm.errors import ToolError, ToolServerError
from edge_llm.integrations.mcp import MCPServer
from edge_llm.runtime.tools.collect import collect
from edge_llm.runtime.tools.execute import Executor
from edge_llm.runtime.tools.types import ToolLike, ToolResult
from edge_llm.types import ToolCall

pytest.importorskip("mcp")

PROGRAM = Path(__file__).parent.parent / "support" / "mcp_server.py"
COMMAND = [sys.executable, str(PROGRAM)]


@pytest.fixture(scope="module")
def house() -> Iterator[MCPServer]:
    with MCPServer(COMMAND) as server:
        yield server


@pytest.fixture
def address() -> Iterator[str]:
    with subprocess.Popen([*COMMAND, "http"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


async def call(tools: list[ToolLike], name: str, **arguments: Any) -> ToolResult:
    executor = Executor(await collect(tools))
    return await executor.execute(ToolCall("1", name, arguments))


def test_tools_of_a_command_with_their_schemas(house: MCPServer) -> None:
    found = asyncio.run(collect([house]))
    done = asyncio.run(call([house], "set_lamp", room="hall", is_on=True))

    assert house.name == "house"
    assert {"set_lamp", "add", "fail"} <= set(found)
    assert found["set_lamp"].parameters["properties"]["room"]["type"] == "string"
    assert found["set_lamp"].parameters["required"] == ["room", "is_on"]
    assert (done.status, done.content) == ("ok", "the lamp in the hall is on")


def test_tools_behind_an_address(address: str) -> None:
    async def use() -> ToolResult:
        async with MCPServer(url=address) as house:
            return await call([house], "add", a=2, b=3)

    done = asyncio.run(use())

    assert done.status == "ok"
    assert "5" in done.content


def test_arguments_are_checked_before_they_are_sent(house: MCPServer) -> None:
    done = asyncio.run(call([house], "set_lamp", room="hall", is_on="maybe"))

    assert done.status == "invalid"
    assert "set_lamp.is_on" in done.content


def test_what_fails_there_is_a_result_here(house: MCPServer) -> None:
    done = asyncio.run(call([house], "fail"))

    assert done.status == "error"
    assert "no electricity" in done.content
    assert "Traceback" not in done.content


def test_a_server_that_dies_in_a_call_is_an_error_of_that_call() -> None:
    with MCPServer(COMMAND) as house:
        tools: list[ToolLike] = [*asyncio.run(collect([house])).values()]
        first = asyncio.run(call(tools, "die"))
        second = asyncio.run(call(tools, "add", a=1, b=2))
        with pytest.raises(ToolServerError):
            asyncio.run(house.list_tools())

    assert (first.status, second.status) == ("error", "error")
    assert "MCP server" in first.content
    assert "MCP server" in second.content


def test_a_call_has_a_time_limit() -> None:
    with MCPServer(COMMAND, timeout_s=0.3) as house:
        done = asyncio.run(call([house], "sleep", seconds=30))

    assert done.status in ("timeout", "error")
    assert "0.3 seconds" in done.content


def test_a_taken_name_gets_that_of_the_server_before_it(house: MCPServer) -> None:
    def add(a: int) -> int:
        """Add one."""
        return a + 1

    found = asyncio.run(collect([add, house]))

    assert {"add", "house_add", "set_lamp"} <= set(found)


def test_what_a_server_calls_destructive_wants_approval(house: MCPServer) -> None:
    found = asyncio.run(collect([house]))

    assert {name for name, tool in found.items() if tool.needs_approval} == {"wipe"}


def test_a_command_that_is_none_says_so() -> None:
    with pytest.raises(ToolServerError, match="cannot be reached"):
        MCPServer(["/no/such/program"]).open()


def test_a_server_that_prints_among_its_messages_is_no_trouble() -> None:
    noisy = (
        "import runpy\nprint('started', flush=True)\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    )
    script = (
        "import asyncio, sys\n"
        "from edge_llm import MCPServer\n"
        f"with MCPServer([sys.executable, '-c', {noisy!r}]) as server:\n"
        "    print(len(asyncio.run(server.list_tools())))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )

    assert (done.stdout.strip(), done.returncode) == ("6", 0), done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_is_one_and_told_with_its_port() -> None:
    with pytest.raises(ToolError, match="http"):
        MCPServer(url="house.local")
    with pytest.raises(ToolServerError, match=r"'http://127\.0\.0\.1:9/mcp'"):
        MCPServer(url="http://someone:secret@127.0.0.1:9/mcp").open()


def test_a_server_that_is_not_open_says_so() -> None:
    with pytest.raises(ToolServerError, match="not open"):
        asyncio.run(MCPServer(COMMAND).list_tools())


def test_a_server_has_one_way_to_be_reached() -> None:
    with pytest.raises(ToolError):
        MCPServer()
    with pytest.raises(ToolError):
        MCPServer(COMMAND, url="http://localhost/mcp")


def test_offline_reaches_no_other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LLM_OFFLINE", "1")

    with pytest.raises(ToolServerError, match="another machine"):
        MCPServer(url="https://tools.example.com/mcp").open()
