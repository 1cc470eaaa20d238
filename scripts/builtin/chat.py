"""The chat format: how messages become the text the model reads, and the template that does it.

Calls are written as LFM2 writes them, a list of Python calls between two control tokens: a third
of the tokens that JSON would take. A control token opens every answer the model does not trust.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from scripts.builtin.intents import SlotValue, ToolCall

END_OF_TEXT = "<|endoftext|>"
END = "<|end|>"
CALL_START = "<|tool_call_start|>"
CALL_END = "<|tool_call_end|>"
UNSURE = "<|unsure|>"
UNSURE_KEY = "edge_llm.unsure_token"
"""Metadata, in GGUF and in `config.json`, that names the token `UNSURE` to any runtime."""
ROLES = ("system", "user", "assistant", "tool", "tools")
SPECIAL_TOKENS = (
    END_OF_TEXT,
    END,
    CALL_START,
    CALL_END,
    UNSURE,
    *(f"<|{role}|>" for role in ROLES),
)

CHAT_TEMPLATE = (
    "{%- if tools -%}"
    "{{- '<|tools|>' -}}"
    "{%- for tool in tools -%}"
    "{%- if tool['function'] -%}{%- set tool = tool['function'] -%}{%- endif -%}"
    "{{- tool['name'] + '(' -}}"
    "{%- if tool['parameters'] and tool['parameters']['properties'] -%}"
    "{{- tool['parameters']['properties'] | join(',') -}}"
    "{%- endif -%}"
    "{{- ')' -}}"
    "{%- if not loop.last -%}{{- '\\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{{- '<|end|>' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['tool_calls'] -%}"
    "{{- '<|tool_call_start|>[' -}}"
    "{%- for call in message['tool_calls'] -%}"
    "{%- if call['function'] -%}{%- set call = call['function'] -%}{%- endif -%}"
    "{{- call['name'] + '(' -}}"
    "{%- if call['arguments'] is string -%}{{- call['arguments'] -}}"
    "{%- else -%}"
    "{%- for key, value in call['arguments'] | dictsort -%}"
    "{{- key + '=' + (value | tojson) -}}"
    "{%- if not loop.last -%}{{- ',' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- ')' -}}"
    "{%- if not loop.last -%}{{- ',' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{{- ']<|tool_call_end|>' -}}"
    "{%- endif -%}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- endif -%}"
    "{{- '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; the role `tools` lists the tools that are offered."""

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    is_trained: bool = False
    """Whether the model learns to write this turn."""
    is_unsure: bool = False
    """Whether the turn opens with the token for `ask someone else`."""


class Answer(NamedTuple):
    """What the model wrote: its calls, the text to speak, and whether it is unsure of both."""

    calls: list[ToolCall]
    text: str
    is_unsure: bool = False


class Segment(NamedTuple):
    """A stretch of text and whether the model learns to write it."""

    text: str
    is_trained: bool


def render_body(message: Message) -> str:
    """The calls and the content of `message`, without role and end mark."""
    calls = ",".join(_render_call(call) for call in message.calls)
    return (
        (UNSURE if message.is_unsure else "")
        + (f"{CALL_START}[{calls}]{CALL_END}" if calls else "")
        + message.content
    )


def render_tools(tools: Iterable[tuple[str, Iterable[str]]]) -> str:
    """The tools that are offered, one a line: `HassTurnOn(name,area)`."""
    return "\n".join(f"{name}({','.join(slots)})" for name, slots in tools)


def render_prompt(messages: tuple[Message, ...]) -> str:
    """What the model reads before it answers `messages`."""
    turns = (f"<|{m.role}|>{render_body(m)}{END}" for m in messages)
    return f"{''.join(turns)}<|assistant|>"


def split_trained(messages: tuple[Message, ...]) -> list[Segment]:
    """The whole conversation as text, cut where learning starts and stops."""
    segments = []
    for message in messages:
        segments.append(Segment(f"<|{message.role}|>", is_trained=False))
        segments.append(Segment(render_body(message) + END, message.is_trained))
    return segments


def parse_answer(text: str) -> Answer:
    """The calls and the spoken text in what the model wrote.

    Raises:
        ValueError: the calls are not closed or not calls.
    """
    is_unsure = text.startswith(UNSURE)
    text = text.removeprefix(UNSURE).removesuffix(END)
    if not text.startswith(CALL_START):
        return Answer([], text, is_unsure)
    body, closed, text = text.removeprefix(CALL_START).partition(CALL_END)
    if not closed:
        raise ValueError(f"calls are not closed: {body!r}")
    return Answer(_parse_calls(body), text, is_unsure)


def _parse_calls(body: str) -> list[ToolCall]:
    try:
        tree = ast.parse(body, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"not a list of calls: {body!r}") from error
    if not isinstance(tree, ast.List):
        raise ValueError(f"not a list of calls: {body!r}")
    return [_read_call(node, body) for node in tree.elts]


def _read_call(node: ast.expr, body: str) -> ToolCall:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise ValueError(f"not a call: {body!r}")
    arguments: dict[str, SlotValue] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError(f"not the arguments of a call: {body!r}")
        arguments[keyword.arg] = ast.literal_eval(keyword.value)
    return ToolCall(node.func.id, arguments)


def _render_call(call: ToolCall) -> str:
    # Sorted, as the template's `dictsort` sorts them: history reads the same everywhere.
    arguments = ",".join(
        f"{slot}={json.dumps(value, ensure_ascii=False)}"
        for slot, value in sorted(call.arguments.items())
    )
    return f"{call.name}({arguments})"
