"""Where the door listens: `tcp://host:port`, `unix:///path` or `stdio://`."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from edge_llm.errors import ConfigError
from edge_llm.integrations.wyoming.settings import DEFAULT_PORT

_FORMS = "tcp://127.0.0.1:10400, unix:///run/edge-llm.sock or stdio://"


@dataclass(frozen=True, slots=True)
class Address:
    """One place to listen at."""

    kind: Literal["tcp", "unix", "stdio"]
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether other machines may reach it."""
        if self.kind != "tcp":
            return False
        with contextlib.suppress(ValueError):
            return not ipaddress.ip_address(self.host).is_loopback
        return self.host != "localhost"


def parse_uri(uri: str) -> Address:
    """What a URI names.

    Raises:
        ConfigError: it is none of the three kinds, or incomplete.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as exc:
        raise ConfigError(f"{uri!r} is no address: {exc}", hint=_FORMS) from exc
    if parts.scheme == "stdio":
        return Address("stdio")
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return Address("unix", path=parts.path)
    if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/"):
        return Address("tcp", parts.hostname, DEFAULT_PORT if port is None else port)
    raise ConfigError(f"{uri!r} is no address to listen at", hint=_FORMS)


def listen(address: Address) -> tuple[socket.socket, str]:
    """A socket that listens at the address, and the URI it has become.

    Raises:
        ConfigError: the address cannot be had.
    """
    return _listen_unix(address.path) if address.kind == "unix" else _listen_tcp(address)


def _listen_tcp(address: Address) -> tuple[socket.socket, str]:
    try:
        family, kind, protocol, _, bind_to = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(bind_to)
            bound.listen(128)
        except OSError:
            bound.close()
            raise
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {address.host} port {address.port}: {exc.strerror}",
            hint="choose another port in --uri, or 0 for any that is free",
        ) from exc
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return bound, f"tcp://{shown}:{port}"


def _listen_unix(path: str) -> tuple[socket.socket, str]:
    bound = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        bound.bind(path)
        # Nobody can connect before `listen`, so there is no moment in which others could.
        Path(path).chmod(0o600)
        bound.listen(128)
    except OSError as exc:
        bound.close()
        raise ConfigError(
            f"cannot listen at {path}: {exc.strerror or exc}",
            hint="choose a path in a folder that you may write to, where nothing is yet",
        ) from exc
    return bound, f"unix://{path}"


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens at any more, and nothing else.

    Raises:
        OSError: something else is there, or somebody listens.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(None, "something else has this name")
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise FileExistsError(None, "somebody listens there already")


def set_keepalive(peer: socket.socket) -> None:
    """Have the system notice when a client on the network has vanished, in about a minute."""
    if peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)  # macOS calls the first one otherwise
        if option is not None:
            peer.setsockopt(socket.IPPROTO_TCP, option, value)
