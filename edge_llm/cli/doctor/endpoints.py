"""The doctor on servers, only when asked to: reachable, key valid, clock right."""

from __future__ import annotations

import email.utils
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

import edge_llm
from edge_llm.cli.doctor.finding import Finding, Section
from edge_llm.cli.doctor.redact import token_files
from edge_llm.cloud.keys import read_key
from edge_llm.config import EdgeConfig
from edge_llm.errors import CloudAuthError
from edge_llm.runtime.build import tier_configs
from edge_llm.runtime.endpoints import create_endpoint

TIMEOUT_S = 5.0
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")
MOST_SKEW_S = 60.0
"""Signed addresses of downloads, and tokens of some services, are refused beyond some minutes."""


class Advice(NamedTuple):
    """What it means for the user when a server fails, and what helps."""

    unreachable: str
    unreachable_fix: str
    refused: str
    refused_fix: str
    failing: str
    failing_fix: str


HUB_ADVICE = Advice(
    "models that are not here cannot be pulled; those that are here run",
    "curl -I {url}; check the network, HTTPS_PROXY and HF_ENDPOINT",
    "gated models cannot be pulled, and open ones may be refused with it",
    "set HF_TOKEN to a new one from https://huggingface.co/settings/tokens, or unset it",
    "it is there and does not do what a model hub does",
    "check HF_ENDPOINT, or wait and try again",
)
TIER_ADVICE = Advice(
    "requests that need this tier fall back to the local model, or fail",
    "curl -I {url}; check the network, HTTPS_PROXY and the tier's base_url",
    "every request to this tier is refused",
    "put a valid key into {source}",
    "it is there and does not answer as an OpenAI-compatible server does",
    "check the tier's base_url, or wait and try again",
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that the configuration names."""

    name: str
    url: str
    probe: str
    """Path that needs no key, or, where `key` is set, only a valid one."""
    key: str | None = field(default=None, repr=False)
    key_source: str = ""
    key_header: str = "Authorization"
    """Header of the key; `Authorization` has `Bearer` before it."""
    advice: Advice = HUB_ADVICE


@dataclass(frozen=True, slots=True)
class EndpointCheck:
    """What came back."""

    reachable: bool
    status: int | None = None
    key_valid: bool | None = None
    """None where there is no key, or the answer says nothing of it."""
    clock_skew_s: float | None = None
    """How far our clock is ahead of the server's; None where it sends no date."""
    seconds: float = 0.0
    problem: str | None = None


def configured_endpoints(
    config: EdgeConfig, environ: Mapping[str, str] | None = None
) -> tuple[Endpoint, ...]:
    """Every server that this installation would speak to: the hub, and the endpoints of tiers."""
    given = os.environ if environ is None else environ
    return (_hub(given), *_of_tiers(config, given))


def _hub(given: Mapping[str, str]) -> Endpoint:
    base = (given.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    key, source = _hub_token(given)
    probe = "/api/whoami-v2" if key else "/api/models?limit=1"
    return Endpoint("model hub", base, probe, key, source)


def _of_tiers(config: EdgeConfig, environ: Mapping[str, str]) -> Iterator[Endpoint]:
    for tier in tier_configs(config):
        for table in tier.endpoints:
            endpoint = create_endpoint(table)
            source = endpoint.key
            place = "" if source is None else source.file or f"${source.env}"
            try:
                key = read_key(endpoint, environ)
            except CloudAuthError:
                key = None
                place = f"{place}, which holds none"
            yield Endpoint(
                name=f"{tier.name}/{endpoint.name}",
                url=endpoint.base_url.rstrip("/"),
                probe="/models",
                key=None if key is None else key.text,
                key_source=place,
                key_header="Authorization" if source is None else source.header,
                advice=TIER_ADVICE,
            )


def check_endpoint(endpoint: Endpoint, timeout_s: float = TIMEOUT_S) -> EndpointCheck:
    """Ask once. Redirects are not followed: the key must not go to another server."""
    headers = {"User-Agent": f"edge-llm/{edge_llm.__version__}"}
    if endpoint.key:
        scheme = "Bearer " if endpoint.key_header.lower() == "authorization" else ""
        headers[endpoint.key_header] = scheme + endpoint.key
    opener = urllib.request.build_opener(_StayHere)
    started = time.monotonic()
    try:
        request = urllib.request.Request(endpoint.url + endpoint.probe, headers=headers)
        with opener.open(request, timeout=timeout_s) as response:
            status, answered = response.status, response.headers
    except urllib.error.HTTPError as exc:
        status, answered = exc.code, exc.headers
        exc.close()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", exc)
        return EndpointCheck(False, problem=str(reason) or type(exc).__name__)
    return EndpointCheck(
        reachable=True,
        status=status,
        key_valid=_judge_key(endpoint, status),
        clock_skew_s=_skew(answered),
        seconds=round(time.monotonic() - started, 3),
    )


def examine_endpoints(endpoints: Sequence[Endpoint], *, is_offline: bool = False) -> Section:
    """All of them at once; `is_offline` allows this machine only."""

    def check(endpoint: Endpoint) -> EndpointCheck:
        if is_offline and not _LOOPBACK.fullmatch(_host(endpoint.url)):
            return EndpointCheck(False, problem="EDGE_LLM_OFFLINE forbids to ask it")
        return check_endpoint(endpoint)

    with ThreadPoolExecutor(max(1, len(endpoints))) as pool:
        checks = list(pool.map(check, endpoints))
    facts = {
        endpoint.name: {
            "url": endpoint.url,
            "reachable": check.reachable,
            "status": check.status,
            "identity": endpoint.key_source or "none",
            "key_valid": "unknown" if check.key_valid is None else check.key_valid,
            "clock_skew_s": check.clock_skew_s,
            "seconds": check.seconds,
            "problem": check.problem,
        }
        for endpoint, check in zip(endpoints, checks, strict=True)
    }
    found = [
        finding
        for endpoint, check in zip(endpoints, checks, strict=True)
        for finding in _findings(endpoint, check)
    ]
    return Section("endpoints", facts, found)


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        """Nothing more is asked."""


def _judge_key(endpoint: Endpoint, status: int) -> bool | None:
    if endpoint.key is None:
        return None
    if status in (401, 403):
        return False
    return True if status < 300 else None


def _skew(headers: Message) -> float | None:
    """Source: RFC 9110, 6.6.1: the date has whole seconds."""
    try:
        server = email.utils.parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    return round(time.time() - server.timestamp(), 1)


def _hub_token(environ: Mapping[str, str]) -> tuple[str | None, str]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environ.get(name, "").strip():
            return environ[name].strip(), name
    for path in token_files(environ):
        if path.name != "stored_tokens" and (text := _text(path)):
            return text, str(path)
    return None, ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _findings(endpoint: Endpoint, check: EndpointCheck) -> Iterator[Finding]:
    host = _host(endpoint.url)
    if not check.reachable:
        yield Finding(
            "warning",
            endpoint.name,
            f"{host} cannot be reached: {check.problem}",
            endpoint.advice.unreachable,
            endpoint.advice.unreachable_fix.format(url=endpoint.url),
        )
        return
    if check.key_valid is False:
        yield Finding(
            "error",
            endpoint.name,
            f"{host} refuses the key from {endpoint.key_source}",
            endpoint.advice.refused,
            endpoint.advice.refused_fix.format(source=endpoint.key_source),
        )
    elif check.status is not None and check.status >= 400:
        yield Finding(
            "warning",
            endpoint.name,
            f"{host} answers with status {check.status}",
            endpoint.advice.failing,
            endpoint.advice.failing_fix,
        )
    if check.clock_skew_s is not None and abs(check.clock_skew_s) > MOST_SKEW_S:
        side = "ahead of" if check.clock_skew_s > 0 else "behind"
        yield Finding(
            "warning",
            "clock",
            f"the clock is {abs(check.clock_skew_s):.0f} s {side} that of {host}",
            "certificates and signed downloads are refused, and records have wrong times",
            "sudo timedatectl set-ntp true",
        )
