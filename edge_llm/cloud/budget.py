"""How much has been spent elsewhere today and this month, and whether there is room for more.

A reservation counts as spent from the moment it is made, so that a process killed at any moment can
only have counted too much; settling corrects it to what it was. All of it is one short transaction
on a file that every process shares. Blocks for as long as the disk takes: call it from a thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_llm.cloud import account
from edge_llm.cloud.account import SCHEMA, Amount
from edge_llm.cloud.limits import Room, find_exceeded, room_left
from edge_llm.cloud.periods import Period, on_calendar, periods_at
from edge_llm.config import BudgetConfig
from edge_llm.errors import InvalidParameterError
from edge_llm.store import Store, Transaction, open_store

BUDGET_FILE = "budget.sqlite3"
"""In the folder for state."""

NANO = 10**9

MAX_USD = 1e6
MAX_BYTES = 2**53


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
    """Room that one attempt holds, to be settled once. Left without, all of it counts as spent.

    Thread-safe. As a context manager it settles nothing by itself: an attempt whose end nobody told
    counts in full.
    """

    def __init__(
        self, store: Store, reservation_id: int, amount: Amount, periods: frozenset[str]
    ) -> None:
        self._store = store
        self._id = reservation_id
        self._amount = amount
        self._periods = periods
        self._lock = threading.Lock()
        self._is_settled = False

    @property
    def usd(self) -> float:
        """What it may cost at most."""
        return self._amount.nano_usd / NANO

    @property
    def sent_bytes(self) -> int:
        """What it may send at most."""
        return self._amount.sent_bytes

    def settle(self, usd: float, sent_bytes: int) -> None:
        """Count what it really was, more or less; a second call does nothing.

        Raises:
            InvalidParameterError: a negative amount, or none at all.
            StoreError: it could not be written; the whole reservation stays counted, and a second
                call tries again.
        """
        actual = _amount(usd, sent_bytes)
        with self._lock:
            if self._is_settled:
                return
            with self._store.transaction() as rows:
                change = actual.minus(self._amount)
                if not account.drop_reservation(rows, self._id):
                    # It was given up as lost, so that what it held has to stay spent.
                    change = change.highest(account.NOTHING)
                account.charge(rows, self._periods, change)
            self._is_settled = True

    def release(self) -> None:
        """Count nothing: not a byte was sent. After `settle` it does nothing.

        Raises:
            StoreError: it could not be written; the whole reservation stays counted.
        """
        self.settle(0.0, 0)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __repr__(self) -> str:
        state = "settled" if self._is_settled else "open"
        return f"Reservation({self.usd} USD, {self.sent_bytes} bytes, {state})"


class Budget:
    """Owns the account file of this device. May be used from any thread, and by many processes.

    However many reserve at once, what was reserved and settled never passes a limit, but by what
    single attempts cost more than they had reserved.
    """

    def __init__(self, store: Store, limits: BudgetConfig, clock: Callable[[], float]) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock

    def reserve(self, usd: float, sent_bytes: int) -> Reservation:
        """Room for one attempt that will cost and send at most so much.

        Raises:
            BudgetExceededError: a limit would be passed; says which and when it resets.
            InvalidParameterError: a negative amount, or none at all.
            StoreError: the account cannot be read or written; then nothing may be spent.
        """
        amount = _amount(usd, sent_bytes)
        now = on_calendar(self._clock())
        with self._store.transaction() as rows:
            names: set[str] = set()
            for period in periods_at(now):
                names |= account.enter(rows, period)
            exceeded = find_exceeded(self._rooms(rows, now), amount)
            reservation_id = 0 if exceeded else account.add_reservation(rows, amount, now)
            if not exceeded:
                account.charge(rows, names, amount)
        # Raised after the commit: what the clock showed is to be remembered.
        if exceeded:
            raise exceeded
        return Reservation(self._store, reservation_id, amount, frozenset(names))

    def status(self) -> BudgetStatus:
        """What is spent and what is left.

        Raises:
            StoreError: the account cannot be read.
        """
        now = on_calendar(self._clock())
        day, month = periods_at(now)
        with self._store.reading() as rows:
            rooms = self._rooms(rows, now)
            reserved = account.reserved(rows, now)
            spent = [_spent(period, account.spent_in(rows, period)) for period in (day, month)]
        left_nano, left_bytes = room_left(rooms, "usd"), room_left(rooms, "bytes")
        return BudgetStatus(
            day=spent[0],
            month=spent[1],
            reserved_usd=reserved.nano_usd / NANO,
            reserved_bytes=reserved.sent_bytes,
            left_usd=None if left_nano is None else left_nano / NANO,
            left_bytes=left_bytes,
        )

    def close(self) -> None:
        """Let the file go."""
        self._store.close()

    def _rooms(self, rows: Transaction, now: float) -> list[Room]:
        """One for each limit that is set."""
        found = []
        for period in periods_at(now):
            spent = account.spent_in(rows, period)
            for unit, used, scale in (
                ("usd", spent.nano_usd, NANO),
                ("bytes", spent.sent_bytes, 1),
            ):
                name = f"{period.kind}_{unit}"
                limit = getattr(self._limits, name)
                if limit is not None:
                    found.append(Room(name, unit, round(limit * scale), used, period.ends_at))
        return found


def open_budget(
    path: Path, limits: BudgetConfig, *, clock: Callable[[], float] = time.time
) -> Budget:
    """The account in the file at `path`, made when it is not there.

    Raises:
        StoreError: it cannot be used; then nothing may be spent.
    """
    return Budget(open_store(path, SCHEMA), limits, clock)


def _amount(usd: float, sent_bytes: int) -> Amount:
    if not (math.isfinite(usd) and 0 <= usd <= MAX_USD and 0 <= sent_bytes <= MAX_BYTES):
        raise InvalidParameterError(
            f"an amount must be 0 to {MAX_USD:.0f} USD and 0 to 2**53 bytes,"
            f" not {usd!r} and {sent_bytes!r}"
        )
    # Up, so that many small parts are never more than what was counted; the inner rounding takes
    # away what multiplying a decimal fraction leaves behind.
    return Amount(math.ceil(round(usd * NANO, 3)), sent_bytes)


def _spent(period: Period, amount: Amount) -> Spent:
    return Spent(period.name, amount.nano_usd / NANO, amount.sent_bytes, period.ends_at)
