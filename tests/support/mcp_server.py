"""A real MCP server for tests, on standard input and output, or with `http` on an address."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

server: Any = MCPServer("house")
lamps: dict[str, bool] = {}


def set_lamp(room: str, is_on: bool) -> str:
    """Switch a lamp.

    Args:
        room: Where it hangs.
        is_on: Whether it shall shine.
    """
    lamps[room] = is_on
    return f"the lamp in the {room} is {'on' if is_on else 'off'}"


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def wipe() -> str:
    """Forget all lamps."""
    lamps.clear()
    return "gone"


def fail() -> str:
    """Fail."""
    raise ToolError("no electricity")


def die() -> str:
    """End the server in the middle of a call."""
    os._exit(3)


def sleep(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "awake"


for function in (set_lamp, add, fail, die, sleep):
    server.tool()(function)
server.tool(annotations=ToolAnnotations(destructive_hint=True))(wipe)


def main(mode: str) -> None:
    if mode == "stdio":
        server.run("stdio")
        return
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    app: Any = server.streamable_http_app()
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "stdio")
