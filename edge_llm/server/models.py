"""`GET /v1/models`: what is loaded here, by the names that a request may use."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from edge_llm.errors import EdgeLLMError
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.server.http import send_error, send_json


class Models:
    """The endpoint."""

    def __init__(self, llm: AsyncEdgeLLM) -> None:
        self._llm = llm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        try:
            await self._llm.open()
            names = model_names(self._llm)
        except EdgeLLMError as error:
            await send_error(send, error)
            return
        data = [_model(name, self._llm) for name in names]
        await send_json(send, 200, {"object": "list", "data": data})


def model_names(llm: AsyncEdgeLLM) -> list[str]:
    """The loaded model's own name, then what it was loaded by."""
    return list(dict.fromkeys([llm.facts.name, llm.config.model]))


def _model(name: str, llm: AsyncEdgeLLM) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "edge-llm",
        "edge_llm": {"max_model_len": llm.facts.max_model_len},
    }
