"""Where the door may listen."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from edge_llm.errors import ConfigError
from edge_llm.integrations.wyoming.address import Address, listen, parse_uri
from edge_llm.integrations.wyoming.serve import serve_wyoming
from edge_llm.runtime.async_llm import AsyncEdgeLLM


def test_the_three_kinds_of_address() -> None:
    assert parse_uri("tcp://127.0.0.1:1") == Address("tcp", "127.0.0.1", 1)
    assert parse_uri("tcp://[::1]:1") == Address("tcp", "::1", 1)
    assert parse_uri("tcp://localhost") == Address("tcp", "localhost", 10400)
    assert parse_uri("unix:///run/a.sock") == Address("unix", path="/run/a.sock")
    assert parse_uri("stdio://") == Address("stdio")


@pytest.mark.parametrize(
    "uri", ["", "10400", "http://a:1", "tcp://", "tcp://a:99999", "tcp://a:x", "unix://a.sock"]
)
def test_anything_else_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        parse_uri(uri)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "[::]", "raspberrypi.local"])
def test_what_others_could_reach_must_be_meant(host: str) -> None:
    assert parse_uri(f"tcp://{host}:1").is_remote
    with pytest.raises(ConfigError, match="no passwords"):
        asyncio.run(serve_wyoming(AsyncEdgeLLM(), f"tcp://{host}:0"))


def test_loopback_and_sockets_of_the_machine_are_not_remote() -> None:
    for uri in ("tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "unix:///a", "stdio://"):
        assert not parse_uri(uri).is_remote


def test_a_socket_in_a_folder_is_for_its_owner_and_replaces_only_a_dead_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "voice.sock"
    address = parse_uri(f"unix://{path}")
    first, _ = listen(address)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="listens there already"):
        listen(address)
    first.close()

    second, uri = listen(address)
    second.close()
    assert uri == f"unix://{path}"


def test_a_file_of_that_name_stays(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    path.write_text("dear diary", encoding="utf-8")

    with pytest.raises(ConfigError, match="something else"):
        listen(parse_uri(f"unix://{path}"))
    assert path.read_text(encoding="utf-8") == "dear diary"


def test_a_port_that_is_taken_is_a_typed_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)):
            listen(Address("tcp", "127.0.0.1", port))
