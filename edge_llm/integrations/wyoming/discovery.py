"""Announces the door in the network, so that Home Assistant finds it by itself (mDNS).

Source: home-assistant/core `generated/zeroconf.py`, service type `_wyoming._tcp.local.`
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Sequence

from edge_llm.errors import ConfigError
from edge_llm.integrations.wyoming.address import Address

SERVICE = "_wyoming._tcp.local."

_MDNS = ("224.0.0.251", 5353)


def check_announcement(name: str, address: Address) -> None:
    """Refuse, before anything is loaded, what could not be announced.

    Raises:
        ConfigError: nobody else could reach the address, the name is none, or the extra
            `zeroconf` is not installed.
    """
    if not address.is_remote:
        raise ConfigError(
            "only an address that others can reach is announced",
            hint="--uri tcp://0.0.0.0:10400 --allow-remote --zeroconf NAME",
        )
    if not name.strip() or len(name.encode()) > 63 or not name.isprintable() or "." in name:
        raise ConfigError(f"{name!r} cannot be announced: a name of 1 to 63 bytes without dots")
    try:
        import zeroconf  # noqa: F401
    except ImportError as exc:
        raise ConfigError(
            "announcing needs zeroconf", hint="pip install 'edge-llm[zeroconf]'"
        ) from exc


@contextlib.asynccontextmanager
async def announced(
    name: str, host: str, port: int, interfaces: Sequence[str] | None = None
) -> AsyncGenerator[None]:
    """While it lasts, the network knows of `host` and `port` by `name`; taken back at the end.

    Raises:
        ConfigError: the network cannot be told, or the name is taken.
    """
    from zeroconf import Error, InterfaceChoice
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    service = AsyncServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        addresses=[ipaddress.ip_address(_reachable(host)).packed],
        port=port,
        server=f"{name.replace(' ', '-')}.local.",
    )
    try:
        network = AsyncZeroconf(interfaces=list(interfaces or ()) or InterfaceChoice.All)
    except OSError as exc:
        raise ConfigError(f"cannot announce {name!r}: {exc.strerror or exc}") from exc
    try:
        try:
            await network.async_register_service(service)
        except (OSError, Error) as exc:
            raise ConfigError(
                f"cannot announce {name!r}: {exc or type(exc).__name__}",
                hint="another --zeroconf NAME may be free",
            ) from exc
        yield
        await network.async_unregister_service(service)
    finally:
        await network.async_close()


def _reachable(host: str) -> str:
    """The address that others know this machine by, where it listens at all of them."""
    with contextlib.suppress(ValueError):
        if not ipaddress.ip_address(host).is_unspecified:
            return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(_MDNS)  # sends nothing: it only chooses a route
        except OSError as exc:
            raise ConfigError(
                "this machine is in no network where it could be announced",
                hint="leave out --zeroconf, or connect it first",
            ) from exc
        return str(asking.getsockname()[0])
