"""What is drawn, and from where: the kinds of conversations, their source, and one of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from scripts.builtin.chat import Message


class Kind(Enum):
    """What the last user turn of a conversation asks for."""

    COMMAND = "command"
    ABSENT = "command to what the home lacks"
    UNOFFERED = "command without a tool for it"
    SMALL_TALK = "small talk"
    REFUSED = "out of scope"
    FOLLOW_UP = "follow-up"
    TOOL_RESULT = "tool result"
    TIME = "time in the prompt"


@dataclass(frozen=True, slots=True)
class Source:
    """Where conversations are drawn from."""

    held_out: bool = False
    """Only lines of the grammar that are kept from training."""
    unseen_names: bool = False
    bare: bool = False
    """Only one user turn: no system turn, no tools and no history."""
    slips: float | None = None
    """Share of words with a slip; None: as in training, none in most sentences."""
    kinds: tuple[Kind, ...] = ()
    """Only these; empty: all, as in training."""
    num_commands: int = 0
    """Commands in a sentence; 0: as in training, one in most."""
    has_home: bool | None = None
    """Whether the system turn lists a home; None: as in training."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages that end with the assistant turn to be learned or tested."""

    messages: tuple[Message, ...]
    kind: Kind
    topic: str = ""
    """The intent of the first call of the last turn, or the kind of out-of-scope sentence."""
