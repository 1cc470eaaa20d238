"""A pretended cloud for `edge-llm demo`: an OpenAI-compatible address on this machine, scripted.

No model is behind it. Only the standard library, so that the demo needs no extra.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted-cloud"

WORD_S = 0.02
"""Between two words, so that the stream can be seen."""

_ANSWER = """\
Sunlight is a mix of colours, and air scatters short waves far more than long ones: blue about \
five times as much as red. So the sky is full of scattered blue, while the sun itself looks \
yellowish, and red when its light takes the long way at dusk. On Mars it is the other way round, \
because fine dust scatters forward: a butterscotch day with a blue sunset."""

_PLACEHOLDER = re.compile(r"\[[A-Z_]+_\d+\]")


class ScriptedCloud:
    """Listens on a free port of the loopback interface while the block lasts."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        """Bodies of the requests, as they arrived."""
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = json.loads(self.rfile.read(length))
                seen.append(body)
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                with contextlib.suppress(OSError):  # the caller may leave
                    for event in _events(body):
                        self.wfile.write(b"data: " + event.encode() + b"\n\n")
                        self.wfile.flush()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """What `base_url` is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedCloud:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _events(body: dict[str, Any]) -> Iterator[str]:
    """The answer as a stream of chunks, word by word."""
    answer = _answer_to(body)
    words = re.findall(r"\S+\s*", answer)
    for number, word in enumerate(words):
        time.sleep(WORD_S)
        yield _chunk({"role": "assistant", "content": word} if number == 0 else {"content": word})
    yield _chunk({}, "stop")
    asked = sum(len(str(message.get("content", ""))) for message in body["messages"])
    usage = {"prompt_tokens": asked // 4 + 8, "completion_tokens": len(words)}
    yield json.dumps({**_FRAME, "choices": [], "usage": {**usage, "total_tokens": 0}})
    yield "[DONE]"


def _answer_to(body: dict[str, Any]) -> str:
    """The script, addressed to whoever the request names by a placeholder."""
    found = _PLACEHOLDER.search(str(body["messages"][-1].get("content", "")))
    return f"For {found[0]}: {_ANSWER}" if found else _ANSWER


_FRAME: dict[str, Any] = {
    "id": "chatcmpl-scripted",
    "object": "chat.completion.chunk",
    "created": 0,
    "model": MODEL,
}


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return json.dumps({**_FRAME, "choices": [choice]})
