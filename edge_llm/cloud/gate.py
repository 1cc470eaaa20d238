"""The one door to the network: what may pass it, judged before a single byte leaves.

Labels and trust by `check_label`, `EDGE_LLM_OFFLINE` and the addresses behind a name by
`check_addresses`, on the very addresses that are then connected to.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

from edge_llm.cloud.types import TRUSTS, CloudRequest, Endpoint, Trust
from edge_llm.errors import ConfigError, OfflineError, PrivacyError
from edge_llm.privacy.labels import Passage, passage

OFFLINE_VARIABLE = "EDGE_LLM_OFFLINE"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Whether only this machine may be asked; what does not clearly say no says yes."""
    value = (os.environ if environ is None else environ).get(OFFLINE_VARIABLE, "")
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def check_label(request: CloudRequest, endpoint: Endpoint, local_trust: Trust) -> None:
    """Whether the request's label lets it go to an endpoint of this trust.

    Raises:
        PrivacyError: it does not.
    """
    allowed = passage(request.label, endpoint.trust, lan_is_local=local_trust != "device")
    if allowed is Passage.SEND or (allowed is Passage.REDACT and request.redacted):
        return
    if allowed is Passage.REDACT:
        why, hint = "labelled 'redact' and was not redacted", "redact it, or label it 'allow'"
    else:
        why = "local_only"
        hint = "label it 'redact' or 'allow', or ask a model of the device"
    raise PrivacyError(
        f"the request is {why}, and {endpoint.name!r} has trust {endpoint.trust!r}",
        hint=hint,
        endpoint=endpoint.name,
    )


def check_host(endpoint: Endpoint, *, offline: bool) -> None:
    """As `check_addresses`, for what the name alone can tell; resolves nothing.

    Raises:
        OfflineError: offline, and the host is plainly elsewhere.
        PrivacyError: an address that the trust does not cover.
    """
    address = _literal(host_of(endpoint))
    if address is not None:
        check_addresses(endpoint, [str(address)], offline=offline)
    elif offline and not _is_localhost(host_of(endpoint)):
        # A name that only might lead here is nothing to look up while offline: that asks strangers.
        raise _offline(endpoint)


def check_addresses(endpoint: Endpoint, addresses: Iterable[str], *, offline: bool) -> None:
    """Whether all of the addresses behind the endpoint's name are where its trust says.

    Raises:
        OfflineError: offline, and one is not on this machine.
        PrivacyError: one is farther away than the endpoint's trust.
    """
    for text in addresses:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if offline and not address.is_loopback:
            raise _offline(endpoint)
        if not _is_within(address, endpoint.trust):
            raise PrivacyError(
                f"{endpoint.name!r} has trust {endpoint.trust!r}, but its address {text} is"
                " farther away",
                hint="trust = 'cloud', if that is what it is",
                endpoint=endpoint.name,
            )


def uses_proxies(endpoint: Endpoint, *, offline: bool) -> bool:
    """Whether proxies of the environment may carry the request: only to where anybody may be."""
    return endpoint.trust == "cloud" and not offline


def check_endpoint(endpoint: Endpoint) -> None:
    """Whether the endpoint's configuration is one that can be meant.

    Raises:
        ConfigError: it is not.
    """
    parts = _split(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"base_url of {endpoint.name!r} is no http or https address",
            hint="such as https://api.openai.com/v1",
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"base_url of {endpoint.name!r} must hold neither credentials, query nor fragment",
            hint="the key goes into 'key', parameters into 'query'",
        )
    if parts.scheme == "http" and endpoint.trust == "cloud" and not _is_here(parts.hostname):
        raise ConfigError(
            f"base_url of {endpoint.name!r} would send prompts in the clear",
            hint="use https; or trust = 'lan' if it is a server of your own",
        )
    _check_parts(endpoint)


def host_of(endpoint: Endpoint) -> str:
    """The host in its address, without brackets."""
    return _split(endpoint).hostname or ""


def _check_parts(endpoint: Endpoint) -> None:
    key = endpoint.key
    if key is not None and (key.env is None) == (key.file is None):
        raise ConfigError(f"key of {endpoint.name!r} must come from 'env' or from 'file'")
    if endpoint.trust not in TRUSTS:
        raise ConfigError(f"trust of {endpoint.name!r} must be one of {', '.join(TRUSTS)}")
    if not endpoint.model or not endpoint.name:
        raise ConfigError(f"endpoint {endpoint.name!r} needs a name and a model")
    for name in endpoint.headers:
        if name.lower() in ("authorization", "api-key", "x-api-key"):
            raise ConfigError(
                f"header {name!r} of {endpoint.name!r} holds a key",
                hint="key = {env = 'NAME', header = '" + name + "'}",
            )


def _split(endpoint: Endpoint) -> SplitResult:
    try:
        parts = urlsplit(endpoint.base_url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _is_here(host: str) -> bool:
    address = _literal(host)
    return _is_localhost(host) if address is None else _plain(address).is_loopback


def _plain(address: Address) -> Address:
    """An IPv4 address in IPv6 clothes, undressed."""
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _is_within(address: Address, trust: Trust) -> bool:
    if trust == "cloud":
        return True
    if trust == "lan":
        return not (address.is_global or address.is_multicast or address.is_unspecified)
    return address.is_loopback


def _offline(endpoint: Endpoint) -> OfflineError:
    return OfflineError(
        f"{OFFLINE_VARIABLE} is set, and {endpoint.name!r} is not on this machine",
        hint=f"unset {OFFLINE_VARIABLE} to use it",
        endpoint=endpoint.name,
    )
