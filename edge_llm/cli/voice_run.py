"""`edge-llm voice`: one loaded model behind a voice assistant."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from edge_llm.errors import ConfigError
from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.chat_request import parse_request


@dataclass(frozen=True, slots=True)
class VoiceOptions:
    """What the command line says of the door itself."""

    uri: str
    allow_remote: bool = False
    zeroconf: str | None = None
    intents: str = "auto"
    languages: tuple[str, ...] | None = None
    areas: tuple[str, ...] = ()
    """Pairs `ID=AREA`."""
    verbose: bool = False


def run(
    model: str | None,
    options: VoiceOptions,
    *,
    load_options: Mapping[str, Any],
    request_options: Mapping[str, Any],
) -> None:
    """Serve until Ctrl-C or SIGTERM; what to tell Home Assistant goes to standard output.

    Raises:
        EdgeLLMError: the model or the address cannot be had.
    """
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    settings = VoiceSettings(
        intents=options.intents,  # type: ignore[arg-type]  # checked there
        languages=options.languages,
        areas=read_areas(options.areas),
        zeroconf_name=options.zeroconf,
        request_options=request_options,
    )
    # A talk that has become too long for the context goes on without its beginning.
    llm = AsyncEdgeLLM(model, **{"overflow": "drop_oldest", **load_options})
    parse_request("hello", request_options, llm.config)  # a wrong value is refused before it loads
    asyncio.run(_serve(llm, options, settings))


def read_areas(pairs: tuple[str, ...]) -> dict[str, str]:
    """The pairs `ID=AREA` as a mapping.

    Raises:
        ConfigError: one is no such pair.
    """
    parts = [pair.partition("=") for pair in pairs]
    for pair, (name, _, area) in zip(pairs, parts, strict=True):
        if not name.strip() or not area.strip():
            raise ConfigError(f"--area must be ID=AREA, not {pair!r}")
    return {name.strip(): area.strip() for name, _, area in parts}


async def _serve(llm: AsyncEdgeLLM, options: VoiceOptions, settings: VoiceSettings) -> None:
    try:
        from edge_llm.integrations.wyoming.serve import serve_wyoming
    except ImportError as exc:
        raise ConfigError(
            "a voice assistant needs wyoming and sentence-stream",
            hint="pip install 'edge-llm[voice]'",
        ) from exc
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signum, stop.set)
    try:
        await serve_wyoming(
            llm,
            options.uri,
            settings,
            allow_remote=options.allow_remote,
            stop=stop,
            on_ready=lambda uri: _show(llm, uri),
        )
    finally:
        await llm.close()


def _show(llm: AsyncEdgeLLM, uri: str) -> None:
    """Say where it listens, and what to type into Home Assistant; never into the protocol."""
    output = sys.stderr if uri == "stdio://" else sys.stdout
    print(f"{llm.facts.name} at {uri}", file=output, flush=True)
    address = urlsplit(uri)
    if address.scheme != "tcp":
        return
    print(
        "Home Assistant: Settings > Devices & services > Add integration > Wyoming Protocol,\n"
        f"  host {address.hostname}, port {address.port}; then Settings > Voice assistants,\n"
        "  conversation agent: edge-llm",
        file=output,
        flush=True,
    )
