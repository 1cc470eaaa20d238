"""How answers look: plain text into a pipe, a little colour and a last line on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from edge_llm.types import Answer, Chunk, ToolCall

# Model output may hold escape sequences, and a terminal would obey them.
_UNSAFE = {c: "\ufffd" for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\n\t"}

_DIM, _CYAN, _YELLOW, _RESET = "\x1b[2m", "\x1b[36m", "\x1b[33m", "\x1b[0m"


def printable(text: str) -> str:
    """Text from a file or a model without what a terminal would obey."""
    return text.translate(_UNSAFE)


class Printer(Protocol):
    """Shows one streamed answer."""

    def show(self, chunk: Chunk) -> None:
        """Show a piece at once."""
        ...

    def finish(self, answer: Answer | None) -> None:
        """End the output; `answer` is None when it was cut short."""
        ...


def create_printer(stream: TextIO) -> Printer:
    """The printer that fits where the output goes."""
    if not stream.isatty():
        return PlainPrinter(stream)
    # Source: https://no-color.org
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return TerminalPrinter(stream, colour=colour)


class PlainPrinter:
    """The text and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, chunk: Chunk) -> None:
        """Write the text as it comes."""
        self._stream.write(chunk.text)
        self._stream.flush()

    def finish(self, answer: Answer | None) -> None:
        """End the line; what a reader of the bare text would miss goes to standard error."""
        self._stream.write("\n")
        self._stream.flush()
        for note in notes(answer):
            print(note, file=sys.stderr)


class TerminalPrinter:
    """Text as it comes, thoughts and the last line dim, tool calls set apart.

    Writes escape sequences itself: a console object with a buffer of its own is left in the middle
    of it when Ctrl-C comes.
    """

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._at_line_start = True

    def show(self, chunk: Chunk) -> None:
        """Write one piece, each kind in its own manner."""
        if chunk.reasoning:
            self._write(chunk.reasoning, _DIM)
        if chunk.tool_call is not None:
            self._line(f"→ {describe_call(chunk.tool_call)}", _CYAN)
        if chunk.text:
            self._write(chunk.text)

    def finish(self, answer: Answer | None) -> None:
        """End the line and say who answered and how fast."""
        self._end_line()
        if answer is None:
            self._line("stopped", _DIM)
            return
        for note in notes(answer):
            self._line(note, _YELLOW)
        self._line(describe_answer(answer), _DIM)

    def _write(self, text: str, style: str = "") -> None:
        text = printable(text)
        self._at_line_start = text.endswith("\n")
        if style and self._colour:
            text = f"{style}{text}{_RESET}"
        self._stream.write(text)
        self._stream.flush()

    def _line(self, text: str, style: str) -> None:
        self._end_line()
        self._write(text + "\n", style)

    def _end_line(self) -> None:
        if not self._at_line_start:
            self._write("\n")


def describe_answer(answer: Answer) -> str:
    """The last line: model, route, speed, time to first token."""
    timings = answer.timings
    parts = [answer.model, answer.route]
    if timings.tpot_s:
        parts.append(f"{1 / timings.tpot_s:.0f} tok/s")
    parts.append(f"first token {timings.ttft_s * 1000:.0f} ms")
    return " · ".join(parts)


def describe_call(call: ToolCall) -> str:
    """A call as one would write it in code: `HassTurnOn(area="kitchen")`."""
    return f"{call.name}({_arguments(call.arguments)})"


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items()
    )


def notes(answer: Answer | None) -> list[str]:
    """What the reader should know beyond the text."""
    if answer is None:
        return []
    found = []
    if answer.dropped_messages:
        found.append(
            f"the conversation no longer fits: its oldest {answer.dropped_messages} messages"
            " were left out"
        )
    if answer.finish_reason == "length":
        found.append("the answer was cut off: it reached max_tokens, or the end of the context")
    return found
