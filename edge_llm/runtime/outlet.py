"""The streaming contract as a state machine: what a caller sees, in order, and of which draft.

Pure: no clock, no task, no model. One `Outlet` per request, one `Draft` per tier that answers. The
first draft of which anything is let out is the *committed* one, and nothing of another is ever let
out after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from edge_llm.runtime.hold import Hold
from edge_llm.types import Chunk

SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|\n)\s*")  # noqa: RUF001
"""A sentence is known to have ended once white space follows; a full-width stop needs none."""


@dataclass(eq=False, slots=True)
class Draft:
    """What one tier has said and the caller has not seen."""

    held: list[Chunk] = field(default_factory=list)
    num_tokens: int = 0
    """Of the answer, thoughts not counted."""
    is_free: bool = False
    """Whether it is to be held no longer: no other tier can replace it."""

    @property
    def text(self) -> str:
        """The text that is held."""
        return "".join(chunk.text for chunk in self.held)


class Outlet:
    """Lets chunks of drafts out to one caller."""

    def __init__(self, hold: Hold, *, is_strict: bool = False) -> None:
        """`is_strict`: nothing of a draft is let out before it has ended well, freed or not."""
        self._hold = hold
        self._is_strict = is_strict
        self._texts: list[str] = []
        self.committed: Draft | None = None
        """The draft that the caller has begun to see."""
        self.has_held = False
        """Whether anything was kept back before the caller saw the first of it."""

    @property
    def text(self) -> str:
        """All text that was let out."""
        return "".join(self._texts)

    def add(self, draft: Draft, chunks: Iterable[Chunk], num_tokens: int = 0) -> list[Chunk]:
        """Take more of a draft in; returns what the caller may see now."""
        draft.held += chunks
        draft.num_tokens += num_tokens
        seen = self._let_out(draft, self._ready(draft))
        self.has_held = self.has_held or (bool(draft.held) and self.committed is None)
        return seen

    def free(self, draft: Draft) -> list[Chunk]:
        """Hold a draft no longer; returns what the caller may see now."""
        draft.is_free = True
        return self._let_out(draft, self._ready(draft))

    def finish(self, draft: Draft) -> list[Chunk]:
        """The draft has ended and is good: all of it may be seen."""
        return self._let_out(draft, len(draft.held))

    def _ready(self, draft: Draft) -> int:
        """How many of the held chunks may go; the last of them may have been cut in two."""
        if self._is_strict:
            return 0
        # Acting on a call cannot be taken back: it waits for the end of the answer, and so does
        # what comes after it. Pieces of it may be seen where no other tier can answer instead.
        calls = (
            i
            for i, chunk in enumerate(draft.held)
            if chunk.tool_call is not None
            or (chunk.tool_call_delta is not None and not draft.is_free)
        )
        most = next(calls, len(draft.held))
        if draft.is_free or self._hold.kind == "none":
            return most
        if self._hold.kind == "sentence":
            return self._cut_at_sentence(draft, most)
        passed = draft is self.committed or draft.num_tokens >= self._hold.num_tokens
        return most if self._hold.kind == "window" and passed else 0

    def _cut_at_sentence(self, draft: Draft, most: int) -> int:
        """Split held chunks where the last whole sentence ends; how many come before that."""
        text = "".join(chunk.text for chunk in draft.held[:most])
        ends = [found.end() for found in SENTENCE_END.finditer(text)]
        if not ends:
            return 0
        left = ends[-1]
        for index, chunk in enumerate(draft.held[:most]):
            if left <= len(chunk.text):
                return index + self._split(draft, index, left)
            left -= len(chunk.text)
        return most

    def _split(self, draft: Draft, index: int, length: int) -> int:
        chunk = draft.held[index]
        if 0 < length < len(chunk.text):
            first = replace(chunk, text=chunk.text[:length])
            rest = Chunk(text=chunk.text[length:])
            draft.held[index : index + 1] = [first, rest]
        return 1 if length else 0

    def _let_out(self, draft: Draft, count: int) -> list[Chunk]:
        if self.committed not in (None, draft):
            return []
        chunks, draft.held = draft.held[:count], draft.held[count:]
        if chunks:
            self.committed = draft
            self._texts += [chunk.text for chunk in chunks]
        return chunks
