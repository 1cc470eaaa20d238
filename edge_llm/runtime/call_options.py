"""What a request says of tools: which are offered, and whether they may or must be called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge_llm.constrain.calls.answer import CallRules
from edge_llm.constrain.schema import prepare_schema
from edge_llm.errors import GrammarError, InvalidParameterError, UnsupportedSchemaError
from edge_llm.prompt.calls.base import OfferedTool
from edge_llm.prompt.messages import check_tools
from edge_llm.runtime.structured.violation import shorten
from edge_llm.types import ToolChoice

_NAME = re.compile(r"[\w.\-]{1,128}")
"""Names that every family can write, and endpoints and MCP know."""

_ANY_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class CallOptions:
    """Checked; falsy where no tools are offered."""

    tools: tuple[OfferedTool, ...] = ()
    choice: ToolChoice | None = None
    """As the caller said it."""
    parallel: bool | None = None
    """False: at most one call."""

    def __bool__(self) -> bool:
        return bool(self.tools)

    @cached_property
    def by_name(self) -> Mapping[str, OfferedTool]:
        """The tools by their names."""
        return {tool.name: tool for tool in self.tools}

    @property
    def rules(self) -> CallRules | None:
        """What an answer's grammar has to know; None where no tools are offered."""
        if not self.tools:
            return None
        most = 1 if self.parallel is False else None
        if isinstance(self.choice, Mapping):
            return CallRules((self.by_name[_named(self.choice)],), "required", 1)
        return CallRules(self.tools, self.choice or "auto", most)

    def objection(self) -> GrammarError | None:
        """Why no grammar can keep a strict tool's calls to its schema; None where one can."""
        for tool in self.tools:
            try:
                prepare_schema(tool.parameters, strict=tool.strict)
            except UnsupportedSchemaError as error:
                return error
        return None


NO_CALLS = CallOptions()


def parse_call_options(
    tools: Sequence[Mapping[str, Any]] | None, choice: object, parallel: object
) -> CallOptions:
    """The options, checked.

    Raises:
        InvalidParameterError: a tool is malformed, two have one name, or the choice cannot be kept.
    """
    if parallel is not None and not isinstance(parallel, bool):
        raise InvalidParameterError(f"parallel_tool_calls must be true or false, not {parallel!r}")
    check_tools(tools or ())
    offered = tuple(_offered(tool["function"]) for tool in tools or ())
    names = [tool.name for tool in offered]
    for name in names:
        if names.count(name) > 1:
            raise InvalidParameterError(f"two tools have the name {name!r}")
    return CallOptions(offered, _checked_choice(choice, names), parallel)


def _offered(function: Mapping[str, Any]) -> OfferedTool:
    name = function["name"]
    if not _NAME.fullmatch(name):
        raise InvalidParameterError(
            f"a tool cannot have the name {shorten(repr(name), 60)}",
            hint="letters, digits, '_', '-' and '.', at most 128 of them",
        )
    parameters = function.get("parameters")
    if parameters is None:
        parameters = _ANY_ARGUMENTS
    if not isinstance(parameters, Mapping | bool):
        raise InvalidParameterError(
            f"the parameters of {name!r} must be a JSON schema, not {parameters!r}"
        )
    return OfferedTool(name, parameters, strict=function.get("strict") is True)


def _checked_choice(choice: object, names: Sequence[str]) -> ToolChoice | None:
    if choice in (None, "auto", "none"):
        return choice
    if choice == "required":
        if not names:
            raise InvalidParameterError("tool_choice 'required' needs tools to choose from")
        return "required"
    name = _named(choice) if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not name:
        raise InvalidParameterError(
            f"tool_choice must be 'auto', 'none', 'required' or a function, not {choice!r}",
            hint='{"type": "function", "function": {"name": …}} names the one to call',
        )
    if name not in names:
        raise InvalidParameterError(f"tool_choice names {name!r}, which is not offered")
    return choice


def _named(choice: Mapping[str, Any]) -> str:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) and choice.get("type") == "function" else ""
