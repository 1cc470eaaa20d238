"""How a template takes tools, calls and results: found out by having it write some."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from edge_llm.errors import ChatTemplateError
from edge_llm.prompt.calls.base import CallFormat
from edge_llm.prompt.calls.probe import ARGUMENTS, NAME
from edge_llm.prompt.calls.registry import GENERIC
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.messages import JsonObject, Message
from edge_llm.prompt.tool_turns import (
    SHORT_ID_LENGTH,
    calls_as_text,
    link_results,
    one_call_a_turn,
    results_as_user,
    short_ids,
    thoughts_under,
    tools_beside_system,
    tools_in_system,
)

Place: TypeAlias = Literal["tools", "xml_tools", "system tools", "system text"]
"""Where tools are told: in a variable of the template, in a member of the system message, or in
its text because the template has no place for them."""

_RESULT = "q7_probe_result"


@dataclass(frozen=True, slots=True)
class ToolPlaces:
    """What one template can do; safe to use from any thread."""

    place: Place
    format: CallFormat = field(repr=False)
    writes_calls: bool
    writes_results: bool

    @property
    def is_native(self) -> bool:
        """Whether the template itself has a place for tools."""
        return self.place != "system text"

    def prepare(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None
    ) -> list[Message]:
        """The messages as the template can take them, tools that it has no place for among them."""
        prepared = list(messages)
        if any(message.get("tool_calls") or message["role"] == "tool" for message in messages):
            prepared = link_results(prepared)
            if self.format.id_length == SHORT_ID_LENGTH:
                prepared = short_ids(prepared)
            if self.format.max_calls == 1:
                prepared = one_call_a_turn(prepared)
            if self.format.thoughts_key:
                prepared = thoughts_under(prepared, self.format.thoughts_key)
            if not self.writes_results:
                prepared = results_as_user(prepared)
        if tools and self.place == "system text":
            prepared = tools_in_system(prepared, tools, self.format.layout)
        if tools and self.place == "system tools":
            prepared = tools_beside_system(prepared, tools)
        return prepared

    def finish(self, messages: Sequence[Message]) -> list[Message]:
        """Shielded messages, with what the template would leave out written into their content."""
        return list(messages) if self.writes_calls else calls_as_text(messages, self.format.layout)


def find_places(template: ChatTemplate, format: CallFormat) -> ToolPlaces:
    """What a template can do with tools."""
    place = _place(template)
    writes_calls = _writes(template, [_called(ARGUMENTS)], NAME) is not False
    return ToolPlaces(
        place=place,
        format=format,
        writes_calls=writes_calls,
        writes_results=_writes_results(template, format, writes_calls)
        and not (format is GENERIC and place == "system text"),
    )


def _place(template: ChatTemplate) -> Place:
    if template.supports_tools:
        return "tools"
    if "xml_tools" in template.source:
        return "xml_tools"
    if "<|tool|>" in template.source and "tools" in template.source:
        return "system tools"
    return "system text"


def _called(arguments: Mapping[str, str] | str) -> Message:
    function = {"name": NAME, "arguments": arguments}
    call = {"id": "q7probe00", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _writes_results(template: ChatTemplate, format: CallFormat, writes_calls: bool) -> bool:
    turns = (
        [_called(ARGUMENTS)] if writes_calls else calls_as_text([_called(ARGUMENTS)], format.layout)
    )
    result = {"role": "tool", "content": _RESULT, "tool_call_id": "q7probe00", "name": NAME}
    return _writes(template, [*turns, result], _RESULT) is True


def _writes(template: ChatTemplate, turns: Sequence[Message], text: str) -> bool | None:
    """Whether the template writes the text of these turns; None where it fails at them."""
    found: bool | None = None
    for arguments in (JsonObject(ARGUMENTS), json.dumps(ARGUMENTS)):
        given = [_called(arguments) if turn.get("tool_calls") else turn for turn in turns]
        with contextlib.suppress(ChatTemplateError):
            if text in template.render([{"role": "user", "content": "q7"}, *given]):
                return True
            found = False
    return found
