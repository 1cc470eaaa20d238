"""Standard input and output as one socket, whatever they are: pipes, files or a terminal.

An event loop cannot wait for a file, so two threads copy between them and a socket pair.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Generator

_AT_ONCE = 1 << 16
_FLUSH_S = 5.0


@contextlib.contextmanager
def stdio_socket() -> Generator[socket.socket]:
    """A socket that reads standard input and writes standard output; flushed at the end.

    Its user closes it before that, or hands it to what does.
    """
    ours, theirs = socket.socketpair()
    reading = threading.Thread(
        target=_copy_in, args=(sys.stdin.fileno(), theirs), name="edge-llm-stdin", daemon=True
    )
    writing = threading.Thread(
        target=_copy_out, args=(theirs, sys.stdout.fileno()), name="edge-llm-stdout", daemon=True
    )
    reading.start()
    writing.start()
    try:
        yield ours
    finally:
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_WR)
        writing.join(_FLUSH_S)  # longer than that nobody reads


def _copy_in(descriptor: int, to: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was closed: nobody listens any more
        while data := os.read(descriptor, _AT_ONCE):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


def _copy_out(source: socket.socket, descriptor: int) -> None:
    try:
        while data := source.recv(_AT_ONCE):
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
    except OSError:  # nobody reads standard output any more, and the client is to notice
        source.close()
