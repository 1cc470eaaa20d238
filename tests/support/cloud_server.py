"""An OpenAI-compatible server over real sockets that follows scripts, faults and all.

A script is text, one instruction a line; `#` begins a comment. Each request takes the next script
and the last one is repeated; a request with the header `x-script: N` takes script N, so that many
can be under way at once.

```
wait S                  do nothing for S seconds
status CODE [k=v …]     a status line and headers instead of a stream
body TEXT               the body of that; the rest of the line, with \\n and \\xNN escapes
stream [k=v …]          200 and text/event-stream; implied by the first of what follows
say TEXT                a delta with this text (JSON escapes)
think TEXT              a delta with reasoning
tool INDEX ID NAME ARG  a piece of a tool call; `-` leaves a part out
finish REASON           an empty delta with this finish_reason
usage P C               a chunk with usage
done                    data: [DONE]
error TEXT              an `error` object in the stream
comment                 a comment line that keeps the connection alive
raw TEXT                these bytes as they are
drip S TEXT             one byte of TEXT every S seconds
huge N                  a data line of N bytes without an end
comments                comments, one every 20 ms, until the client leaves
garbage                 `say` chunks until the client leaves
hang                    nothing more until the client leaves
reset                   RST
close                   FIN in the middle, whatever was promised
echo                    a delta with the last user message, for placeholders to come back
```
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

OK = """
say Hello
say , world
finish stop
usage 9 3
done
"""

CHUNK_ID = "chatcmpl-scripted"


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    came_s: float
    client_left: threading.Event = field(default_factory=threading.Event)
    """Set when the client closed before the script was over."""
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ClientLeftError(Exception):
    """The other side closed the connection."""


class CloudServer:
    """Serves scripts from a thread of its own; a context manager."""

    def __init__(
        self, *scripts: str, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.requests: list[Seen] = []
        self._scripts = list(scripts) or [OK]
        self._next = 0
        self.num_connections = 0
        self._came = threading.Condition()
        self._tls = tls
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{self._host}:{self.port}/v1"

    def set_scripts(self, *scripts: str) -> None:
        """From now on these, beginning with the first."""
        self._scripts, self._next = list(scripts), 0

    def wait_for_requests(self, number: int) -> None:
        """Until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= number, timeout=60)

    def script_for(self, seen: Seen) -> str:
        """The script that answers a request."""
        if (wanted := seen.headers.get("x-script")) is not None:
            return self._scripts[int(wanted)]
        self._next += 1
        return self._scripts[min(self._next, len(self._scripts)) - 1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls)

    async def _shut(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.num_connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while (seen := await read_request(reader)) is not None:
                    with self._came:
                        self.requests.append(seen)
                        self._came.notify_all()
                    if not await self._serve(seen, reader, writer):
                        break
        except asyncio.CancelledError:
            pass  # the server is shut down; the task's end is watched by nobody
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _serve(
        self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection may be used again."""
        script = self.script_for(seen)
        reply = Reply(seen, reader, writer)
        try:
            return await reply.run(script)
        except (ClientLeftError, ConnectionError):
            seen.client_left.set()
            return False
        finally:
            seen.finished.set()


async def read_request(reader: asyncio.StreamReader) -> Seen | None:
    """The next request of a connection; None where the client is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = [line.partition(":") for line in lines if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body, time.monotonic())


class Reply:
    """One script on its way out."""

    def __init__(
        self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._seen = seen
        self._reader = reader
        self._writer = writer
        self._began = False
        self._ended = False

    async def run(self, script: str) -> bool:
        """Follow the script; whether the connection is still good."""
        for line in script.split("\n"):
            name, _, rest = line.lstrip().partition(" ")
            if name and not name.startswith("#"):
                await getattr(self, f"do_{name}")(rest)
        if not self._ended:
            await self._begin({})
            await self._send(b"0\r\n\r\n")
        return not self._writer.is_closing()

    async def do_wait(self, rest: str) -> None:
        await self._idle(float(rest))

    async def do_status(self, rest: str) -> None:
        code, *pairs = shlex.split(rest)
        self._began = self._ended = True
        self._status, self._headers = int(code), _pairs(pairs)
        if self._status < 200 or "nobody" in self._headers:
            await self._send_status(b"")

    async def do_body(self, rest: str) -> None:
        await self._send_status(_unescape(rest))

    async def _send_status(self, body: bytes) -> None:
        headers = {"content-type": "application/json", **self._headers}
        headers.setdefault("content-length", str(len(body)))
        head = f"HTTP/1.1 {self._status} Scripted\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await self._send(head.encode("latin-1") + b"\r\n" + body)

    async def do_stream(self, rest: str) -> None:
        await self._begin(_pairs(shlex.split(rest)))

    async def do_say(self, rest: str) -> None:
        await self._delta({"content": json.loads(f'"{rest}"')})

    async def do_think(self, rest: str) -> None:
        await self._delta({"reasoning_content": rest})

    async def do_echo(self, rest: str) -> None:
        text = self._seen.json["messages"][-1]["content"]
        size = int(rest or "7")
        for start in range(0, len(text), size):
            await self._delta({"content": text[start : start + size]})

    async def do_tool(self, rest: str) -> None:
        index, call_id, name, arguments = rest.split(" ", 3)
        function = {"name": name, "arguments": arguments}
        call: dict[str, Any] = {
            "id": call_id,
            "type": "function",
            "function": {k: v for k, v in function.items() if v != "-"},
        }
        if call_id == "-":
            del call["id"]
        if index != "-":
            call["index"] = int(index)
        await self._delta({"tool_calls": [call]})

    async def do_finish(self, rest: str) -> None:
        await self._delta({}, finish_reason=rest)

    async def do_usage(self, rest: str) -> None:
        prompt, completion = map(int, rest.split()[:2])
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        await self._data(json.dumps(_chunk(choices=[], usage=usage)))

    async def do_done(self, rest: str) -> None:
        await self._data("[DONE]")

    async def do_error(self, rest: str) -> None:
        await self._data(json.dumps({"error": {"message": rest, "code": "server_error"}}))

    async def do_comment(self, rest: str) -> None:
        await self._part(b": keep-alive\n\n")

    async def do_raw(self, rest: str) -> None:
        await self._part(_unescape(rest))

    async def do_drip(self, rest: str) -> None:
        pause, _, text = rest.partition(" ")
        for byte in _unescape(text):
            await self._part(bytes([byte]))
            await self._idle(float(pause))

    async def do_huge(self, rest: str) -> None:
        left = int(rest)
        await self._part(b"data: ")
        while left > 0:
            await self._part(b"x" * min(left, 65536))
            left -= 65536

    async def do_comments(self, rest: str) -> None:
        while True:
            await self._part(b": still here\n\n")
            await self._idle(0.02)

    async def do_garbage(self, rest: str) -> None:
        while True:
            await self._delta({"content": "and so on "})
            await self._idle(0.005)

    async def do_hang(self, rest: str) -> None:
        await self._idle(3600.0)

    async def do_reset(self, rest: str) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._ended = True
        self._writer.transport.abort()

    async def do_close(self, rest: str) -> None:
        self._ended = True
        self._writer.close()

    async def _begin(self, headers: Mapping[str, str]) -> None:
        if self._began:
            return
        self._began = True
        all_headers = {"content-type": "text/event-stream", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items() if value)
        await self._send(
            f"HTTP/1.1 200 OK\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode("latin-1")
        )

    async def _delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        await self._data(json.dumps(_chunk(choices=[choice])))

    async def _data(self, text: str) -> None:
        await self._part(f"data: {text}\n\n".encode())

    async def _part(self, data: bytes) -> None:
        await self._begin({})
        await self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def _send(self, data: bytes) -> None:
        if self._reader.at_eof():
            raise ClientLeftError
        self._writer.write(data)
        await self._writer.drain()

    async def _idle(self, seconds: float) -> None:
        """Wait, but notice when the client leaves."""
        try:
            async with asyncio.timeout(seconds):
                if not await self._reader.read(1):
                    raise ClientLeftError
        except TimeoutError:
            return


def _chunk(**members: Any) -> dict[str, Any]:
    return {"id": CHUNK_ID, "object": "chat.completion.chunk", "model": "scripted", **members}


def _pairs(pairs: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _unescape(text: str) -> bytes:
    return text.encode("utf-8").decode("unicode_escape").encode("latin-1")


@contextlib.contextmanager
def refused_url() -> Iterator[str]:
    """An address at which nobody listens, kept from being given to others."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
