"""The calls a model may make: intents, their slots, and the type of each slot.

A domain lists them in `intents.toml`; what stands there is described in README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from scripts.builtin.replies import find_slots

SlotValue: TypeAlias = str | int | float


class SlotType(Enum):
    """What a slot may hold."""

    TEXT = "text copied from the user"
    OPEN = "text copied from the user, as far as the sentence goes"
    WORD = "one of a closed set of lower-case words"
    PERCENT = "integer from 0 to 100"
    COUNT = "integer above zero"
    DEGREES = "integer or float"
    KELVIN = "integer from 1000 to 10000"
    STEP = "'up', 'down' or integer from -100 to 100"

    @property
    def is_copied(self) -> bool:
        """Whether it holds what the user typed, letter by letter."""
        return self in (SlotType.TEXT, SlotType.OPEN)


class ToolCall(NamedTuple):
    """One call of an intent; `arguments` maps slot names to values."""

    name: str
    arguments: dict[str, SlotValue]


@dataclass(frozen=True, slots=True)
class Intent:
    """What is known of one kind of call."""

    name: str
    slots: dict[str, SlotType] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    reply: str = ""
    """What is spoken of a call, with `{slot}` in it; empty: the domain says it in Python."""
    weight: float = 1
    """How often it is drawn, against 1 for most."""
    can_wait: bool = False
    """Whether `{command}` may say it inside of another command."""
    tells: str = ""
    """`time` or `date`: what it asks for, which a system prompt may have told."""

    def find_faults(self, call: ToolCall) -> Iterator[str]:
        """What is wrong with the slots of `call`."""
        for slot in self.required:
            if slot not in call.arguments:
                yield f"{call.name} lacks {slot!r}"
        for slot, value in call.arguments.items():
            if slot not in self.slots:
                yield f"{call.name} has no slot {slot!r}"
            elif not _fits(self.slots[slot], value):
                yield f"{call.name}.{slot} cannot be {value!r}"


class Intents(dict[str, Intent]):
    """All intents of a domain by name, in the order of its table."""

    def find_faults(self, call: ToolCall) -> list[str]:
        """What is wrong with `call`, one sentence each; empty when it is valid."""
        intent = self.get(call.name)
        if intent is None:
            return [f"unknown intent {call.name!r}"]
        return list(intent.find_faults(call))

    def slot_type(self, intent: str, slot: str) -> SlotType | None:
        """The type of `slot` in `intent`, if there is such a slot."""
        return self[intent].slots.get(slot) if intent in self else None


def read_intents(table: Mapping[str, Mapping[str, Any]]) -> Intents:
    """The intents in the `[intents]` table of a domain.

    Raises:
        ValueError: a key, a type or a slot is not known; the message names it.
    """
    return Intents({name: _read_intent(name, entry) for name, entry in table.items()})


def _read_intent(name: str, entry: Mapping[str, Any]) -> Intent:
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f"[intents.{name}] has {unknown[0]!r}, not one of {sorted(_KEYS)}")
    slots = {slot: _read_type(name, slot, kind) for slot, kind in entry.get("slots", {}).items()}
    intent = Intent(name, **{**entry, "slots": slots, "required": tuple(entry.get("required", ()))})
    told = find_slots(intent.reply)
    for slot in (*intent.required, *told.needed, *told.optional):
        if slot not in slots:
            raise ValueError(f"[intents.{name}] has no slot {slot!r}")
    for slot in told.needed:
        if slot not in intent.required:
            raise ValueError(
                f"[intents.{name}] says {{{slot}}}, which a call may lack: "
                f"make it required or put it in [brackets]"
            )
    return intent


_KEYS = frozenset({"slots", "required", "reply", "weight", "can_wait", "tells"})


def _read_type(intent: str, slot: str, kind: str) -> SlotType:
    try:
        return SlotType[kind.upper()]
    except KeyError:
        known = [slot_type.name.lower() for slot_type in SlotType]
        raise ValueError(f"[intents.{intent}] {slot} is {kind!r}, not one of {known}") from None


def _fits(kind: SlotType, value: SlotValue) -> bool:
    if kind.is_copied:
        return isinstance(value, str) and value.strip() == value != ""
    if kind is SlotType.WORD:
        return isinstance(value, str) and value == value.lower() != ""
    if kind is SlotType.STEP and isinstance(value, str):
        return value in ("up", "down")
    if kind is SlotType.DEGREES:
        return isinstance(value, int | float)
    return isinstance(value, int) and _in_range(kind, value)


def _in_range(kind: SlotType, value: int) -> bool:
    low, high = {
        SlotType.PERCENT: (0, 100),
        SlotType.COUNT: (1, 1_000_000),
        SlotType.KELVIN: (1000, 10_000),
        SlotType.STEP: (-100, 100),
    }[kind]
    return low <= value <= high
