"""Deferred requests as rows: what each state allows, and what time does to them.

Every function works in a given transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_llm.device.clock import Moment
from edge_llm.runtime.deferred_types import ENDED, OPEN, DeferredState
from edge_llm.store import Schema, Transaction

SCHEMA = Schema(
    "deferred",
    (
        """
        CREATE TABLE deferred (
            -- The order in which they came.
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            key TEXT UNIQUE,
            state TEXT NOT NULL,
            request TEXT,
            answer TEXT,
            error TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            -- Of the current lease, and one higher for each.
            token INTEGER NOT NULL DEFAULT 0,
            expires_in_s REAL NOT NULL,
            -- How long the state lasts: until the next try, or until the lease runs out.
            wait_s REAL NOT NULL DEFAULT 0,
            created_wall_s REAL NOT NULL,
            created_running_s REAL NOT NULL,
            created_boot_id TEXT NOT NULL,
            changed_wall_s REAL NOT NULL,
            changed_running_s REAL NOT NULL,
            changed_boot_id TEXT NOT NULL
        );
        CREATE INDEX deferred_by_state ON deferred (state, number);
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row."""

    id: str
    state: DeferredState
    request: str | None = field(repr=False)
    answer: str | None = field(repr=False)
    error: str | None
    attempts: int
    token: int
    expires_in_s: float
    wait_s: float
    created: Moment
    changed: Moment

    def remaining_s(self, now: Moment) -> float:
        """Seconds until it may be tried, at least 0; a lease from before a restart is over."""
        if self.state is DeferredState.LEASED and not self.changed.was_this_boot(now):
            return 0.0
        return max(0.0, self.wait_s - self.changed.elapsed_s(now))

    def has_expired(self, now: Moment) -> bool:
        """Whether it has waited for too long; not while a worker has it."""
        is_idle = self.state is DeferredState.WAITING or self.remaining_s(now) == 0
        return is_idle and self.created.elapsed_s(now) >= self.expires_in_s


_COLUMNS = (
    "id, state, request, answer, error, attempts, token, expires_in_s, wait_s, created_wall_s,"
    " created_running_s, created_boot_id, changed_wall_s, changed_running_s, changed_boot_id"
)


def add(rows: Transaction, entry: Entry, key: str | None) -> None:
    """Store a new request."""
    rows.insert(
        f"INSERT INTO deferred ({_COLUMNS}, key) VALUES ({', '.join('?' * 16)})",
        (
            entry.id,
            entry.state,
            entry.request,
            entry.answer,
            entry.error,
            entry.attempts,
            entry.token,
            entry.expires_in_s,
            entry.wait_s,
            *_flat(entry.created),
            *_flat(entry.changed),
            key,
        ),
    )


def find(rows: Transaction, request_id: str) -> Entry | None:
    """The row of a request."""
    row = rows.row(f"SELECT {_COLUMNS} FROM deferred WHERE id = ?", (request_id,))
    return None if row is None else _entry(row)


def find_key(rows: Transaction, key: str) -> str | None:
    """The id of the request that was stored under a key."""
    row = rows.row("SELECT id FROM deferred WHERE key = ?", (key,))
    return None if row is None else str(row[0])


def entries(rows: Transaction, states: Sequence[DeferredState]) -> Iterator[Entry]:
    """The rows in some states, in the order in which they came."""
    marks = ", ".join("?" * len(states))
    found = rows.rows(
        f"SELECT {_COLUMNS} FROM deferred WHERE state IN ({marks}) ORDER BY number", states
    )
    return map(_entry, found)


def count(rows: Transaction, states: Sequence[DeferredState]) -> int:
    """How many rows are in some states."""
    marks = ", ".join("?" * len(states))
    row = rows.row(f"SELECT count(*) FROM deferred WHERE state IN ({marks})", states)
    return int(row[0]) if row else 0


def change(
    rows: Transaction,
    entry: Entry,
    state: DeferredState,
    now: Moment,
    **columns: str | float | None,
) -> None:
    """Move a row to a state, with the given columns set."""
    values: dict[str, str | float | None] = {
        "state": state,
        **columns,
        "changed_wall_s": now.wall_s,
        "changed_running_s": now.running_s,
        "changed_boot_id": now.boot_id,
    }
    sets = ", ".join(f"{name} = ?" for name in values)
    rows.execute(f"UPDATE deferred SET {sets} WHERE id = ?", (*values.values(), entry.id))


def remove(rows: Transaction, request_id: str) -> None:
    """Forget a row."""
    rows.execute("DELETE FROM deferred WHERE id = ?", (request_id,))


def sweep(rows: Transaction, now: Moment, keep_ended_s: float) -> None:
    """Let time do its part: what waited too long expires, what ended long ago is forgotten."""
    for entry in list(entries(rows, OPEN)):
        if entry.has_expired(now):
            change(rows, entry, DeferredState.EXPIRED, now)
    for entry in list(entries(rows, ENDED)):
        if entry.changed.elapsed_s(now) >= keep_ended_s:
            remove(rows, entry.id)


def to_json(value: Any) -> str:
    """The text of a JSON value.

    Raises:
        ValueError: it is none. Says nothing of what it was.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("not JSON") from None


def _flat(moment: Moment) -> tuple[float, float, str]:
    return moment.wall_s, moment.running_s, moment.boot_id


def _entry(row: tuple[Any, ...]) -> Entry:
    request_id, state, request, answer, error, attempts, token, expires_in_s, wait_s = row[:9]
    return Entry(
        request_id,
        DeferredState(state),
        request,
        answer,
        error,
        attempts=attempts,
        token=token,
        expires_in_s=expires_in_s,
        wait_s=wait_s,
        created=Moment(*row[9:12]),
        changed=Moment(*row[12:15]),
    )
