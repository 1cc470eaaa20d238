"""`edge-llm serve`: one loaded model for every application on this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.server.serve import listen, make_server


def run(model: str | None, load_options: Mapping[str, Any], *, host: str, port: int) -> None:
    """Serve until Ctrl-C; the address goes to standard output once the model answers.

    Raises:
        EdgeLLMError: the model or the address cannot be had.
    """
    bound = listen(host, port)
    with bound:
        asyncio.run(_serve(AsyncEdgeLLM(model, **load_options), bound))


async def _serve(llm: AsyncEdgeLLM, bound: Any) -> None:
    server = make_server(llm)
    # Loaded here and not by the application's own start, so that what fails is a typed error.
    await llm.open()
    try:
        host, port = bound.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"{llm.facts.name} at http://{shown}:{port}/v1", flush=True)
        if host not in ("127.0.0.1", "::1"):
            print("warning: anybody who reaches this address may ask", file=sys.stderr)
        await server.serve(sockets=[bound])
    finally:
        await llm.close()
