"""Proxies of the environment and certificates of an authority of one's own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_llm.cloud.types import Trust
from edge_llm.errors import CloudError, CloudUnavailableError, ConfigError
from tests.support.certificates import make_certificates
from tests.support.cloud import KEY, PROMPT, ask, endpoint, text_of
from tests.support.cloud_server import OK, CloudServer, read_request


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", KEY)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Proxy:
    """A forward proxy that carries plain requests and tunnels to `target`, wherever asked for."""

    def __init__(self, target_port: int) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _shut(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = await read_request(reader)
        if seen is None:
            return
        self.asked.append((seen.method, seen.path, seen.body))
        there = await asyncio.open_connection("127.0.0.1", self._target_port)
        if seen.method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in seen.headers.items())
            path = "/" + seen.path.split("/", 3)[3]
            there[1].write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + seen.body)
        try:
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        finally:
            there[1].close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[CloudServer, Proxy]]:
    with CloudServer(OK) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        yield server, proxy


def test_a_proxy_of_the_environment_carries_the_request(
    proxied: tuple[CloudServer, Proxy],
) -> None:
    server, proxy = proxied

    assert text_of(asyncio.run(ask(endpoint("http://cloud.localhost/v1")))) == "Hello, world"
    assert [(method, path) for method, path, _ in proxy.asked] == [
        ("POST", "http://cloud.localhost/v1/chat/completions")
    ]
    assert len(server.requests) == 1


def test_no_proxy_leaves_the_proxy_out(
    proxied: tuple[CloudServer, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = proxied
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert text_of(asyncio.run(ask(endpoint(server.url)))) == "Hello, world"
    assert proxy.asked == []


@pytest.mark.parametrize("trust", ["device", "lan"])
def test_what_may_not_leave_the_owners_network_meets_no_proxy(
    trust: Trust, proxied: tuple[CloudServer, Proxy]
) -> None:
    server, proxy = proxied

    assert text_of(asyncio.run(ask(endpoint(server.url, trust=trust)))) == "Hello, world"
    assert proxy.asked == []


def test_through_a_tunnel_the_proxy_sees_no_prompt(
    certificates: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, context = certificates
    with CloudServer(OK, tls=context) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        where = endpoint(f"https://localhost:{server.port}/v1", ca_file=str(ca_file))
        assert text_of(asyncio.run(ask(where))) == "Hello, world"

    assert [method for method, _, _ in proxy.asked] == ["CONNECT"]
    assert PROMPT not in str(proxy.asked)
    assert len(server.requests) == 1


def test_a_proxy_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with pytest.raises(CloudUnavailableError):
        asyncio.run(ask(endpoint("http://cloud.localhost/v1")))


@pytest.mark.parametrize("proxy", ["nonsense://x:1", "http://[bad", "socks5://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_meant_is_a_typed_error(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)

    with pytest.raises((ConfigError, CloudError)):
        asyncio.run(ask(endpoint("http://cloud.localhost/v1")))


@pytest.mark.parametrize("trust", ["device", "lan", "cloud"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("place", ["ca_file", "SSL_CERT_FILE"])
def test_an_authority_of_ones_own_is_trusted_where_named(
    certificates: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    trust: Trust,
    host: str,
    place: str,
) -> None:
    ca_file, context = certificates
    if place == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))

    with CloudServer(OK, tls=context) as server:
        where = endpoint(
            f"https://{host}:{server.port}/v1",
            trust=trust,
            ca_file=str(ca_file) if place == "ca_file" else None,
        )
        assert text_of(asyncio.run(ask(where))) == "Hello, world"


@pytest.mark.parametrize("trust", ["device", "cloud"])
def test_nobody_else_is_trusted(certificates: tuple[Path, ssl.SSLContext], trust: Trust) -> None:
    with CloudServer(OK, tls=certificates[1]) as server:
        with pytest.raises(CloudUnavailableError) as caught:
            asyncio.run(ask(endpoint(server.url, trust=trust)))
        assert server.requests == []

    assert "certificate" in caught.value.message
    assert "SSL_CERT_FILE" in (caught.value.hint or "")


def test_certificates_that_cannot_be_read_are_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scripted"):
        asyncio.run(ask(endpoint("https://localhost:1/v1", ca_file=str(tmp_path / "none.pem"))))
