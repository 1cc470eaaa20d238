"""Calls whose name stands before the JSON of their arguments, with markers around both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_llm.prompt.calls.base import CallReader, Layout, OfferedTool, ParsedToolCall
from edge_llm.prompt.calls.script import ScriptReader, Steps, dump_json, load_object


@dataclass(frozen=True, slots=True)
class NamedLayout(Layout):
    """`section_open (item_open NAME between {…} item_close)+ section_close`."""

    item_open: str
    between: str
    item_close: str = ""
    section_open: str = ""
    section_close: str = ""
    separator: str = ""
    """Between calls."""
    optional: tuple[str, ...] = ()
    """Texts that may stand between a name and its arguments; what is in `between` may always."""
    id_marker: str = ""
    """What may stand there with a call's id behind it."""
    more_opens: tuple[str, ...] = ()

    @property
    def opens(self) -> tuple[str, ...]:
        """See `Layout.opens`."""
        return (self.section_open or self.item_open, *self.more_opens)

    def close_after(self, opened_by: str) -> str:
        """See `Layout.close_after`."""
        return (self.section_close or self.item_close).strip()

    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """See `Layout.reader`."""
        return _NamedReader(self, opened_by)

    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """See `Layout.write`."""
        spelled = [
            self.item_open
            + call.name
            + self.between
            + dump_json(call.arguments, is_compact=is_compact)
            + self.item_close
            for call in calls
        ]
        return self.section_open + self.separator.join(spelled) + self.section_close


class _NamedReader(ScriptReader):
    def __init__(self, layout: NamedLayout, opened_by: str) -> None:
        super().__init__()
        self._layout = layout
        self._has_section = bool(layout.section_open) and opened_by == layout.section_open
        parts = (*layout.optional, *layout.between.split("\n"))
        self._skipped = tuple(sorted({p.strip() for p in parts} - {""}, key=len, reverse=True))

    def _read(self) -> Steps:
        layout = self._layout
        if self._has_section:
            yield from self._space()
            yield from self._expect(layout.item_open)
        yield from self._call()
        while self._has_section:
            yield from self._space()
            if not (yield from self._accept(layout.item_open)):
                yield from self._close(layout.section_close.strip())
                return
            yield from self._call()

    def _call(self) -> Steps:
        name = yield from self._word()
        yield from self._skip()
        self._emit_start(name)
        if (yield from self._peek()) != "{":
            self._fail("the arguments")
        text = yield from self._container(is_live=True)
        self._emit_call(name, load_object(text))
        for part in self._layout.item_close.strip().split("\n"):
            yield from self._close(part)

    def _skip(self) -> Steps:
        """What stands between the name and the arguments."""
        while True:
            yield from self._space()
            if (yield from self._peek()) == "{":
                return
            if self._layout.id_marker and (yield from self._accept(self._layout.id_marker)):
                yield from self._word()
                continue
            for text in self._skipped:
                if (yield from self._accept(text)):
                    break
            else:
                self._fail("the arguments")
