"""What was answered so far, on disk: an answer that was paid for is never paid for twice.

Answers are kept, not grades: another grader costs no further answer. One commit for each answer, so
that whatever ends the process loses at most those that were under way. The texts are readable by
their owner alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_llm.evaluate.recording import Said, said_from_dict
from edge_llm.store import Schema, Store, open_store

JOURNAL_FILE = "evaluation.sqlite"

SCHEMA = Schema(
    "evaluation",
    (
        """
        CREATE TABLE answers (
            asked TEXT NOT NULL,  -- who was asked, and how
            question TEXT NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (asked, question)
        ) WITHOUT ROWID;
        CREATE TABLE grades (
            judge TEXT NOT NULL,
            answer TEXT NOT NULL,  -- a hash of question, rubric and answer
            grade REAL NOT NULL,
            cost_usd REAL NOT NULL,
            PRIMARY KEY (judge, answer)
        ) WITHOUT ROWID;
        """,
    ),
)


class Journal:
    """Owns the file. May be used from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answers(self, asked: str) -> dict[str, Said]:
        """Every answer of one tier, by the question's key.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._store.reading() as reading:
            rows = reading.rows("SELECT question, record FROM answers WHERE asked = ?", (asked,))
        return {question: said_from_dict(json.loads(record)) for question, record in rows}

    def put(self, asked: str, question: str, said: Said) -> None:
        """Keep an answer; on return it is on the disk.

        Raises:
            StoreError: it cannot be written.
        """
        record = json.dumps(said.to_dict(), ensure_ascii=False, separators=(",", ":"))
        with self._store.transaction() as transaction:
            transaction.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (asked, question, record)
            )

    def grade(self, judge: str, answer: str) -> tuple[float, float] | None:
        """What a judge said of an answer and what that cost; None where it was not asked."""
        with self._store.reading() as reading:
            row = reading.row(
                "SELECT grade, cost_usd FROM grades WHERE judge = ? AND answer = ?", (judge, answer)
            )
        return None if row is None else (float(row[0]), float(row[1]))

    def put_grade(self, judge: str, answer: str, grade: float, cost_usd: float) -> None:
        """Keep a judge's grade."""
        with self._store.transaction() as transaction:
            transaction.execute(
                "INSERT OR REPLACE INTO grades VALUES (?, ?, ?, ?)",
                (judge, answer, grade, cost_usd),
            )

    def forget(self, asked: str, questions: Iterable[str]) -> int:
        """Remove a tier's answers to these questions; how many there were."""
        with self._store.transaction() as transaction:
            return sum(
                transaction.execute(
                    "DELETE FROM answers WHERE asked = ? AND question = ?", (asked, question)
                )
                for question in questions
            )

    def close(self) -> None:
        """Let the file go."""
        self._store.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_journal(path: Path) -> Journal:
    """The journal at `path`, made when it is not there.

    Raises:
        StoreError: it cannot be used, or is something else.
    """
    return Journal(open_store(path, SCHEMA))


def asked_key(**what: Any) -> str:
    """A text that is equal exactly when a tier is asked the same way: model, sampling, limits."""
    return json.dumps(what, sort_keys=True, separators=(",", ":"), default=str)
