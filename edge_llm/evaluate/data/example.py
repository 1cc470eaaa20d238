"""One question of a data set, and what tells whether an answer is right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from edge_llm.evaluate.graders.base import Grader
from edge_llm.types import Message


@dataclass(frozen=True)
class Example:
    """One question. What is asked decides its `key`; what is expected does not."""

    id: str
    messages: tuple[Message, ...] = field(repr=False)
    line: int
    """Where it stands in its file, from 1."""
    grader: Grader | None = None
    """None where a judge decides."""
    rubric: str | None = None
    """What a judge is to look at."""
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Of the request: `tools`, `max_tokens`, `response_format`."""
    task: str | None = None
    group: str | None = None
    """Questions of one group, such as one document, stay on one side of every split."""
    weight: float = 1.0

    @property
    def prompt(self) -> str:
        """What the user said last."""
        said = [m for m in self.messages if m.get("role") == "user"]
        content = said[-1].get("content") if said else ""
        return content if isinstance(content, str) else json.dumps(content, default=str)

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits of what is asked; the same question has the same key."""
        asked = {"messages": list(self.messages), "options": dict(self.options)}
        text = json.dumps(asked, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
