"""What a family's spelling of tool calls is made of, and the contract of those who read it.

A `CallFormat` is plain facts. Its `Layout` says what a section of calls looks like between the
family's markers: it reads one as it is written (`prompt.parse` finds where it begins), it writes
one, and `constrain.calls` makes the grammar of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

MAX_SECTION_CHARS = 1_000_000
"""A section that grows longer is text: nobody calls a tool with that much."""


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """One whole call, as the model wrote it: neither the name nor the arguments are validated."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallStart:
    """The next call has a name."""

    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of the arguments of the call that started last, as JSON text."""

    text: str


CallPiece: TypeAlias = CallStart | CallArguments | ParsedToolCall
"""A call comes as `CallStart`, any number of `CallArguments` and the whole of it."""


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """One tool that may be called."""

    name: str
    parameters: Mapping[str, Any] | bool
    """JSON schema of the arguments; an object's, whatever it says."""
    strict: bool = False
    """Whether a schema that no grammar can keep to is refused (OpenAI's `strict`)."""


class NotACallError(ValueError):
    """What was written is no call; then it is text."""


class CallReader(ABC):
    """Reads one section, from behind its opening marker. Not thread-safe.

    How the text is cut into pieces makes no difference to what is read.
    """

    @abstractmethod
    def feed(self, text: str) -> list[CallPiece]:
        """What `text` completes; nothing after the section has ended.

        Raises:
            NotACallError: the section so far cannot become calls.
        """

    @property
    @abstractmethod
    def rest(self) -> str | None:
        """What was fed after the end of the section; None while it has not ended."""

    @abstractmethod
    def finish(self) -> list[CallPiece]:
        """What is complete, now that the answer has ended: many models do not close a section.

        Raises:
            NotACallError: a call is cut off, or there is none.
        """


class Layout(ABC):
    """How calls stand between a family's markers; frozen, safe to use from any thread."""

    @property
    @abstractmethod
    def opens(self) -> tuple[str, ...]:
        """Texts any of which begins a section; what `write` uses comes first."""

    @abstractmethod
    def close_after(self, opened_by: str) -> str:
        """The text that ends a section; empty where it needs none."""

    @abstractmethod
    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """A reader for what follows `opened_by`. `tools` tell the types of untyped values."""

    @abstractmethod
    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """The calls as the model would spell them, markers included.

        `is_compact`: as a grammar lets it spell them, with no white space in JSON.
        """


@dataclass(frozen=True, slots=True)
class EitherLayout(Layout):
    """Several ways to call, each with markers of its own; the first is the one written."""

    layouts: tuple[Layout, ...]

    @property
    def opens(self) -> tuple[str, ...]:
        """See `Layout.opens`."""
        return tuple(text for layout in self.layouts for text in layout.opens)

    def close_after(self, opened_by: str) -> str:
        """See `Layout.close_after`."""
        return self._opened(opened_by).close_after(opened_by)

    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """See `Layout.reader`."""
        return self._opened(opened_by).reader(opened_by, tools)

    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """See `Layout.write`."""
        return self.layouts[0].write(calls, is_compact=is_compact)

    def _opened(self, opened_by: str) -> Layout:
        return next(one for one in self.layouts if opened_by in one.opens)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a template whose family is sought."""

    source: str
    """Its Jinja text."""
    sample: str
    """What it writes for a call of `probe.NAME` with `probe.ARGUMENTS`; empty where it writes
    none."""
    longer: str = ""
    """The same with `probe.MORE`."""


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How one family of models calls tools."""

    name: str
    """In the registry, in `ModelFacts` and across the process border."""
    layout: Layout
    markers: tuple[str, ...] = ()
    """Texts in it that are one control token each, in a vocabulary that has them."""
    silent: tuple[str, ...] = ()
    """Markers around plain text, which belong to nobody's answer."""
    words_open: str = ""
    """What stands before words for the user, in families that name who a message is for; without
    what the prompt already writes."""
    thoughts_key: str = ""
    """Under what else than `reasoning_content` the template looks for the thoughts of a turn that
    called tools, and says nothing itself."""
    prompt_ends_with: str = ""
    """What of an answer's first marker the template itself already writes."""
    id_length: int = 29
    """Of a call's id: `call_` and random characters, or 9 of those alone as Mistral wants."""
    max_calls: int | None = None
    """How many calls the family can make at once; None: any number."""
    start_opens: tuple[str, ...] = ()
    """Beginnings of a section that count only before the first word of an answer, and only where
    tools were offered, because they look like text."""
    is_bare: bool = False
    """Whether such a section is a call only when it names an offered tool."""
    recognise: Callable[[Evidence], bool] = field(default=lambda evidence: False, repr=False)
    """Whether a template is of this family."""
