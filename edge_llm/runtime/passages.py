"""Keeping the passages of a long text that matter for a question: extraction, word for word. Pure.

Nothing is rewritten. Code and JSON are never cut, nor is the end of the last message, where the
question is.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.types import Message

OMITTED = "[…]"
"""Stands where passages were left out."""

MIN_LONG_CHARS = 400
"""Shorter texts are not worth cutting."""

_FENCE = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)
_PARAGRAPH = re.compile(r"\n\s*\n")
_WORD = re.compile(r"\w{2,}")


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph of one message."""

    message: int
    text: str
    may_go: bool


def shorten(messages: Sequence[Message], share: float) -> list[Message]:
    """The conversation with about `share` of what may go kept: the most relevant paragraphs.

    System messages, tool exchanges, code, JSON and the last paragraph of the conversation stay.
    """
    passages = [p for i, message in enumerate(messages) for p in _passages(i, message)]
    question = _question(messages)
    passages = _keep_last(passages)
    loose = [passage for passage in passages if passage.may_go]
    ranked = sorted(loose, key=lambda p: relevance(p.text, question, loose), reverse=True)
    room = share * sum(len(passage.text) for passage in loose)
    kept: set[int] = set()
    for passage in ranked:
        if len(passage.text) <= room:
            room -= len(passage.text)
            kept.add(id(passage))
    return [
        _rebuilt(message, [p for p in passages if p.message == i], kept)
        for i, message in enumerate(messages)
    ]


def relevance(text: str, question: str, others: Sequence[Passage]) -> float:
    """Words shared with the question, rare ones counted more, per square root of length."""
    counts = Counter(word for other in others for word in set(_words(other.text)))
    wanted = set(_words(question))
    score = sum(
        math.log(1 + len(others) / counts[w]) for w in set(_words(text)) & wanted if counts[w]
    )
    return score / math.sqrt(1 + len(text))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _passages(index: int, message: Mapping[str, Any]) -> list[Passage]:
    content = message.get("content")
    if not isinstance(content, str):
        return []
    free = message.get("role") in ("user", "assistant") and not message.get("tool_calls")
    if not free or len(content) < MIN_LONG_CHARS or _is_json(content):
        return [Passage(index, content, may_go=False)]
    found = []
    for part in _FENCE.split(content):
        if part.startswith("```"):
            found.append(Passage(index, part, may_go=False))
        else:
            texts = filter(str.strip, _PARAGRAPH.split(part))
            found += [Passage(index, text, may_go=not _is_code(text)) for text in texts]
    return found


def _keep_last(passages: list[Passage]) -> list[Passage]:
    """The last paragraph holds the question, or what it is about."""
    if not passages:
        return passages
    last = passages[-1]
    return [*passages[:-1], Passage(last.message, last.text, may_go=False)]


def _question(messages: Sequence[Message]) -> str:
    texts = [m.get("content") for m in messages if m.get("role") == "user"]
    last = next((text for text in reversed(texts) if isinstance(text, str)), "")
    return last[-500:]


def _rebuilt(message: Message, passages: Sequence[Passage], kept: set[int]) -> Message:
    if all(not passage.may_go or id(passage) in kept for passage in passages):
        return message
    texts: list[str] = []
    for passage in passages:
        if not passage.may_go or id(passage) in kept:
            texts.append(passage.text)
        elif texts[-1:] != [OMITTED]:
            texts.append(OMITTED)
    return {**message, "content": "\n\n".join(texts)}


def is_code_or_json(text: str) -> bool:
    """Whether a text holds what must not be rewritten: a fence, code or JSON."""
    return "```" in text or any(_is_code(part) for part in _PARAGRAPH.split(text) if part.strip())


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_code(text: str) -> bool:
    """Whether most lines are indented, or look like statements or JSON."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("    ", "\t")) or _ends_as_code(line)]
    return _is_json(text) or 2 * len(marked) > len(lines)


def _ends_as_code(line: str) -> bool:
    return line.rstrip().endswith(("{", "}", ";", "},", "],", "("))
