"""Web and other addresses that carry a password or a token."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.spans import PiiKind, Span

_URL = re.compile(r"(?<![A-Za-z0-9+.-])[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>`]+", re.IGNORECASE)

_USER = re.compile(r"[^/?#]{1,512}@")

_QUERY = re.compile(
    r"[?&;#](?:[\w.-]{0,32}[_.-])?(?:token|secret|password|passwd|pwd|pass|key|apikey|sig|signature"
    r"|auth|session|sid|jwt|code|credential|credentials)=[^&#;\s]{4,}",
    re.IGNORECASE,
)

_HOOKS = re.compile(
    r"://(?:hooks\.slack\.com/services|(?:\w+\.)?discord(?:app)?\.com/api/webhooks"
    r"|[^\s/]{1,128}/api/webhook)/",
    re.IGNORECASE,
)
"""Whoever knows such an address may use it."""


def find(text: str) -> Iterator[Span]:
    """The addresses with credentials in a text."""
    if "://" not in text:
        return
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?)]}*_")
        rest = url[url.index("://") + 3 :]
        if _USER.match(rest) or _QUERY.search(url) or _HOOKS.search(url):
            yield Span(match.start(), match.start() + len(url), PiiKind.URL)
