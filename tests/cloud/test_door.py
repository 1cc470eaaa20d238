"""What may leave and what may not, whichever way it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.gate import check_addresses, check_label
from edge_llm.cloud.types import TRUSTS, CloudRequest, KeySource, Trust
from edge_llm.config import is_offline
from edge_llm.errors import CloudAuthError, CloudError, ConfigError, OfflineError, PrivacyError
from tests.support.cloud import KEY, PROMPT, ask, collect, endpoint, request, text_of
from tests.support.cloud_server import OK, CloudServer


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", KEY)
    monkeypatch.delenv("EDGE_LLM_OFFLINE", raising=False)


LABELS = ["local_only", "redact", "allow", "", "ALLOW", "public", "Allow "]
EVERY_WAY = list(itertools.product(LABELS, [False, True], TRUSTS, ["device", "lan"]))


def may_pass(label: str, redacted: bool, trust: Trust, local_trust: Trust) -> bool:
    """The rule, written a second time."""
    label = label.strip().lower()
    inside = {"device": {"device"}, "lan": {"device", "lan"}}[local_trust]
    return trust in inside or label == "allow" or (label == "redact" and redacted)


@pytest.mark.parametrize(("label", "redacted", "trust", "local_trust"), EVERY_WAY)
def test_a_label_holds_on_every_path_through_the_door(
    label: str, redacted: bool, trust: Trust, local_trust: Trust
) -> None:
    asked = request(label=label, redacted=redacted)
    passes = may_pass(label, redacted, trust, local_trust)

    async def every_path(url: str) -> list[bool]:
        client = CloudClient(endpoint(url, trust=trust), local_trust=local_trust)
        tier = CloudTier([client])
        outcomes = []
        with contextlib.suppress(PrivacyError):
            check_label(asked, client.endpoint, local_trust)
            outcomes.append(True)
        with contextlib.suppress(PrivacyError):
            client.check(asked)
            outcomes.append(True)
        for way in (client, tier):
            with contextlib.suppress(PrivacyError):
                outcomes.append(text_of(await collect(way, asked)) == "Hello, world")
        outcomes += [True] * len(tier.candidates(asked))
        await client.close()
        return outcomes

    with CloudServer(OK) as server:
        assert asyncio.run(every_path(server.url)) == [True] * 5 * passes
        assert len(server.requests) == 2 * passes


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", " 1", "anything"])
def test_offline_is_whatever_does_not_clearly_say_no(value: str) -> None:
    assert is_offline({"EDGE_LLM_OFFLINE": value})


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_a_clear_no_is_online(value: str) -> None:
    assert not is_offline({"EDGE_LLM_OFFLINE": value})
    assert not is_offline({})


def test_offline_a_server_on_this_machine_may_still_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGE_LLM_OFFLINE", "1")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")  # would lead off this machine

    with CloudServer(OK) as server:
        by_name = server.url.replace("127.0.0.1", "localhost")
        for url in (server.url, by_name):
            assert text_of(asyncio.run(ask(endpoint(url)))) == "Hello, world"
        assert server.requests[1].headers["host"].startswith("localhost:")


ELSEWHERE = ["https://192.0.2.7/v1", "https://[2001:db8::1]/v1", "https://api.example.com/v1"]


@pytest.mark.parametrize("url", [*ELSEWHERE, "https://10.0.0.8/v1"])
@pytest.mark.parametrize("trust", TRUSTS)
def test_offline_nothing_else_is_even_looked_up(
    url: str, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_LLM_OFFLINE", "1")
    touched: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        touched.append(args)
        raise OSError("the test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    with pytest.raises(OfflineError):
        asyncio.run(ask(endpoint(url, trust=trust)))

    assert touched == []


def test_offline_a_name_that_leads_elsewhere_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGE_LLM_OFFLINE", "1")
    answers: list[list[Any]] = []

    async def lying(*_: object, **__: object) -> list[Any]:
        return answers[-1]

    async def ask_by_name(url: str) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lying)
        await ask(endpoint(url))

    for address in ("192.0.2.7", "::ffff:192.0.2.7", "10.1.1.1", "0.0.0.0"):
        answers.append([(2, 1, 6, "", ("127.0.0.1", 80)), (2, 1, 6, "", (address, 80))])
        with pytest.raises(OfflineError):
            asyncio.run(ask_by_name("http://localhost:1/v1"))


@pytest.mark.parametrize(
    ("trust", "address", "ok"),
    [
        ("device", "127.0.0.1", True),
        ("device", "127.9.9.9", True),
        ("device", "::1", True),
        ("device", "192.168.1.9", False),
        ("device", "0.0.0.0", False),
        ("lan", "127.0.0.1", True),
        ("lan", "192.168.1.9", True),
        ("lan", "10.8.0.1", True),
        ("lan", "100.64.3.2", True),
        ("lan", "fd00::5", True),
        ("lan", "fe80::1%eth0", True),
        ("lan", "8.8.8.8", False),
        ("lan", "::ffff:8.8.8.8", False),
        ("lan", "2606:4700::1", False),
        ("cloud", "8.8.8.8", True),
    ],
)
def test_an_address_must_be_where_the_trust_says(trust: Trust, address: str, ok: bool) -> None:
    where = endpoint("http://server.local/v1" if trust != "cloud" else "https://x/v1", trust=trust)

    with contextlib.nullcontext() if ok else pytest.raises(PrivacyError):
        check_addresses(where, [address], offline=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "ftp://x/v1"},
        {"base_url": "api.openai.com/v1"},
        {"base_url": "https://user:pass@x/v1"},
        {"base_url": "https://x/v1?api-version=1"},
        {"base_url": "http://api.example.com/v1"},
        {"base_url": "http://x:port/v1"},
        {"key": KeySource()},
        {"key": KeySource(env="A", file="b")},
        {"headers": {"Authorization": "Bearer x"}},
        {"trust": "friend"},
        {"model": ""},
    ],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CloudClient(endpoint(**{"url": "https://x/v1", **_renamed(changes)}))


def _renamed(changes: dict[str, Any]) -> dict[str, Any]:
    return {"url" if name == "base_url" else name: value for name, value in changes.items()}


def test_nothing_leaves_but_what_the_endpoint_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
        "OPENAI_BASE_URL",
    ):
        monkeypatch.setenv(name, "of-somebody-else")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Custom: of-somebody-else")

    with CloudServer(OK) as server:
        asyncio.run(ask(endpoint(server.url, key=None, headers={"X-Title": "ours"})))
    (seen,) = server.requests

    assert set(seen.headers) == {
        "host", "connection", "accept", "accept-encoding", "content-type", "content-length",
        "user-agent", "x-title",
    }  # fmt: skip
    assert seen.headers["user-agent"].startswith("edge-llm")
    assert "of-somebody-else" not in str(seen)


def test_azure_takes_its_key_and_version_where_it_wants_them(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n", encoding="utf-8")

    with CloudServer(OK) as server:
        azure = endpoint(
            server.url.replace("/v1", "/openai/deployments/d"),
            key=KeySource(file=str(key_file), header="api-key"),
            query={"api-version": "2024-10-21"},
            organization="org",
            project="proj",
        )
        asyncio.run(ask(azure))
    (seen,) = server.requests

    assert seen.path == "/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert seen.headers["api-key"] == KEY
    assert "authorization" not in seen.headers
    assert seen.headers["openai-organization"] == "org"
    assert seen.headers["openai-project"] == "proj"


def test_roles_and_texts_leave_as_they_are() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "text", "text": "u"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function",
         "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "t"},
    ]  # fmt: skip
    asked = CloudRequest(messages=messages, label="allow", max_tokens=5, temperature=0.0, seed=1)

    with CloudServer(OK) as server:
        asyncio.run(ask(endpoint(server.url, omit=("temperature",)), asked))

    body = server.requests[0].json
    assert body["messages"] == messages
    assert body["max_tokens"] == 5
    assert body["seed"] == 1
    assert "temperature" not in body


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_to_another_host_is_not_followed(status: int) -> None:
    with CloudServer(OK) as other:
        script = f"status {status} location={other.url}/chat/completions\nbody"
        with CloudServer(script) as server, pytest.raises(CloudError):
            asyncio.run(ask(endpoint(server.url)))

        assert other.requests == []


def test_neither_key_nor_prompt_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2.http11", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    where = endpoint("http://127.0.0.1:1/v1", headers={"X-Own": KEY})

    for script in (OK, "status 401\nbody {}", f"raw data: {PROMPT}\\n\\n"):
        with CloudServer(script) as server, contextlib.suppress(CloudError):
            asyncio.run(ask(endpoint(server.url)))

    shown = caplog.text + repr(where) + repr(request()) + repr(CloudClient(where).__dict__)
    assert KEY not in shown
    assert PROMPT not in shown
    assert not [r for r in caplog.records if r.name.startswith(("openai", "httpx2", "httpcore2"))]


@pytest.mark.parametrize("key", [None, "", "two\nlines", "ümläut", "x" * 9000])
def test_a_key_that_is_none_is_an_error_that_does_not_quote_it(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCRIPTED_KEY")
    if key is not None:
        monkeypatch.setenv("SCRIPTED_KEY", key)

    with CloudServer(OK) as server, pytest.raises(CloudAuthError) as caught:
        asyncio.run(ask(endpoint(server.url)))

    assert server.requests == []
    assert not key or key not in str(caught.value)
    assert "SCRIPTED_KEY" in str(caught.value)


def test_nothing_of_the_sdk_is_imported_before_the_first_request() -> None:
    code = (
        "import sys, edge_llm.cloud.client, edge_llm.cloud.failover\n"
        "print([m for m in ('openai', 'httpx2', 'pydantic') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_warming_up_connects_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)

    async def warm() -> None:
        tier = CloudTier([CloudClient(endpoint("https://api.example.com/v1"))])
        await tier.warm_up()
        await tier.close()

    asyncio.run(warm())

    assert "openai" in sys.modules
