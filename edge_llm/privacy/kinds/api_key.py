"""Keys and tokens that can be told by how they begin."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.spans import PiiKind, Span

_TOKEN = re.compile(r"[\w.~+/=:-]{16,}")
"""No key is shorter; ordinary words rarely are so long, so that few are looked at closely."""

_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[\w-]{16,}"  # OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), DeepSeek
    r"|(?:sk|rk|pk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}"  # Stripe
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}"
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[\w-]{20,}"  # GitLab
    r"|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}"  # Slack
    r"|(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}"  # AWS
    r"|AIza[\w-]{30,}|ya29\.[\w.-]{20,}|GOCSPX-[\w-]{20,}"  # Google
    r"|hf_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}"
    r"|pplx-[A-Za-z0-9]{30,}|tvly-[\w-]{16,}|nvapi-[\w-]{30,}|fw_[A-Za-z0-9]{20,}|csk-[a-z0-9]{30,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|rubygems_[a-f0-9]{40,}|dckr_pat_[\w-]{20,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|key-[a-f0-9]{32}"  # SendGrid, Mailgun
    r"|(?:AC|SK)[a-f0-9]{32}"  # Twilio
    r"|do[opr]_v1_[a-f0-9]{40,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{30,}|sq0[a-z]{3}-[\w-]{20,}"
    r"|(?:hv[sbr]|s)\.[A-Za-z0-9_-]{24,}|dapi[a-f0-9]{32}|lin_api_\w{30,}|ntn_\w{30,}|secret_\w{40,}"
    r"|PMAK-[a-f0-9-]{40,}|NRAK-[A-Z0-9]{20,}|glc_[\w+/=]{30,}|glsa_\w{30,}|sntrys_[\w=/+]{30,}"
    r"|tskey-[\w-]{16,}|tfp_\w{30,}|v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{50,}|EAA[A-Za-z0-9]{60,}|AAAA[\w-]{6,}:[\w-]{100,}"
    r"|\d{8,10}:AA[\w-]{30,}"  # Telegram
    r"|[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{25,}"  # Discord
    r"|ey[JK][\w-]{8,}\.(?:ey)?[\w-]{4,}(?:\.[\w-]*){0,3}"  # JSON web tokens, Home Assistant's
    r")"
)
"""Source: the issuers' own documentation of their formats, read 2026-11-22."""

_HEADER = re.compile(
    r"\b(?:bearer|basic|token|digest|negotiate)[ \t]+([A-Za-z0-9._~+/=-]{16,})", re.IGNORECASE
)

_PEM_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")


def find(text: str) -> Iterator[Span]:
    """The keys in a text."""
    for token in _TOKEN.finditer(text):
        for match in _KEY.finditer(token[0]):
            start = token.start() + match.start()
            yield Span(start, start + len(match[0].rstrip(".:/")), PiiKind.KEY)
    for match in _HEADER.finditer(text):
        # "token authentication-required" is a word; a token has digits or both cases.
        if re.search(r"\d|[a-z][A-Z]|=$", match[1]):
            yield Span(match.start(1), match.end(1), PiiKind.KEY)
    yield from _private_keys(text)


def _private_keys(text: str) -> Iterator[Span]:
    """From the first line of a private key to its last, or to the end where that is missing."""
    after = 0
    for match in _PEM_BEGIN.finditer(text):
        if match.start() < after:
            continue
        closing = text.find("-----END ", match.end())
        last = text.find("-----", closing + 9) if closing >= 0 else -1
        after = last + 5 if last >= 0 else len(text)
        yield Span(match.start(), after, PiiKind.KEY)
