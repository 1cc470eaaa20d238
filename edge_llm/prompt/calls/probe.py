"""A family that no table knows, read off sample calls that its template writes."""

from __future__ import annotations

import json
import os.path
import re

from edge_llm.prompt.calls.base import CallFormat, Evidence, Layout, NotACallError, ParsedToolCall
from edge_llm.prompt.calls.json_layout import JsonLayout
from edge_llm.prompt.calls.named_layout import NamedLayout
from edge_llm.prompt.calls.tag_layout import TagLayout

NAME = "q7_probe_tool"
ARGUMENTS = {"q7_key": "q7_value"}
MORE = {"q7_key": "q7_value", "q7_yek": "q7_eulav"}
PROBED = "probed:"
"""Begins the name of a format that was found so; the rest are its parts, as JSON."""

_MEMBERS = re.compile(r'"\s*,\s*"(arguments|parameters)"\s*:\s*')
_OBJECT = re.compile(r'\{\s*"q7_key"\s*:\s*"q7_value"\s*\}')
_HEAD = re.compile(r'\{\s*"name"\s*:\s*"$')
_MARKER = re.compile(r"<[^<>\s]{2,}>|\[[A-Z_/]{2,}\]")
_WORDS = re.compile(f"{NAME}(.*)q7_key(.*)q7_value(.*)q7_yek(.*)q7_eulav(.*)", re.DOTALL)


def derive_format(evidence: Evidence) -> CallFormat | None:
    """The format that the samples are written in; None where they do not tell it."""
    for parts in (_json_parts(evidence.sample), _tag_parts(evidence.longer)):
        if parts is None:
            continue
        format = restore_format(PROBED + json.dumps(parts))
        if reads_sample(format, evidence.sample):
            return format
    return None


def restore_format(name: str) -> CallFormat:
    """The format that has this name."""
    parts = json.loads(name.removeprefix(PROBED))
    markers = tuple(dict.fromkeys(m for part in parts for m in _MARKER.findall(part)))
    layout = _json_layout(*parts) if len(parts) == 3 else TagLayout(*parts)
    return CallFormat(name, layout, markers)


def _json_parts(sample: str) -> list[str] | None:
    """What stands before the name, between it and the arguments, and after them."""
    found = _OBJECT.search(sample)
    at = sample.find(NAME)
    if found is None or not 0 <= at < found.start():
        return None
    return [sample[:at], sample[at + len(NAME) : found.start()], sample[found.end() :]]


def _json_layout(before: str, between: str, after: str) -> Layout:
    members, head = _MEMBERS.fullmatch(between), _HEAD.search(before)
    if members is None or head is None or not after.lstrip().startswith("}"):
        return NamedLayout(before, between, after)
    opened, shut = before[: head.start()], after.lstrip()[1:]
    is_list = opened.endswith("[") and shut.startswith("]")
    if is_list:
        opened, shut = opened[:-1], shut[1:]
    return JsonLayout(opened, shut, arguments=members[1], is_list=is_list)


def _tag_parts(sample: str) -> list[str] | None:
    """The texts of `TagLayout`, from a call with two arguments."""
    found = _WORDS.search(sample)
    if found is None:
        return None
    name_to_key, key_end, value_to_key, _, tail = found.groups()
    key_open = _common_end(name_to_key, value_to_key)
    value_end = os.path.commonprefix([value_to_key, tail])  # noqa: RUF071 — no paths
    # Both ends may have taken the same characters.
    value_end = value_end[: max(0, len(value_to_key) - len(key_open))]
    before, name_end = sample[: found.start()], name_to_key.removesuffix(key_open)
    tail = tail[len(value_end) :]
    outer, inner = _split_at_tag(before)
    call_close, section_close = _split_tail(tail) if outer else (tail, "")
    return [
        outer,
        inner,
        name_end,
        key_open,
        key_end,
        value_end,
        call_close,
        section_close,
    ]


def _common_end(one: str, other: str) -> str:
    return os.path.commonprefix([one[::-1], other[::-1]])[::-1]  # noqa: RUF071 — no paths


def _split_at_tag(text: str) -> tuple[str, str]:
    """The outer tag and what opens the call in it; no outer tag where there is but one."""
    at = text.rfind("<")
    return (text[:at], text[at:]) if at > 0 and not text.endswith(">") else ("", text)


def _split_tail(tail: str) -> tuple[str, str]:
    at = tail.find(">") + 1
    return tail[:at], tail[at:]


def reads_sample(format: CallFormat, sample: str) -> bool:
    """Whether a format reads the sample as it was meant."""
    text = format.prompt_ends_with + sample.lstrip()
    found = [(text.find(one), -len(one), one) for one in format.layout.opens if one in text]
    if not found:
        return False
    at, _, opened = min(found)
    reader = format.layout.reader(opened, {})
    try:
        pieces = reader.feed(text[at + len(opened) :])
        if reader.rest is None:
            pieces += reader.finish()
    except NotACallError:
        return False
    return ParsedToolCall(NAME, dict(ARGUMENTS)) in pieces
