"""Where an answer really begins: after opening phrases, keys and punctuation."""

from __future__ import annotations

import re

MAX_OPENING = 48
"""Characters; an opening phrase is shorter, and what comes after so many is content."""

_OPENING = re.compile(
    r"""\W*(?:(?:sure|certainly|of\ course|okay|ok)\b\W*)?
    (?:(?:the\ )?(?:final\ )?(?:correct\ )?(?:answer|result|solution)\b(?:\ is\b)?\W*)?""",
    re.IGNORECASE | re.VERBOSE,
)
_STRUCTURED = ("{", "[", "<tool_call>")


class AnswerStart:
    """Reads a text as it comes and says which piece has the first content."""

    def __init__(self) -> None:
        self._text = ""
        self._found_at = -1
        """Where the content that was found begins."""
        self._json: JsonContent | None = None
        self._is_settled = False

    def add(self, piece: str) -> bool:
        """Whether this piece begins the answer, as far as can be told now.

        Said again of a later piece when the text so far turns out to be an opening phrase such as
        "The answer is". In JSON, keys are passed over.
        """
        if self._is_settled or not piece:
            return False
        before = len(self._text)
        self._text += piece
        if self._json is None and self._text.lstrip().startswith(_STRUCTURED):
            self._json = JsonContent()
            piece = self._text.lstrip().removeprefix("<tool_call>")
        if self._json is not None:
            self._is_settled = self._json.add(piece)
            return self._is_settled
        self._is_settled = len(self._text) > MAX_OPENING
        begin = _content_at(self._text)
        if begin < before or begin == self._found_at:
            return False
        self._found_at = begin
        return True


def _content_at(text: str) -> int:
    """Where the first letter or digit after an opening phrase stands, or else the first; or -1."""
    opening = _OPENING.match(text)
    begin = 0 if opening is None else opening.end()
    after = (i for i in range(begin, len(text)) if text[i].isalnum())
    before = (i for i in range(begin) if text[i].isalnum())
    return next(after, next(before, -1))


class JsonContent:
    """Finds the first letter or digit of a value in JSON as it is written."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._is_key = False
        self._is_string = False
        self._is_escaped = False

    def add(self, text: str) -> bool:
        """Whether the first content of a value is in this text."""
        return any(self._is_content(one) for one in text)

    def _is_content(self, one: str) -> bool:
        if one.isalnum() and not self._is_key and not self._is_escaped:
            return True
        if self._is_string:
            self._read_string(one)
        elif one == '"':
            self._is_string = True
        elif one in "{[":
            self._open.append(one)
            self._is_key = one == "{"
        elif one in "}]" and self._open:
            self._open.pop()
        elif one == ":":
            self._is_key = False
        elif one == ",":
            self._is_key = self._open[-1:] == ["{"]
        return False

    def _read_string(self, one: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif one == "\\":
            self._is_escaped = True
        elif one == '"':
            self._is_string = False
