"""What is written down of answers while variants are compared, and of shadow requests: no texts.

Each row is written on its own, by whoever has one: the file is open for a moment only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_llm.store import Schema, Store, open_store
from edge_llm.store.transaction import Row
from edge_llm.types import Answer

OBSERVATIONS_FILE = "observations.sqlite3"
"""In the folder for state."""

MAX_ROWS = 100_000
"""Of each table; the oldest go."""

SCHEMA = Schema(
    "observations",
    (
        """
        CREATE TABLE answers (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            trace_id TEXT NOT NULL UNIQUE,
            created_s REAL NOT NULL,
            arm TEXT,
            -- Probability with which the request was given to the arm.
            propensity REAL,
            model TEXT NOT NULL,
            route TEXT NOT NULL,
            reason TEXT,
            degraded INTEGER NOT NULL,
            signal TEXT,
            score REAL,
            confidence REAL,
            cost_usd REAL NOT NULL,
            e2e_s REAL NOT NULL,
            completion_tokens INTEGER NOT NULL
        );
        CREATE TABLE shadows (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            trace_id TEXT NOT NULL UNIQUE,
            created_s REAL NOT NULL,
            model TEXT NOT NULL,
            task TEXT NOT NULL,
            signal TEXT,
            score REAL,
            confidence REAL,
            -- Probability with which a kept answer has a shadow.
            propensity REAL NOT NULL,
            -- How far the cloud said the same, 0 to 1.
            agreement REAL NOT NULL,
            cost_usd REAL NOT NULL,
            -- JSON, by name.
            features TEXT NOT NULL
        );
        CREATE TABLE states (
            name TEXT PRIMARY KEY,
            changed_s REAL NOT NULL,
            -- JSON.
            value TEXT NOT NULL
        );
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class ShadowOutcome:
    """What the cloud said to a request whose local answer was kept."""

    trace_id: str
    model: str
    """The local one."""
    task: str
    signal: str | None
    score: float | None
    confidence: float | None
    propensity: float
    agreement: float
    cost_usd: float
    features: Mapping[str, float]
    loss: float | None = None
    """What is surely lost with the kept answer; None: nobody can tell. Not written down."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer as far as comparisons need it."""

    created_s: float
    arm: str | None
    propensity: float | None
    is_escalated: bool
    score: float | None
    cost_usd: float
    e2e_s: float
    agreement: float | None
    """Of its shadow; None where it had none."""
    seen_with: float = 1.0
    """The probability with which it was to have a shadow; of those that had one."""


def note_answer(folder: Path, answer: Answer, propensity: float | None) -> None:
    """Write an answer down; a second time does nothing.

    Raises:
        StoreError: it could not be written.
    """
    values = (
        answer.trace_id, time.time(), answer.arm, propensity, answer.model, answer.route,
        answer.reason, int(answer.degraded), answer.signal, answer.score, answer.confidence,
        answer.cost_usd, answer.timings.e2e_s, answer.usage.completion_tokens,
    )  # fmt: skip
    with _open(folder) as store, store.transaction() as rows:
        rows.insert(
            "INSERT OR IGNORE INTO answers (trace_id, created_s, arm, propensity, model, route,"
            " reason, degraded, signal, score, confidence, cost_usd, e2e_s, completion_tokens)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        rows.execute(_PRUNE.format(table="answers"), (MAX_ROWS,))


def note_shadow(folder: Path, outcome: ShadowOutcome) -> None:
    """Write down what became of a shadow request.

    Raises:
        StoreError: it could not be written.
    """
    values = (
        outcome.trace_id, time.time(), outcome.model, outcome.task, outcome.signal, outcome.score,
        outcome.confidence, outcome.propensity, outcome.agreement, outcome.cost_usd,
        json.dumps(dict(outcome.features), allow_nan=False),
    )  # fmt: skip
    with _open(folder) as store, store.transaction() as rows:
        rows.insert(
            "INSERT OR IGNORE INTO shadows (trace_id, created_s, model, task, signal, score,"
            " confidence, propensity, agreement, cost_usd, features)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        rows.execute(_PRUNE.format(table="shadows"), (MAX_ROWS,))


def read_answers(folder: Path) -> list[AnswerRow]:
    """All answers that are written down, the oldest first; none where there is no file.

    Raises:
        StoreError: it cannot be read.
    """
    if not (folder / OBSERVATIONS_FILE).exists():
        return []
    with _open(folder) as store, store.reading() as rows:
        found = rows.rows(
            "SELECT a.created_s, a.arm, a.propensity, a.route, a.score, a.cost_usd, a.e2e_s,"
            " s.agreement, COALESCE(s.propensity, 1.0)"
            " FROM answers a LEFT JOIN shadows s USING (trace_id) ORDER BY a.number"
        )
    return [AnswerRow(*_with_escalated(row)) for row in found]


def read_shadows(folder: Path) -> list[ShadowOutcome]:
    """All shadow outcomes, the oldest first; none where there is no file.

    Raises:
        StoreError: it cannot be read.
    """
    if not (folder / OBSERVATIONS_FILE).exists():
        return []
    with _open(folder) as store, store.reading() as rows:
        found = rows.rows(
            "SELECT trace_id, model, task, signal, score, confidence, propensity, agreement,"
            " cost_usd, features FROM shadows ORDER BY number"
        )
    return [ShadowOutcome(*_with_features(row)) for row in found]


def _with_escalated(row: Row) -> Row:
    return (*row[:3], row[3] != "local", *row[4:])


def _with_features(row: Row) -> Row:
    return (*row[:-1], json.loads(row[-1]))


def write_state(folder: Path, name: str, value: str) -> None:
    """Write down what is to be known after a restart.

    Raises:
        StoreError: it could not be written.
    """
    with _open(folder) as store, store.transaction() as rows:
        rows.execute(
            "INSERT INTO states (name, changed_s, value) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET changed_s = excluded.changed_s,"
            " value = excluded.value",
            (name, time.time(), value),
        )


def read_state(folder: Path, name: str) -> str | None:
    """What was written down under a name; None where nothing was.

    Raises:
        StoreError: it cannot be read.
    """
    return dict(read_states(folder)).get(name)


def read_states(folder: Path) -> list[tuple[str, str]]:
    """Everything that was written down by name.

    Raises:
        StoreError: it cannot be read.
    """
    if not (folder / OBSERVATIONS_FILE).exists():
        return []
    with _open(folder) as store, store.reading() as rows:
        return [(row[0], row[1]) for row in rows.rows("SELECT name, value FROM states")]


_PRUNE = "DELETE FROM {table} WHERE number <= (SELECT MAX(number) FROM {table}) - ?"


def _open(folder: Path) -> Store:
    return open_store(folder / OBSERVATIONS_FILE, SCHEMA, durable=False)
