"""A reader whose parser is written as one generator, which waits wherever it needs more text.

Every decision depends on the text alone, never on where it was cut into pieces.
"""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import Any, NoReturn, TypeAlias

from edge_llm.prompt.calls.base import (
    MAX_SECTION_CHARS,
    CallArguments,
    CallPiece,
    CallReader,
    CallStart,
    NotACallError,
    ParsedToolCall,
)

Steps: TypeAlias = Generator[None, None, None]
"""A part of a script."""

_BRACKET_OR_QUOTE = re.compile(r'[{}\[\]"]')
_STRING_STOP = re.compile(r'["\\]')
_SCALAR = re.compile(r"[^\s,{}\[\]:\"]*")
_WORD = re.compile(r"[\w.\-]*")
_SPACE = re.compile(r"\s*")


class ScriptReader(CallReader):
    """See the module; subclasses write `_read` from the steps below."""

    def __init__(self, text: str = "") -> None:
        """`text` belongs to the section although it stood in its opening marker."""
        self._text = text
        self._at = 0
        self._is_final = False
        self._is_over = False
        self._pieces: list[CallPiece] = []
        self._script = self._read()

    @abstractmethod
    def _read(self) -> Steps:
        """The whole section; ends behind it."""

    def feed(self, text: str) -> list[CallPiece]:
        """See `CallReader.feed`."""
        self._text += text
        if len(self._text) > MAX_SECTION_CHARS and not self._is_over:
            raise NotACallError("the section does not end")
        return self._advance()

    @property
    def rest(self) -> str | None:
        """See `CallReader.rest`."""
        return self._text[self._at :] if self._is_over else None

    def finish(self) -> list[CallPiece]:
        """See `CallReader.finish`."""
        self._is_final = True
        pieces = self._advance()
        if not self._is_over:
            raise NotACallError("the answer ended in the middle of a call")
        return pieces

    def _advance(self) -> list[CallPiece]:
        if not self._is_over:
            try:
                next(self._script)
            except StopIteration:
                self._is_over = True
            except RecursionError:
                raise NotACallError("nested too deep") from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def _more(self) -> Steps:
        if self._is_final:
            raise NotACallError("the answer ended in the middle of a call")
        yield

    def _emit_start(self, name: str) -> None:
        if not name:
            raise NotACallError("a call without a name")
        self._pieces.append(CallStart(name))

    def _emit_text(self, text: str) -> None:
        if text:
            self._pieces.append(CallArguments(text))

    def _emit_call(self, name: str, arguments: dict[str, Any]) -> None:
        self._pieces.append(ParsedToolCall(name, arguments))

    def _fail(self, wanted: str) -> NoReturn:
        raise NotACallError(f"{wanted} is missing at {self._at}")

    def _space(self) -> Steps:
        """Skip white space; stops where the text ends for good."""
        while True:
            self._at = _match_end(_SPACE, self._text, self._at)
            if self._at < len(self._text) or self._is_final:
                return
            yield

    def _peek(self) -> Generator[None, None, str]:
        """The next character; empty at the end of the answer."""
        while self._at >= len(self._text) and not self._is_final:
            yield
        return self._text[self._at : self._at + 1]

    def _accept(self, literal: str) -> Generator[None, None, bool]:
        """Whether `literal` comes next; it is passed then."""
        while True:
            have = self._text[self._at : self._at + len(literal)]
            if have == literal:
                self._at += len(literal)
                return True
            if not literal.startswith(have) or self._is_final:
                return False
            yield

    def _expect(self, literal: str) -> Steps:
        if not (yield from self._accept(literal)):
            self._fail(repr(literal))

    def _until(self, literal: str) -> Generator[None, None, str]:
        """The text before the next `literal`, which is passed."""
        searched = self._at
        while (end := self._text.find(literal, searched)) < 0:
            searched = max(self._at, len(self._text) - len(literal) + 1)
            yield from self._more()
        text = self._text[self._at : end]
        self._at = end + len(literal)
        return text

    def _run(self, pattern: re.Pattern[str]) -> Generator[None, None, str]:
        """All that the pattern, a run of single characters, matches from here."""
        start = self._at
        while True:
            self._at = _match_end(pattern, self._text, self._at)
            if self._at < len(self._text) or self._is_final:
                return self._text[start : self._at]
            yield

    def _word(self) -> Generator[None, None, str]:
        """A function's name; it may have dots and hyphens in it."""
        word = yield from self._run(_WORD)
        if not word:
            self._fail("a name")
        return word

    def _close(self, literal: str) -> Steps:
        """The end of the section, or of the answer, which many models take instead."""
        if not literal:
            return
        yield from self._space()
        if self._is_final and self._at == len(self._text):
            return
        yield from self._expect(literal)

    def _string(self) -> Generator[None, None, str]:
        """The JSON text of a string."""
        start = self._at
        yield from self._expect('"')
        yield from self._string_rest()
        return self._text[start : self._at]

    def _string_rest(self, passed: Callable[[], None] = lambda: None) -> Steps:
        """Pass the rest of a string; `passed` is called before waiting for more of it."""
        while True:
            found = _STRING_STOP.search(self._text, self._at)
            if found is None or (found[0] == "\\" and found.end() == len(self._text)):
                self._at = len(self._text) if found is None else found.start()
                passed()
                yield from self._more()
            elif found[0] == '"':
                self._at = found.end()
                return
            else:
                self._at = found.end() + 1

    def _container(self, *, is_live: bool = False) -> Generator[None, None, str]:
        """The text of a JSON object or array, by its brackets; emitted as it comes if `is_live`."""
        start = sent = self._at
        depth = 0

        def send() -> None:
            nonlocal sent
            if is_live:
                self._emit_text(self._text[sent : self._at])
                sent = self._at

        while True:
            found = _BRACKET_OR_QUOTE.search(self._text, self._at)
            if found is None:
                self._at = len(self._text)
                send()
                yield from self._more()
                continue
            self._at = found.end()
            if found[0] == '"':
                yield from self._string_rest(send)
                continue
            depth += 1 if found[0] in "{[" else -1
            if depth == 0:
                send()
                return self._text[start : self._at]

    def _value(self) -> Generator[None, None, str]:
        """The text of any JSON value."""
        first = yield from self._peek()
        if first == '"':
            return (yield from self._string())
        if first and first in "{[":
            return (yield from self._container())
        return (yield from self._run(_SCALAR))


def _match_end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def load_json(text: str) -> Any:
    """The value that `text` spells in strict JSON.

    Raises:
        NotACallError: it spells none.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as exc:
        raise NotACallError(f"not JSON: {exc}") from exc


def load_object(text: str) -> dict[str, Any]:
    """The object that `text` spells in strict JSON.

    Raises:
        NotACallError: it spells none.
    """
    value = load_json(text)
    if not isinstance(value, dict):
        raise NotACallError("not an object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name!r} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("JSON has no infinity")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers disagree on which of two members with one name counts, so none may."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def dump_json(value: Any, *, is_compact: bool = True) -> str:
    """The value as JSON text; with the usual spaces unless `is_compact`."""
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":") if is_compact else None, allow_nan=False
    )
