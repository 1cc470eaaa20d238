"""Requests that wait for the network, and their answers that wait for whoever asked.

```
waiting ─► leased ─► answered ─► delivered
   │          ├────► waiting        its worker failed or died: tried again
   │          └────► failed         for good, or too often
   └────────► cancelled, expired
```

A worker takes a request under a lease. When it dies the lease runs out and another worker asks the
cloud again: that may be paid twice. But an answer is stored only under the lease that is current,
and handed out once. Blocks for as long as the disk takes: call it from a thread.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_llm.device.clock import Moment, read_clock
from edge_llm.errors import (
    DeferredError,
    DeferredNotFoundError,
    DeferredQueueFullError,
    InvalidParameterError,
    LeaseLostError,
)
from edge_llm.runtime import deferred_rows as table
from edge_llm.runtime.deferred_rows import SCHEMA, Entry
from edge_llm.runtime.deferred_types import (
    ENDED,
    OPEN,
    DeferredRequest,
    DeferredState,
    Lease,
    QueueLimits,
)
from edge_llm.store import Store, Transaction, open_store

QUEUE_FILE = "deferred.sqlite3"
"""In the folder for state."""

TOO_OFTEN = "too_many_attempts"
"""The error of a request whose workers all died."""


class DeferredQueue:
    """Owns the file of deferred requests. May be used from any thread, and by many processes."""

    def __init__(self, store: Store, limits: QueueLimits, clock: Callable[[], Moment]) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock

    def put(
        self,
        request: Mapping[str, Any],
        *,
        key: str | None = None,
        expires_in_s: float | None = None,
    ) -> str:
        """Store a request of JSON values; its id. On disk when this returns.

        The same `key` again, while the first is remembered, gives the id of the first.

        Raises:
            DeferredQueueFullError: too many wait.
            InvalidParameterError: not JSON, or too large.
            StoreError: it could not be written.
        """
        text = self._checked(request)
        now = self._clock()
        life_s = self._limits.expires_in_s if expires_in_s is None else expires_in_s
        entry = Entry(
            f"deferred-{secrets.token_hex(8)}",
            DeferredState.WAITING,
            text,
            None,
            None,
            attempts=0,
            token=0,
            expires_in_s=life_s,
            wait_s=0.0,
            created=now,
            changed=now,
        )
        with self._store.transaction() as rows:
            table.sweep(rows, now, self._limits.keep_ended_s)
            known = None if key is None else table.find_key(rows, key)
            if known is not None:
                return known
            if table.count(rows, (*OPEN, DeferredState.ANSWERED)) >= self._limits.max_waiting:
                raise DeferredQueueFullError(
                    f"{self._limits.max_waiting} requests wait already",
                    hint="take or cancel some, or wait for the network",
                )
            table.add(rows, entry, key)
        return entry.id

    def lease(self) -> Lease | None:
        """The oldest request that may be tried now, for this worker alone; None when none may."""
        now = self._clock()
        with self._store.transaction() as rows:
            table.sweep(rows, now, self._limits.keep_ended_s)
            for entry in table.entries(rows, OPEN):
                if entry.remaining_s(now) > 0:
                    continue
                if entry.attempts >= self._limits.max_attempts:
                    table.change(
                        rows, entry, DeferredState.FAILED, now, error=entry.error or TOO_OFTEN
                    )
                    continue
                token, attempt = entry.token + 1, entry.attempts + 1
                table.change(
                    rows,
                    entry,
                    DeferredState.LEASED,
                    now,
                    token=token,
                    attempts=attempt,
                    wait_s=self._limits.lease_s,
                )
                return Lease(entry.id, token, attempt, json.loads(entry.request or "{}"))
        return None

    def renew(self, lease: Lease) -> None:
        """Keep the lease for another full period.

        Raises:
            LeaseLostError: it is not current any more: stop working.
        """
        with self._store.transaction() as rows:
            entry = self._held(rows, lease)
            table.change(rows, entry, DeferredState.LEASED, self._clock())

    def answer(self, lease: Lease, answer: Mapping[str, Any]) -> None:
        """Store the answer and end the lease. On disk when this returns.

        Raises:
            InvalidParameterError: not JSON.
            LeaseLostError: another worker has the request, or it was cancelled or has expired; this
                answer is not stored and must not be used.
        """
        text = _text(answer, "an answer")
        with self._store.transaction() as rows:
            entry = self._held(rows, lease)
            table.change(
                rows, entry, DeferredState.ANSWERED, self._clock(), answer=text, error=None
            )

    def fail(self, lease: Lease, code: str, *, retry_in_s: float | None) -> None:
        """End the lease without an answer; None for `retry_in_s` gives up for good.

        Raises:
            LeaseLostError: it is not current any more.
        """
        with self._store.transaction() as rows:
            entry = self._held(rows, lease)
            is_over = retry_in_s is None or entry.attempts >= self._limits.max_attempts
            table.change(
                rows,
                entry,
                DeferredState.FAILED if is_over else DeferredState.WAITING,
                self._clock(),
                error=code,
                wait_s=max(0.0, retry_in_s or 0.0),
            )

    def take(self, request_id: str | None = None) -> DeferredRequest | None:
        """An answer that nobody has taken yet, marked as delivered; None when there is none.

        Of one request, or the oldest. At most one caller of all processes ever gets it, even when
        that caller dies at once; `get` still shows it.

        Raises:
            DeferredNotFoundError: no such request.
        """
        with self._store.transaction() as rows:
            if request_id is None:
                entry = next(table.entries(rows, (DeferredState.ANSWERED,)), None)
            else:
                entry = _found(rows, request_id)
            if entry is None or entry.state is not DeferredState.ANSWERED:
                return None
            table.change(rows, entry, DeferredState.DELIVERED, self._clock())
            return _public(_found(rows, entry.id))

    def get(self, request_id: str) -> DeferredRequest:
        """The request as it stands; changes nothing.

        Raises:
            DeferredNotFoundError: no such request.
        """
        with self._store.reading() as rows:
            return _public(_found(rows, request_id))

    def list(self, states: Sequence[DeferredState] = ()) -> Sequence[DeferredRequest]:
        """All requests, or those in some states, oldest first."""
        with self._store.reading() as rows:
            return [_public(e) for e in table.entries(rows, states or tuple(DeferredState))]

    def cancel(self, request_id: str) -> bool:
        """Whether it was cancelled: false when its answer is there already or it has ended.

        What it asked is removed at once; a worker that has it finds its lease lost.

        Raises:
            DeferredNotFoundError: no such request.
        """
        with self._store.transaction() as rows:
            entry = _found(rows, request_id)
            if entry.state not in OPEN:
                return False
            table.change(rows, entry, DeferredState.CANCELLED, self._clock(), request=None)
            return True

    def forget(self, request_id: str) -> None:
        """Remove one that has ended, its texts included.

        Raises:
            DeferredNotFoundError: no such request.
            DeferredError: it has not ended.
        """
        with self._store.transaction() as rows:
            entry = _found(rows, request_id)
            if entry.state not in ENDED:
                raise DeferredError(f"{request_id} is {entry.state}", hint="cancel or take it")
            table.remove(rows, request_id)

    def next_due_s(self) -> float | None:
        """Seconds until `lease` may give something, 0 for now; None when nothing waits."""
        now = self._clock()
        with self._store.reading() as rows:
            return min(
                (entry.remaining_s(now) for entry in table.entries(rows, OPEN)), default=None
            )

    def close(self) -> None:
        """Let the file go."""
        self._store.close()

    def _checked(self, request: Mapping[str, Any]) -> str:
        text = _text(request, "a request")
        size, limit = len(text), self._limits.max_request_bytes
        if size > limit:
            raise InvalidParameterError(f"the request has {size} bytes; {limit} can be deferred")
        return text

    def _held(self, rows: Transaction, lease: Lease) -> Entry:
        entry = table.find(rows, lease.id)
        if entry is None or entry.state is not DeferredState.LEASED or entry.token != lease.token:
            raise LeaseLostError(
                f"the lease of {lease.id} is over: {entry.state if entry else 'forgotten'}"
            )
        return entry


def open_deferred_queue(
    path: Path,
    limits: QueueLimits | None = None,
    *,
    clock: Callable[[], Moment] = read_clock,
) -> DeferredQueue:
    """The queue in the file at `path`, made when it is not there.

    Raises:
        StoreError: it cannot be used.
    """
    return DeferredQueue(open_store(path, SCHEMA), limits or QueueLimits(), clock)


def _found(rows: Transaction, request_id: str) -> Entry:
    entry = table.find(rows, request_id)
    if entry is None:
        raise DeferredNotFoundError(f"there is no deferred request {request_id!r}")
    return entry


def _public(entry: Entry) -> DeferredRequest:
    return DeferredRequest(
        id=entry.id,
        state=entry.state,
        created_at=entry.created.wall_s,
        attempts=entry.attempts,
        error=entry.error,
        request=None if entry.request is None else json.loads(entry.request),
        answer=None if entry.answer is None else json.loads(entry.answer),
    )


def _text(value: Mapping[str, Any], what: str) -> str:
    try:
        return table.to_json(dict(value))
    except ValueError:
        raise InvalidParameterError(f"{what} must be made of JSON values") from None
