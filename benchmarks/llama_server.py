"""llama-server as a peer: started on a port of its own, asked over HTTP, watched for crashes.

It inherits the processors this process may run on. One request at a time.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from benchmarks.peers import program_path

START_S = 120.0


@dataclass(frozen=True, slots=True)
class ServerReply:
    """What came back, and after how long."""

    status: int
    """Of HTTP; 0 where the connection broke or the time was over."""
    body: Mapping[str, Any]
    elapsed_s: float
    timed_out: bool = False


class LlamaServer:
    """One process with one model and one slot; a context manager, and started again on demand."""

    def __init__(self, model: Path, threads: int, *, context_size: int = 4096) -> None:
        self._command = [
            *(str(program_path("llama-server")), "-m", str(model), "-c", str(context_size)),
            *("-t", str(threads), "-tb", str(threads), "-np", "1", "-b", "512", "-ub", "512"),
            *("--host", "127.0.0.1"),
        ]
        self.num_crashes = 0
        """How often it was found dead."""
        self._start()

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def post(self, path: str, body: Mapping[str, Any], timeout_s: float = 120.0) -> ServerReply:
        """The reply to one request; a server that died over it is counted and started again."""
        return self.post_text(path, json.dumps(body), timeout_s)

    def post_text(self, path: str, text: str, timeout_s: float = 120.0) -> ServerReply:
        """As `post`, for a body that is JSON already, or only claims to be."""
        started = time.perf_counter()
        try:
            status, found = self._exchange(path, text, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            elapsed_s = time.perf_counter() - started
            # A crash takes a moment to be one.
            time.sleep(0.2)
            crashed = self._process.poll() is not None
            self.num_crashes += crashed
            self.restart()
            return ServerReply(0, {"error": repr(error)}, elapsed_s, timed_out=not crashed)
        return ServerReply(status, found, time.perf_counter() - started)

    def _exchange(self, path: str, text: str, timeout_s: float) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request("POST", path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        found = json.loads(raw, strict=False) if raw.startswith("{") else {"error": raw}
        return response.status, found

    def cpu_s(self) -> float:
        """CPU seconds that the process has used."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def restart(self) -> None:
        """End it, whatever it does, and start it anew."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 — closed with the process
        command = [*self._command, "--port", str(self._port)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline_s = time.monotonic() + START_S
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self._log.seek(0)
                log = self._log.read()[-2000:].decode("utf-8", "replace")
                self.close()
                raise RuntimeError(f"llama-server did not start: {log}")
            time.sleep(0.05)

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def schema_request(
    messages: Sequence[Mapping[str, Any]], schema: Any, **options: Any
) -> dict[str, Any]:
    """The body of a chat request whose answer has to fit a schema, as its documentation has it."""
    answer = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return {"messages": list(messages), "response_format": answer, **options}


def answer_text(reply: ServerReply) -> tuple[str, str]:
    """The text of a chat reply and why it ended."""
    choice = reply.body["choices"][0]
    return choice["message"]["content"] or "", choice["finish_reason"]
