"""The network is told of the door only where that is of use, and no longer than it is open."""

from __future__ import annotations

import asyncio

import pytest

from edge_llm.errors import ConfigError
from edge_llm.integrations.wyoming.address import parse_uri
from edge_llm.integrations.wyoming.discovery import SERVICE, announced, check_announcement

zeroconf = pytest.importorskip("zeroconf.asyncio")


@pytest.mark.parametrize("uri", ["tcp://127.0.0.1:1", "unix:///a.sock", "stdio://"])
def test_what_nobody_else_can_reach_is_not_announced(uri: str) -> None:
    with pytest.raises(ConfigError, match="others can reach"):
        check_announcement("kitchen", parse_uri(uri))


@pytest.mark.parametrize("name", ["", " ", "a.b", "x" * 64, "a\nb"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be announced"):
        check_announcement(name, parse_uri("tcp://0.0.0.0:1"))


def test_home_assistant_finds_it_while_it_is_open() -> None:
    name = "edge-llm test"

    async def run() -> None:
        async with announced(name, "127.0.0.1", 10400, ["127.0.0.1"]):
            looking = zeroconf.AsyncZeroconf(interfaces=["127.0.0.1"])
            try:
                found = await looking.async_get_service_info(SERVICE, f"{name}.{SERVICE}", 10_000)
            finally:
                await looking.async_close()
        assert found is not None
        assert (found.port, found.parsed_addresses()) == (10400, ["127.0.0.1"])

    try:
        asyncio.run(run())
    except (ConfigError, OSError) as error:
        pytest.skip(f"no multicast here: {error}")
