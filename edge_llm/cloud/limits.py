"""Which limit an amount would pass. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_llm.cloud.account import Amount
from edge_llm.errors import BudgetExceededError


@dataclass(frozen=True, slots=True)
class Room:
    """One limit and what is used of it, in billionths of a dollar or in bytes."""

    name: str
    """As in the configuration: `daily_usd`."""
    unit: str
    """`usd` or `bytes`."""
    allowed: int
    used: int
    resets_at: float


def room_left(rooms: Iterable[Room], unit: Literal["usd", "bytes"]) -> int | None:
    """The smallest room in a unit, at least 0; None without a limit."""
    return min((max(0, r.allowed - r.used) for r in rooms if r.unit == unit), default=None)


def find_exceeded(rooms: Sequence[Room], amount: Amount) -> BudgetExceededError | None:
    """The error for the limit that keeps the amount out for longest; None when it fits."""
    # What is free stays possible where more was spent than planned.
    passed = [r for r in rooms if 0 < _of(amount, r) > r.allowed - r.used]
    if not passed:
        return None
    alone = [room for room in passed if _of(amount, room) > room.allowed]
    room = (alone or sorted(passed, key=lambda r: r.resets_at))[-1]
    asked = _of(amount, room)
    return BudgetExceededError(
        f"{room.name} is {_text(room, room.allowed)}, {_text(room, room.used)} of it used;"
        f" this request may take {_text(room, asked)}",
        limit=room.name,
        allowed=_value(room, room.allowed),
        spent=_value(room, room.used),
        requested=_value(room, asked),
        resets_at=None if alone else room.resets_at,
    )


def _of(amount: Amount, room: Room) -> int:
    return amount.nano_usd if room.unit == "usd" else amount.sent_bytes


def _value(room: Room, number: int) -> float:
    return number / 10**9 if room.unit == "usd" else float(number)


def _text(room: Room, number: int) -> str:
    if room.unit == "usd":
        return f"{f'{number / 10**9:.9f}'.rstrip('0').rstrip('.')} USD"
    return f"{number} bytes"
