"""What can be set of the voice door, and where its limits are. Imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from edge_llm.errors import ConfigError

IntentSource: TypeAlias = Literal["auto", "own", "offered", "none"]
"""Where home commands come from: `own` are calls that a local model was trained to make unasked;
`offered` gives every model Home Assistant's intents as tools; `none` answers with text only.
`auto` is `own` for the built-in model and `offered` for any other that has a place for tools."""

DEFAULT_PORT = 10400
DEFAULT_URI = f"tcp://127.0.0.1:{DEFAULT_PORT}"

_NO_AREAS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """How the voice door answers, and what it refuses."""

    intents: IntentSource = "auto"
    languages: tuple[str, ...] | None = None
    """What is advertised, as `en`; None: English for the built-in model alone, else any."""
    areas: Mapping[str, str] = field(default_factory=lambda: _NO_AREAS)
    """The area a satellite stands in, by the id of the satellite or of its device."""
    zeroconf_name: str | None = None
    """By which the network is told of the door; None: it is not told."""
    request_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Options of `AsyncEdgeLLM.stream` for every request."""
    deadline_s: float = 60.0
    """Seconds an answer may take where nothing else limits it: the client waits without an end."""
    max_clients: int = 32
    max_waiting: int = 8
    """Events that one connection may send ahead of their answers."""
    max_text_chars: int = 4000
    max_data_bytes: int = 64 << 10
    """Of an event's JSON: its line, and what follows the line, each."""
    max_payload_bytes: int = 1 << 20
    """Of an event's binary part, which is read and thrown away: nothing here takes audio."""
    event_timeout_s: float = 10.0
    """Seconds from the first byte of an event to its last."""
    write_timeout_s: float = 10.0
    """Seconds that a client may take to accept an event."""
    idle_timeout_s: float = 600.0
    """Seconds that a connection may stay open without an event."""
    grace_s: float = 5.0
    """Seconds that answers under way have left when the door is closed."""
    max_conversations: int = 64
    max_turns: int = 10
    """Turns of a conversation that are remembered."""
    conversation_ttl_s: float = 300.0
    """Seconds after which a conversation is forgotten, as in Home Assistant."""

    def __post_init__(self) -> None:
        if self.intents not in get_args(IntentSource):
            allowed = ", ".join(get_args(IntentSource))
            raise ConfigError(f"intents must be one of {allowed}, not {self.intents!r}")
        for name in ("max_clients", "max_waiting", "max_text_chars", "max_turns"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
        if not self.deadline_s > 0:
            raise ConfigError(f"deadline_s must be seconds above 0, not {self.deadline_s!r}")
