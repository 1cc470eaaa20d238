"""Writes the small evaluation set that ships with the model: sentences and what they should give.

From a seed that neither training nor the tests use; one user turn each, of every suite the same
number, so that a device can measure the model without this generator.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.builtin.conversations import Conversation, Kind, Source
from scripts.builtin.generator import Generator

SEED = "shipped evaluation"
SUITES = {
    "test patterns": Source(True, bare=True, slips=0.0, kinds=(Kind.COMMAND,), num_commands=1),
    "unseen names": Source(
        unseen_names=True, bare=True, slips=0.0, kinds=(Kind.COMMAND,), num_commands=1
    ),
    "out of scope": Source(True, bare=True, slips=0.0, kinds=(Kind.REFUSED,)),
}


def write_evaluation_set(path: Path, count: int) -> None:
    """Write `count` sentences, one JSON object on each line."""
    lines = [json.dumps(case, ensure_ascii=False) for case in draw_cases(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_cases(count: int) -> Iterator[dict[str, Any]]:
    """The suites in turn, so that the first sentences are of all of them."""
    drawn = {
        name: _distinct(iter(Generator(f"{SEED}/{name}", source)))
        for name, source in SUITES.items()
    }
    for name in itertools.islice(itertools.cycle(SUITES), count):
        conversation = next(drawn[name])
        last = conversation.messages[-1]
        yield {
            "suite": name,
            "kind": conversation.kind.value,
            "text": conversation.messages[0].content,
            "calls": [{"name": c.name, "arguments": dict(c.arguments)} for c in last.calls],
            "answer": last.content,
        }


def _distinct(conversations: Iterator[Conversation]) -> Iterator[Conversation]:
    """Those with one user turn and its answer, each sentence once."""
    seen = set()
    for conversation in conversations:
        asked = conversation.messages[0].content
        if len(conversation.messages) == 2 and asked not in seen:
            seen.add(asked)
            yield conversation
