"""Pieces of tool calls put in order: endpoints number, name and repeat them differently. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge_llm.cloud.types import CloudToolCall
from edge_llm.errors import CloudResponseError

MAX_CALLS = 128
"""Of one answer; as many as OpenAI allows tools."""


@dataclass(slots=True)
class _Call:
    index: int
    given_id: str
    name: str = ""
    waiting: str = ""
    """Arguments that came before the name."""


class ToolCallPieces:
    """What the calls of one answer are so far; falsy while there is none."""

    def __init__(self, bad: Callable[[str], CloudResponseError]) -> None:
        self._bad = bad
        self._calls: list[_Call] = []
        self._by_raw_index: dict[int, _Call] = {}
        self._ids: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, pieces: object) -> Iterator[CloudToolCall]:
        """The events of one delta's `tool_calls`.

        Raises:
            CloudResponseError: they are none.
        """
        if pieces is None:
            return
        if not isinstance(pieces, list):
            raise self._bad("sent tool calls that are none")
        for piece in pieces:
            if not isinstance(piece, Mapping):
                raise self._bad("sent a tool call that is none")
            yield from self._add(piece)

    def check_complete(self) -> None:
        """Raise when a call has no name, so that nobody knows what to call."""
        if not all(call.name for call in self._calls):
            raise self._bad("sent a tool call without a name")

    def _add(self, piece: Mapping[str, Any]) -> Iterator[CloudToolCall]:
        function = piece.get("function")
        function = function if isinstance(function, Mapping) else {}
        given_id = piece["id"] if isinstance(piece.get("id"), str) else ""
        name = function["name"] if isinstance(function.get("name"), str) else ""
        call = self._call_of(piece.get("index"), given_id, name)
        arguments = self._arguments(function.get("arguments"))
        if call.name:
            if arguments:
                yield CloudToolCall(call.index, arguments=arguments)
        elif name:
            call.name = name
            yield CloudToolCall(
                call.index, self._unique(call.given_id), name, call.waiting + arguments
            )
        else:
            call.waiting += arguments

    def _call_of(self, raw_index: object, given_id: str, name: str) -> _Call:
        index = raw_index if isinstance(raw_index, int) else None
        known = self._by_raw_index.get(index) if index is not None else None
        if index is None and self._calls and not (given_id or name):
            known = self._calls[-1]
        # Some number every call 0: another id with another name is another call.
        is_other = known is not None and bool(
            name and known.name and given_id and given_id != known.given_id
        )
        if known is None or is_other:
            known = self._new(given_id)
        if index is not None:
            self._by_raw_index[index] = known
        known.given_id = known.given_id or given_id
        return known

    def _new(self, given_id: str) -> _Call:
        if len(self._calls) >= MAX_CALLS:
            raise self._bad("sent too many tool calls")
        self._calls.append(_Call(len(self._calls), given_id))
        return self._calls[-1]

    def _unique(self, given_id: str) -> str:
        """The endpoint's id, or one of ours where it has none or has given it before."""
        name = (
            given_id if given_id and given_id not in self._ids else f"call_{uuid.uuid4().hex[:24]}"
        )
        self._ids.add(name)
        return name

    def _arguments(self, arguments: object) -> str:
        if arguments is None:
            return ""
        if isinstance(arguments, str):
            return arguments
        if isinstance(arguments, Mapping):  # Ollama's own form
            return json.dumps(arguments, ensure_ascii=False)
        raise self._bad("sent arguments that are no text")
