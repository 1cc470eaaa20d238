"""A Python function as a tool: its schema from type hints and docstring, its arguments checked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints, overload

from edge_llm.errors import InvalidParameterError, ToolError
from edge_llm.privacy import PrivacyLabel
from edge_llm.runtime.structured.python_type import PythonType, described, typed_arguments
from edge_llm.runtime.tools.docstring import read_docstring
from edge_llm.runtime.tools.types import Tool

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Source: the OpenAI API, `function.name`; dots are what Home Assistant and MCP servers add."""

_MARK = "__edge_llm_tool__"


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float | None = None,
    needs_approval: bool = False,
    privacy: str | None = None,
) -> Callable[[F], F]: ...


def tool(function: Callable[..., Any] | None = None, /, **marks: Any) -> Any:
    """Say more of a function that is a tool; it stays the function that it is.

    `needs_approval`: `run` asks its `approve` before each call. `privacy="local_only"`: once it was
    called, nothing of the conversation leaves the device. `timeout_s`: of one call.

    Raises:
        ToolError: a mark that nobody knows, or a label that is none.
    """
    _check_marks(marks)

    def mark(one: F) -> F:
        setattr(one, _MARK, marks)
        return one

    return mark if function is None else mark(function)


def tool_from(function: Callable[..., Any]) -> Tool:
    """The tool that a function is.

    Raises:
        ToolError: it is no function with named, annotated parameters.
    """
    marks = getattr(function, _MARK, {})
    name = str(marks.get("name") or getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name):
        raise ToolError(
            f"{name!r} cannot be the name of a tool",
            hint="give it one: @edge_llm.tool(name='turn_on')",
        )
    docs = read_docstring(inspect.getdoc(function))
    arguments = _arguments(function, name, docs.parameters)

    def call(values: Mapping[str, Any]) -> Any:
        return function(**values)

    return Tool(
        name=name,
        description=marks.get("description") or docs.summary,
        parameters=_parameters(arguments, name),
        call=call,
        is_async=inspect.iscoroutinefunction(function)
        or inspect.iscoroutinefunction(getattr(function, "__call__", None)),  # noqa: B004
        convert=lambda values: arguments.convert(dict(values)),
        timeout_s=marks.get("timeout_s"),
        needs_approval=marks.get("needs_approval", False),
        privacy=marks.get("privacy"),
    )


def _check_marks(marks: Mapping[str, Any]) -> None:
    unknown = set(marks) - {"name", "description", "timeout_s", "needs_approval", "privacy"}
    if unknown:
        raise ToolError(f"tool() knows no {', '.join(sorted(unknown))}")
    label = marks.get("privacy")
    if label is not None and label not in tuple(PrivacyLabel):
        raise ToolError(
            f"privacy must be one of {', '.join(PrivacyLabel)}, not {label!r}",
        )


def _arguments(function: Callable[..., Any], name: str, words: Mapping[str, str]) -> PythonType:
    try:
        signature = inspect.signature(function)
        hints = get_type_hints(_hinted(function), include_extras=True)
    except (TypeError, ValueError, NameError) as exc:
        raise ToolError(f"{name} cannot be a tool: {exc}") from exc
    members, required = {}, set()
    for parameter in signature.parameters.values():
        _check_parameter(parameter, name, hints)
        default = parameter.default
        is_required = default is inspect.Parameter.empty
        if is_required:
            required.add(parameter.name)
        members[parameter.name] = described(
            hints[parameter.name], words.get(parameter.name, ""), ... if is_required else default
        )
    try:
        return typed_arguments(name, members, frozenset(required))
    except InvalidParameterError as error:
        raise ToolError(f"{name} cannot be a tool: {error.message}", hint=error.hint) from error


def _hinted(function: Callable[..., Any]) -> Any:
    """What holds the annotations: the function itself, or the method behind an object."""
    inner = inspect.unwrap(function)
    if inspect.isroutine(inner):
        return inner
    return getattr(inner, "func", None) or type(inner).__call__


def _check_parameter(parameter: inspect.Parameter, name: str, hints: Mapping[str, Any]) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ToolError(
            f"{name} cannot be a tool: *{parameter.name} says not what the model may give it",
            hint="name each parameter",
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ToolError(f"{name} cannot be a tool: {parameter.name!r} cannot be given by name")
    if parameter.name not in hints:
        raise ToolError(
            f"{name} cannot be a tool: its parameter {parameter.name!r} has no type",
            hint=f"annotate it: {parameter.name}: str",
        )


def _parameters(arguments: PythonType, name: str) -> dict[str, Any]:
    try:
        schema = arguments.schema
    except InvalidParameterError as error:
        raise ToolError(f"{name} cannot be a tool: {error.message}", hint=error.hint) from error
    # Titles repeat the names, and every token of a tool costs time in each prompt.
    return {name: _untitled(value) for name, value in schema.items() if name != "title"}


def _untitled(node: Any) -> Any:
    if isinstance(node, list):
        return [_untitled(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _untitled(value)
        for name, value in node.items()
        if not (name == "title" and isinstance(value, str))
    }
