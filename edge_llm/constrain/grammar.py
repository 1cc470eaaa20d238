"""What an answer may look like: frozen descriptions, which say nothing of tokens or of a library.

`JsonSchema`, `JsonObject`, `Regex`, `Choice` and `Lark` describe a whole answer. The other classes
put such parts together with text around them: tool calls among free text, an answer after thoughts.
All of them are plain values and cross a process border (`constrain.packing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON value that fits a schema, written without free white space."""

    schema: Mapping[str, Any] | bool
    """Drafts 4 to 2020-12; nothing is fetched."""
    strict: bool = False
    """Refuse what a grammar cannot express, instead of leaving it out and naming it."""
    white_space: bool = False
    """Allow white space between the parts of the JSON text."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON object."""

    white_space: bool = False


@dataclass(frozen=True, slots=True)
class Regex:
    """Text that a regular expression matches as a whole (Rust's syntax; no look-around)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several texts."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lark:
    """Text that a grammar in llguidance's dialect of Lark derives from its rule `start`."""

    text: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A control token by its spelling; where the vocabulary has none such, the spelling as text."""

    text: str


@dataclass(frozen=True, slots=True)
class FreeText:
    """Any text, with any control token but those that end a turn; none of `without` in it."""

    without: tuple[str | Marker, ...] = ()


@dataclass(frozen=True, slots=True)
class Until:
    """Any text up to the first `end`, which belongs to it."""

    end: str | Marker


@dataclass(frozen=True, slots=True)
class Concat:
    """One part after the other; a `str` stands for itself."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts."""

    options: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part several times, with text between."""

    part: Part
    at_least: int = 0
    at_most: int | None = None
    separator: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of the parts in order, those that are required in any case, with text between."""

    parts: tuple[Part, ...]
    required: tuple[bool, ...]
    """Of each part, whether it has to be there."""
    separator: str = ""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What has to follow once free text has come to `begin`."""

    begin: str | Marker
    body: Part
    """What comes after `begin`, up to the point from which text is free again."""


@dataclass(frozen=True, slots=True)
class Triggered:
    """Free text in which each trigger is followed by its body: the model speaks, calls, or both.

    With triggers that begin alike, the longest that the text can still become is the one that
    counts, so `begin` is what all of them share.
    """

    triggers: tuple[Trigger, ...]
    at_least: int = 0
    """How many triggers have to come before the answer may end."""
    at_most: int | None = None
    """How many may come; 0 forbids them all."""
    ends_after: bool = False
    """Whether the answer ends with the last of `at_most` bodies, so that no text follows it."""


Grammar: TypeAlias = (
    JsonSchema
    | JsonObject
    | Regex
    | Choice
    | Lark
    | Marker
    | FreeText
    | Until
    | Concat
    | Either
    | Repeat
    | Selection
    | Triggered
)
"""What `EngineRequest.grammar` takes."""

Part: TypeAlias = str | Grammar
"""What a grammar is put together from."""


def begins_freely(part: Part) -> bool:
    """Whether an answer begins with any text at all, so that a space before it means nothing."""
    match part:
        case FreeText() | Until() | Triggered():
            return True
        case Concat():
            return bool(part.parts) and begins_freely(part.parts[0])
        case Either():
            return all(begins_freely(option) for option in part.options)
    return False
