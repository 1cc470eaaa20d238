"""What was handed to `run` as tools, one by one and under names of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from edge_llm.errors import ToolError
from edge_llm.runtime.tools.function import tool_from
from edge_llm.runtime.tools.types import Tool, ToolLike, ToolSource


async def collect(given: Iterable[ToolLike]) -> dict[str, Tool]:
    """All tools by name. Of a source, a tool whose name is taken has the source's before it.

    Raises:
        ToolError: something is no tool, two have one name, or a source cannot be reached.
    """
    found: dict[str, Tool] = {}
    sources: list[ToolSource] = []
    for one in given:
        if isinstance(one, Tool):
            _add(found, one)
        elif callable(getattr(one, "list_tools", None)):
            sources.append(one)  # type: ignore[arg-type]
        elif callable(one):
            _add(found, await asyncio.to_thread(tool_from, one))
        else:
            raise ToolError(
                f"{type(one).__name__} is no tool",
                hint="pass functions with type hints, edge_llm.Tool or an edge_llm.MCPServer",
            )
    listed = await asyncio.gather(*(source.list_tools() for source in sources))
    for source, tools in zip(sources, listed, strict=True):
        _add_source(found, getattr(source, "name", "tools"), tools)
    return found


def _add(found: dict[str, Tool], tool: Tool) -> None:
    if tool.name in found:
        raise ToolError(f"two tools have the name {tool.name!r}", hint="rename one of them")
    found[tool.name] = tool


def _add_source(found: dict[str, Tool], source: str, tools: Sequence[Tool]) -> None:
    for tool in tools:
        taken = tool.name in found
        _add(found, replace(tool, name=f"{source}_{tool.name}") if taken else tool)
