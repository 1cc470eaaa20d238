"""Answers and results as messages that a conversation goes on with."""

from __future__ import annotations

import json
from typing import Any

from edge_llm.runtime.tools.types import ToolResult
from edge_llm.types import Answer


def assistant_message(answer: Answer) -> dict[str, Any]:
    """An answer as the assistant message that a follow-up question needs before it."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
                },
            }
            for call in answer.tool_calls
        ]
    return message


def tool_message(result: ToolResult) -> dict[str, Any]:
    """What the model is told of a call."""
    return {
        "role": "tool",
        "tool_call_id": result.call.id,
        "name": result.call.name,
        "content": result.content,
    }
