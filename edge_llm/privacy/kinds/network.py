"""Addresses of machines in a network: IPv4, IPv6 and MAC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from edge_llm.privacy.spans import PiiKind, Span

_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")

_VERSION = re.compile(
    r"(?:\bv|\b(?:version|ver|release|firmware|build|revision|rev|update|chapter|section|§)"
    r"[\s.:=]{0,3})\Z",
    re.IGNORECASE,
)

_IPV6 = re.compile(
    r"(?<![A-Za-z0-9_:.])(?=[0-9a-f:]{0,39}:[0-9a-f:]{0,39}:)[0-9a-f:]{2,39}(?:\.\d{1,3}){0,3}(?![A-Za-z0-9_:])",
    re.IGNORECASE,
)

_MAC = re.compile(
    r"(?<![A-Za-z0-9_:-])(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}(?:[0-9a-f]{2}\1[0-9a-f]{2}\1)?[0-9a-f]{2}"
    r"|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})(?![A-Za-z0-9_:-])",
    re.IGNORECASE,
)


def find_ip(text: str) -> Iterator[Span]:
    """The IP addresses in a text, but those that every machine has."""
    if text.count(".") >= 3:
        for match in _IPV4.finditer(text):
            if _is_ipv4(match[0], text[max(0, match.start() - 16) : match.start()]):
                yield Span(match.start(), match.end(), PiiKind.IP)
    if text.count(":") >= 2:
        for match in _IPV6.finditer(text):
            candidate = match[0].rstrip(":") if match[0][-2:] != "::" else match[0]
            if _is_ipv6(candidate):
                yield Span(match.start(), match.start() + len(candidate), PiiKind.IP)


def find_mac(text: str) -> Iterator[Span]:
    """The MAC addresses in a text, of 48 or 64 bits."""
    if text.count(":") < 5 and text.count("-") < 5 and text.count(".") < 2:
        return
    for match in _MAC.finditer(text):
        if len(set(match[0].lower()) - set(":-.")) > 1:
            yield Span(match.start(), match.end(), PiiKind.MAC)


def _is_ipv4(candidate: str, before: str) -> bool:
    octets = [int(part) for part in candidate.split(".")]
    if max(octets) > 255:
        return False
    address = IPv4Address(bytes(octets))
    if address.is_loopback or address.is_unspecified or octets[0] == 255:
        return False
    return address.is_private or not _VERSION.search(before)


def _is_ipv6(candidate: str) -> bool:
    groups = [group for group in candidate.split(":") if group]
    # `add::be` is more often two names in a program.
    if len(groups) < 3 and not any(char.isdigit() for char in candidate):
        return False
    try:
        address = IPv6Address(candidate)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)
