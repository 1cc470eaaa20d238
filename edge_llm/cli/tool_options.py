"""Tools for one request, as options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from edge_llm.cli.form_options import read_json
from edge_llm.errors import InvalidParameterError

ToolsFile = Annotated[
    str | None,
    typer.Option("--tools", metavar="FILE", help="Tools to offer: OpenAI's definitions, in JSON."),
]
Choice = Annotated[
    str | None,
    typer.Option("--tool-choice", help="'auto', 'none', 'required', or the tool to call."),
]
Parallel = Annotated[
    bool | None,
    typer.Option(
        "--parallel-tool-calls/--one-tool-call", help="Several calls in an answer, or one."
    ),
]
ThinkingBudget = Annotated[
    int | None,
    typer.Option("--thinking-budget", help="After so many tokens of thoughts comes the answer."),
]

_WORDS = ("auto", "none", "required")


def tool_options(tools: str | None, choice: str | None, parallel: bool | None) -> dict[str, Any]:
    """The options of a request that these mean.

    Raises:
        InvalidParameterError: the file cannot be read, or holds no tools.
    """
    named = choice is not None and choice not in _WORDS
    return {
        "tools": None if tools is None else _read_tools(tools),
        "tool_choice": {"type": "function", "function": {"name": choice}} if named else choice,
        "parallel_tool_calls": parallel,
    }


def _read_tools(path: str) -> list[Any]:
    """A list of definitions, alone or as the member `tools`; a bare function counts as one."""
    found = read_json("--tools", path)
    if isinstance(found, Mapping):
        found = found.get("tools", [found])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise InvalidParameterError(
            f"--tools {path}: it holds no list of tools",
            hint='[{"type": "function", "function": {"name": …, "parameters": {…}}}, …]',
        )
    return [one if "function" in one else {"type": "function", "function": one} for one in found]
