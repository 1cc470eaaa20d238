"""One transaction: statements that happen all together or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeAlias

Parameters: TypeAlias = Sequence[str | int | float | bytes | None]

Row: TypeAlias = tuple[Any, ...]


class Transaction:
    """Runs statements for `Store.transaction`; of no use after its end.

    Values go into `parameters`, never into the SQL.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement that changes rows; how many it changed."""
        cursor = self._connection.execute(sql, parameters)
        try:
            return cursor.rowcount
        finally:
            cursor.close()

    def insert(self, sql: str, parameters: Parameters = ()) -> int:
        """Run an INSERT; the id of the row."""
        cursor = self._connection.execute(sql, parameters)
        try:
            return cursor.lastrowid or 0
        finally:
            cursor.close()

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a query; None when there is none."""
        cursor = self._connection.execute(sql, parameters)
        try:
            found: Row | None = cursor.fetchone()
            return found
        finally:
            cursor.close()

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()
