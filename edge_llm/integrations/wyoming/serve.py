"""From a runtime to a listening address that speaks Wyoming."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge_llm.integrations.wyoming.settings import DEFAULT_URI, VoiceSettings
from edge_llm.runtime.async_llm import AsyncEdgeLLM


async def serve_wyoming(
    llm: AsyncEdgeLLM,
    uri: str = DEFAULT_URI,
    settings: VoiceSettings | None = None,
    *,
    allow_remote: bool = False,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve `llm` at `uri` until `stop` is set, or, over `stdio://`, until the input ends.

    `uri` is `tcp://host:port`, `unix:///path` or `stdio://`; with port 0, `on_ready` hears which
    one it became. `llm` is opened if it is not, and stays open.

    Raises:
        ConfigError: the address cannot be had, or is not of this machine alone and
            `allow_remote` does not say that this is meant.
        ModelError: the model cannot be loaded.
    """
    raise NotImplementedError
