"""Servers, asked over loopback: reachable, key valid, clock right, and nothing sent elsewhere."""

import email.utils
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edge_llm.cli.doctor.endpoints import (
    Endpoint,
    check_endpoint,
    configured_endpoints,
    examine_endpoints,
)
from edge_llm.config import EdgeConfig, load_config
from tests.cli.test_chat import COMMAND


class Hub(HTTPServer):
    """Answers as told, and remembers what it was asked."""

    status = 200
    date = ""
    location = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response_only(self.server.status)
        self.send_header("Date", self.server.date or email.utils.formatdate(usegmt=True))
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_hub_is_the_endpoint_that_is_configured(hub: Hub) -> None:
    (endpoint,) = configured_endpoints(
        EdgeConfig(), {"HF_ENDPOINT": hub.url + "/", "HF_TOKEN": " hf_abc "}
    )

    assert endpoint == Endpoint("model hub", hub.url, "/api/whoami-v2", "hf_abc", "HF_TOKEN")
    (default,) = configured_endpoints(EdgeConfig(), {"HF_HOME": "/nowhere"})
    assert (default.url, default.key) == ("https://huggingface.co", None)


def test_a_good_key_and_clock_are_good(hub: Hub) -> None:
    check = check_endpoint(Endpoint("model hub", hub.url, "/api/whoami-v2", "hf_abc", "HF_TOKEN"))

    assert (check.reachable, check.status, check.key_valid) == (True, 200, True)
    assert check.clock_skew_s is not None
    assert abs(check.clock_skew_s) < 30
    assert hub.asked == [("/api/whoami-v2", "Bearer hf_abc")]


def test_a_refused_key_and_a_clock_that_is_behind_are_findings(hub: Hub) -> None:
    hub.status = 401
    hub.date = email.utils.formatdate(time.time() + 600, usegmt=True)

    section = examine_endpoints([Endpoint("model hub", hub.url, "/", "hf_bad", "HF_TOKEN")])

    assert [(f.severity, f.about) for f in section.findings] == [
        ("error", "model hub"),
        ("warning", "clock"),
    ]
    assert "s behind that of" in section.findings[1].what
    assert "hf_bad" not in str(section)


def test_without_a_key_none_is_judged(hub: Hub) -> None:
    hub.status = 500
    section = examine_endpoints([Endpoint("model hub", hub.url, "/")])

    assert section.facts["model hub"]["key_valid"] == "unknown"
    assert "status 500" in section.findings[0].what
    assert hub.asked == [("/", None)]


def test_a_key_does_not_follow_a_redirect(hub: Hub) -> None:
    with Hub() as elsewhere:
        hub.status, hub.location = 302, elsewhere.url + "/collect"
        check = check_endpoint(Endpoint("model hub", hub.url, "/", "hf_abc", "HF_TOKEN"))

        assert (check.status, check.key_valid) == (302, None)
        assert elsewhere.asked == []


def test_a_server_that_is_not_there_is_a_finding(hub: Hub) -> None:
    url = hub.url
    hub.server_close()

    section = examine_endpoints([Endpoint("model hub", url, "/")])

    assert section.facts["model hub"]["reachable"] is False
    assert "cannot be reached" in section.findings[0].what


def test_offline_asks_this_machine_alone(hub: Hub) -> None:
    endpoints = [Endpoint("here", hub.url, "/"), Endpoint("there", "https://example.com", "/")]

    facts = examine_endpoints(endpoints, is_offline=True).facts

    assert facts["here"]["reachable"] is True
    assert facts["there"]["problem"] == "EDGE_LLM_OFFLINE forbids to ask it"


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[::", "ftp2://x"])
def test_an_address_that_is_none_is_a_finding(url: str) -> None:
    assert not check_endpoint(Endpoint("model hub", url, "/")).reachable


def test_the_command_asks_only_when_told_to(hub: Hub) -> None:
    environ = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_abcdefghijkl"}
    for arguments in (["--json"], ["--json", "--online"]):
        done = subprocess.run(
            [*COMMAND, "doctor", *arguments],
            capture_output=True,
            text=True,
            env=environ,
            timeout=60,
        )
        record = json.loads(done.stdout)
        assert ("endpoints" in record) == (len(arguments) == 2)
        assert len(hub.asked) == len(arguments) - 1

    assert record["endpoints"]["model hub"]["key_valid"] is True


def test_endpoints_of_tiers_are_asked_with_their_own_keys(hub: Hub) -> None:
    """A key goes to its endpoint alone, in its header, and no record shows it."""
    config = load_config(
        {
            "tiers": [
                {"name": "local", "model": "builtin"},
                {
                    "name": "cloud",
                    "base_url": hub.url + "/v1",
                    "model": "m",
                    "key_env": "CLOUD_KEY",
                },
            ]
        },
        {},
    )
    environ = {"CLOUD_KEY": "sk-hidden-from-all", "HF_ENDPOINT": "http://127.0.0.1:9"}

    endpoints = configured_endpoints(config, environ)
    hub.status = 401
    section = examine_endpoints(endpoints)

    assert ("/v1/models", "Bearer sk-hidden-from-all") in hub.asked
    assert "sk-hidden" not in repr(endpoints) + repr(section)
    (refused,) = [f for f in section.findings if "refuses the key" in f.what]
    assert "CLOUD_KEY" in refused.what
    assert section.facts["cloud/cloud"]["key_valid"] is False


def test_a_tier_whose_key_is_not_there_says_so(hub: Hub) -> None:
    config = load_config(
        {"cloud_url": hub.url, "cloud_model": "m", "cloud_key_env": "NOT_THERE"}, {}
    )

    (_, endpoint) = configured_endpoints(config, {})

    assert endpoint.key is None
    assert endpoint.key_source == "$NOT_THERE, which holds none"
