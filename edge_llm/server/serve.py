"""From an application to a listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING

from edge_llm.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn

    from edge_llm.runtime.async_llm import AsyncEdgeLLM

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11500


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes any that is free.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)  # who comes before the model is loaded waits
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {exc.strerror}",
            hint="choose another --port, or --port 0 for any that is free",
        ) from exc
    return bound


def make_server(llm: AsyncEdgeLLM) -> uvicorn.Server:
    """A server of `llm` that is not running yet; says nothing but warnings.

    Raises:
        ConfigError: the extra `server` is not installed.
    """
    try:
        import uvicorn

        from edge_llm.server.app import create_app
    except ImportError as exc:
        raise ConfigError(
            "serving needs Starlette, uvicorn and pydantic", hint="pip install 'edge-llm[server]'"
        ) from exc
    return uvicorn.Server(
        uvicorn.Config(
            create_app(llm),
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
    )


@contextlib.contextmanager
def serving(llm: AsyncEdgeLLM, host: str = DEFAULT_HOST, port: int = 0) -> Generator[str]:
    """A server of `llm` on a thread of its own while the block lasts; its address.

    Raises:
        ConfigError: the address cannot be had, or the model not be loaded.
    """
    server, bound = make_server(llm), listen(host, port)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[bound])), name="edge-llm-server"
    )
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        if not server.started:
            raise ConfigError("the server did not start", hint="see its log")
        yield f"http://{host}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
