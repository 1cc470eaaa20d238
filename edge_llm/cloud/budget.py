"""How much has been spent elsewhere today and this month, and whether there is room for more.

A reservation counts as spent from the moment it is made, so that a process killed at any moment can
only have counted too much; settling corrects it to what it was. All of it is one short transaction
on a file that every process shares. Blocks for as long as the disk takes: call it from a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_llm.config.budget import BudgetConfig


@dataclass(frozen=True, slots=True)
class Spent:
    """What one calendar period has seen, reservations included."""

    period: str
    """`2026-11-22` or `2026-11`, UTC."""
    usd: float
    sent_bytes: int
    resets_at: float
    """When the next period begins, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The account at one moment."""

    day: Spent
    month: Spent
    reserved_usd: float
    """Part of what is spent that is not settled yet."""
    reserved_bytes: int
    left_usd: float | None
    """The smaller room of day and month, at least 0; None without a limit."""
    left_bytes: int | None


class Reservation:
    """Room that one attempt holds, to be settled once. Left without, all of it counts as spent."""

    usd: float
    sent_bytes: int

    def settle(self, usd: float, sent_bytes: int) -> None:
        """Count what it really was, more or less; a second call does nothing.

        Raises:
            InvalidParameterError: a negative amount.
            StoreError: it could not be written; the whole reservation stays counted.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Count nothing: not a byte was sent. After `settle` it does nothing.

        Raises:
            StoreError: it could not be written; the whole reservation stays counted.
        """
        raise NotImplementedError

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        """An attempt whose end nobody told counts in full."""


class Budget:
    """Owns the account file of this device. May be used from any thread, and by many processes."""

    def reserve(self, usd: float, sent_bytes: int) -> Reservation:
        """Room for one attempt that will cost and send at most so much.

        Raises:
            BudgetExceededError: a limit would be passed; says which and when it resets.
            InvalidParameterError: a negative amount, or none at all.
            StoreError: the account cannot be read or written; then nothing may be spent.
        """
        raise NotImplementedError

    def status(self) -> BudgetStatus:
        """What is spent and what is left.

        Raises:
            StoreError: the account cannot be read.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let the file go."""
        raise NotImplementedError


def open_budget(
    path: Path, limits: BudgetConfig, *, clock: Callable[[], float] | None = None
) -> Budget:
    """The account in the file at `path`, made when it is not there.

    Raises:
        StoreError: it cannot be used; then nothing may be spent.
    """
    raise NotImplementedError
