"""What a compiled template tells of the family that it belongs to."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edge_llm.errors import ChatTemplateError
from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.probe import ARGUMENTS, MORE, NAME
from edge_llm.prompt.calls.registry import find_format
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.messages import JsonObject

_TEXT = "q7_probe_text"
_CUT_OPEN = re.compile(r"[<\[]\|?/?\w*$")
_TOOL = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "q7",
        "parameters": {"type": "object", "properties": {"q7_key": {"type": "string"}}},
    },
}


def format_of(template: ChatTemplate) -> CallFormat:
    """The family of a template; the generic one where it has no place for tools."""
    longer = sample_call(template, MORE)
    return find_format(Evidence(template.source, sample_call(template), longer))


def sample_call(template: ChatTemplate, arguments: Mapping[str, str] = ARGUMENTS) -> str:
    """How the template writes one call that the model made, alone; empty where it does not."""
    said = _render(template, {"role": "assistant", "content": _TEXT})
    if said is None or _TEXT not in said:
        return ""
    for given in (JsonObject(arguments), json.dumps(arguments)):
        call = {
            "id": "q7probe00",
            "type": "function",
            "function": {"name": NAME, "arguments": given},
        }
        called = _render(template, {"role": "assistant", "content": "", "tool_calls": [call]})
        if called is not None and NAME in called:
            return _difference(called, said)
    return ""


def _render(template: ChatTemplate, answer: Mapping[str, Any]) -> str | None:
    conversation: Sequence[Mapping[str, Any]] = [{"role": "user", "content": "q7"}, answer]
    try:
        return template.render(conversation, [_TOOL], add_generation_prompt=False)
    except ChatTemplateError:
        return None


def _difference(called: str, said: str) -> str:
    """What stands in `called` where the text stands in `said`; no marker is cut in two."""
    before, _, after = said.partition(_TEXT)
    start = _num_common(before, called)
    if (cut := _CUT_OPEN.search(called[:start])) is not None:
        start = cut.start()
    end = len(called) - _num_common(after[::-1], called[start:][::-1])
    sample = called[start:end]
    if end < len(called) and (cut := _CUT_OPEN.search(sample)) is not None:
        sample = sample[: cut.start()]
    return sample.strip("\n")


def _num_common(one: str, other: str) -> int:
    """How many first characters two texts share."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)
