"""The chat format: how messages become the text the model reads, and the template that does it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from scripts.builtin.intents import ToolCall

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
CALL_START = "<tool_call>"
CALL_END = "</tool_call>"
SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END, CALL_START, CALL_END)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['tool_calls'] -%}"
    "{%- for call in message['tool_calls'] -%}"
    "{%- if call['function'] -%}{%- set call = call['function'] -%}{%- endif -%}"
    "{{- '<tool_call>{\"name\": \"' + call['name'] + '\", \"arguments\": ' -}}"
    "{%- if call['arguments'] is string -%}{{- call['arguments'] -}}"
    "{%- else -%}{{- call['arguments'] | tojson -}}{%- endif -%}"
    "{{- '}</tool_call>' -}}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    is_trained: bool = False
    """Whether the model learns to write this turn."""
    is_compact: bool = False
    """Whether arguments are JSON without spaces, as other programs send them back."""


class Answer(NamedTuple):
    """What the model wrote: its calls and the text to speak."""

    calls: list[ToolCall]
    text: str


class Segment(NamedTuple):
    """A stretch of text and whether the model learns to write it."""

    text: str
    is_trained: bool


def render_body(message: Message) -> str:
    """The calls and the content of `message`, without role and end mark."""
    return "".join(_render_call(call, message.is_compact) for call in message.calls) + (
        message.content
    )


def render_prompt(messages: tuple[Message, ...]) -> str:
    """What the model reads before it answers `messages`."""
    turns = (f"{IM_START}{m.role}\n{render_body(m)}{IM_END}\n" for m in messages)
    return f"{''.join(turns)}{IM_START}assistant\n"


def split_trained(messages: tuple[Message, ...]) -> list[Segment]:
    """The whole conversation as text, cut where learning starts and stops."""
    segments = []
    for message in messages:
        segments.append(Segment(f"{IM_START}{message.role}\n", is_trained=False))
        segments.append(Segment(render_body(message) + IM_END, message.is_trained))
        segments.append(Segment("\n", is_trained=False))
    return segments


def parse_answer(text: str) -> Answer:
    """The calls and the spoken text in what the model wrote.

    Raises:
        ValueError: a call is not closed or is not the JSON of a call.
    """
    calls = []
    while text.startswith(CALL_START):
        body, closed, text = text.removeprefix(CALL_START).partition(CALL_END)
        if not closed:
            raise ValueError(f"call is not closed: {body!r}")
        call = json.loads(body)
        if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
            raise ValueError(f"not a call: {body!r}")
        calls.append(ToolCall(call["name"], call["arguments"]))
    return Answer(calls, text.removesuffix(IM_END))


def _render_call(call: ToolCall, is_compact: bool) -> str:
    # Sorted keys: the `tojson` of Jinja sorts them too, so history reads the same everywhere.
    arguments = json.dumps(
        call.arguments,
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":") if is_compact else None,
    )
    return f'{CALL_START}{{"name": "{call.name}", "arguments": {arguments}}}{CALL_END}'
