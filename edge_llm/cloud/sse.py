"""Server-sent events from bytes, within limits. Pure.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 1 << 20
"""Of one event; OpenAI's largest are a few kilobytes."""

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class EventTooLargeError(Exception):
    """One event is larger than any that an honest server sends."""


class SSEParser:
    """Bytes in, the `data` of whole events out; comments, ids and event names are skipped."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Data of the events that `piece` completes.

        Raises:
            EventTooLargeError: an event, or a line that never ends.
        """
        self._rest += piece
        start = 0
        while (end := _LINE_END.search(self._rest, max(start, self._searched))) is not None:
            line = bytes(self._rest[start : end.start()])
            start = self._searched = end.end()
            yield from self._line(line)
        del self._rest[:start]
        # A lone CR at the end may be half of a CRLF: it is looked at again.
        self._searched = max(0, len(self._rest) - 1)
        self._check(len(self._rest))

    def finish(self) -> Iterator[bytes]:
        """Data of a last event whose empty line never came."""
        if self._rest:
            yield from self._line(bytes(self._rest).rstrip(b"\r"))
            self._rest.clear()
        if self._data:
            yield self._take()

    def _line(self, line: bytes) -> Iterator[bytes]:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                yield self._take()
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
            self._check(0)

    def _take(self) -> bytes:
        data = b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return data

    def _check(self, pending: int) -> None:
        if self._size + pending > self._max_event_bytes:
            raise EventTooLargeError
