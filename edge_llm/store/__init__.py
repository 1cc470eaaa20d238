"""The one door to SQLite: connection, write-ahead log, migrations.

One file for each part that keeps something, so that a damaged cache costs no budget and each part
counts its own versions. Knows nothing of what is kept.
"""

from __future__ import annotations

from edge_llm.store.schema import Schema as Schema
from edge_llm.store.store import Store as Store
from edge_llm.store.store import open_store as open_store
from edge_llm.store.transaction import Transaction as Transaction
