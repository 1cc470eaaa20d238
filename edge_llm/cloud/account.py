"""What was spent in each calendar period, as rows. Every function works in a given transaction.

A clock may jump, and a board without a battery wakes up in the past. So two things are remembered:
the period that the clock showed last, and the latest it ever showed. A clock that went back takes
what was spent along, and while it stays behind what is spent counts in the latest period too: going
back and forth gives no room that waiting would not have given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edge_llm.cloud.periods import Period
from edge_llm.store import Schema, Transaction

SCHEMA = Schema(
    "budget",
    (
        """
        CREATE TABLE account (
            period TEXT PRIMARY KEY,
            nano_usd INTEGER NOT NULL,
            sent_bytes INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE seen (
            kind TEXT PRIMARY KEY,
            last TEXT NOT NULL,
            latest TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE reservation (
            -- Never given twice: one who settles late must not settle another's.
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            nano_usd INTEGER NOT NULL,
            sent_bytes INTEGER NOT NULL,
            made_at REAL NOT NULL
        );
        """,
    ),
)

RESERVATION_S = 86_400.0
"""After so long nobody will settle any more: the row goes, and what it held stays spent."""


class Amount(NamedTuple):
    """Whole numbers, so that sums are exact."""

    nano_usd: int
    sent_bytes: int

    def plus(self, other: Amount) -> Amount:
        """The sum."""
        return Amount(self.nano_usd + other.nano_usd, self.sent_bytes + other.sent_bytes)

    def minus(self, other: Amount) -> Amount:
        """The difference."""
        return Amount(self.nano_usd - other.nano_usd, self.sent_bytes - other.sent_bytes)

    def highest(self, other: Amount) -> Amount:
        """The larger of each."""
        return Amount(max(self.nano_usd, other.nano_usd), max(self.sent_bytes, other.sent_bytes))


NOTHING = Amount(0, 0)


def spent_in(rows: Transaction, period: Period) -> Amount:
    """What counts as spent in the period that the clock shows now."""
    own = _account(rows, period.name)
    seen = rows.row("SELECT last FROM seen WHERE kind = ?", (period.kind,))
    if seen is None or seen[0] <= period.name:
        return own
    return own.highest(_account(rows, seen[0]))


def enter(rows: Transaction, period: Period) -> set[str]:
    """Note what the clock shows; the names of the periods in which a charge counts now."""
    own, spent = _account(rows, period.name), spent_in(rows, period)
    if spent != own:
        charge(rows, [period.name], spent.minus(own))
    seen = rows.row("SELECT last, latest FROM seen WHERE kind = ?", (period.kind,))
    latest = max(seen[1], period.name) if seen else period.name
    if seen != (period.name, latest):
        rows.execute("REPLACE INTO seen VALUES (?, ?, ?)", (period.kind, period.name, latest))
    return {period.name, latest}


def charge(rows: Transaction, periods: Iterable[str], amount: Amount) -> None:
    """Add an amount, which may be negative, to what was spent in some periods."""
    for name in periods:
        rows.execute(
            "INSERT INTO account VALUES (?1, max(0, ?2), max(0, ?3)) ON CONFLICT (period) DO UPDATE"
            " SET nano_usd = max(0, nano_usd + ?2), sent_bytes = max(0, sent_bytes + ?3)",
            (name, *amount),
        )


def add_reservation(rows: Transaction, amount: Amount, now: float) -> int:
    """The id of a new row for what an attempt holds; rows too old go."""
    rows.execute("DELETE FROM reservation WHERE abs(made_at - ?) > ?", (now, RESERVATION_S))
    return rows.insert(
        "INSERT INTO reservation (nano_usd, sent_bytes, made_at) VALUES (?, ?, ?)", (*amount, now)
    )


def drop_reservation(rows: Transaction, reservation_id: int) -> bool:
    """Whether the row was still there."""
    return rows.execute("DELETE FROM reservation WHERE id = ?", (reservation_id,)) == 1


def reserved(rows: Transaction, now: float) -> Amount:
    """The sum of what attempts hold."""
    row = rows.row(
        "SELECT coalesce(sum(nano_usd), 0), coalesce(sum(sent_bytes), 0) FROM reservation"
        " WHERE abs(made_at - ?) <= ?",
        (now, RESERVATION_S),
    )
    return Amount(*row) if row else NOTHING


def _account(rows: Transaction, name: str) -> Amount:
    row = rows.row("SELECT nano_usd, sent_bytes FROM account WHERE period = ?", (name,))
    return Amount(*row) if row else NOTHING
