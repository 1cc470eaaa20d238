"""What was said before, per conversation: bounded, and forgotten after a while."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.types import ToolCall

PASSED_ON = '{"success": true}'
"""What stands for the result of a call, which Home Assistant does not report back."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a person said and what became of it."""

    said: str
    answer: str
    calls: tuple[ToolCall, ...] = ()


class Conversations:
    """The turns of each conversation by its id; the least recently used go first."""

    def __init__(
        self, settings: VoiceSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, tuple[Turn, ...]]] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered, those included that are due to be forgotten."""
        return len(self._kept)

    def turns(self, conversation_id: str) -> tuple[Turn, ...]:
        """What was said in it before, oldest first."""
        self._forget_old()
        return self._kept.get(conversation_id, (0.0, ()))[1]

    def add(self, conversation_id: str, turn: Turn) -> None:
        """Remember one more turn."""
        turns = (*self.turns(conversation_id), turn)[-self._settings.max_turns :]
        self._kept[conversation_id] = (self._clock(), turns)
        self._kept.move_to_end(conversation_id)
        while len(self._kept) > self._settings.max_conversations:
            self._kept.popitem(last=False)

    def forget(self, conversation_id: str) -> None:
        """Remember nothing of it."""
        self._kept.pop(conversation_id, None)

    def _forget_old(self) -> None:
        due = self._clock() - self._settings.conversation_ttl_s
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest][0] > due:
                return
            del self._kept[oldest]


def as_messages(turns: Sequence[Turn], *, with_results: bool) -> list[dict[str, Any]]:
    """The turns as a conversation, oldest first.

    `with_results` puts a result after each call, as OpenAI's API demands; a model that makes calls
    of its own accord was trained on conversations without.
    """
    messages: list[dict[str, Any]] = []
    for turn in turns:
        messages.append({"role": "user", "content": turn.said})
        calls = [_call(call) for call in turn.calls]
        if calls and with_results:
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": PASSED_ON} for call in calls
            ]
            calls = []
        spoken: dict[str, Any] = {"role": "assistant", "content": turn.answer}
        messages.append({**spoken, "tool_calls": calls} if calls else spoken)
    return messages


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
