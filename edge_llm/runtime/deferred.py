"""Requests that wait for the network, and their answers that wait for whoever asked.

    waiting -> leased -> answered -> delivered
       |         |  \\-> waiting (the worker died or failed; tried again)
       |         \\----> failed (tried often enough, or for good)
       \\-------> cancelled, expired

A worker takes a request under a lease. When it dies the lease runs out and another worker asks the
cloud again: that may be paid twice. But an answer is stored only under the lease that is current,
and handed out once. Blocks for as long as the disk takes: call it from a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class DeferredState(StrEnum):
    """Where a deferred request stands."""

    WAITING = "waiting"
    LEASED = "leased"
    """A worker is asking the cloud."""
    ANSWERED = "answered"
    """The answer is here, and nobody has taken it yet."""
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class DeferredRequest:
    """One request as the queue knows it."""

    id: str
    state: DeferredState
    created_at: float
    """Seconds since the epoch, as the clock stood then."""
    attempts: int
    """How often a worker took it."""
    error: str | None
    """The `code` of the last failure."""
    request: Mapping[str, Any] | None = field(repr=False)
    """What was stored; None once it is answered, cancelled or has expired."""
    answer: Mapping[str, Any] | None = field(repr=False)
    """What a worker stored; kept until it is forgotten, so that a person may look."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to answer one request, for a while."""

    id: str
    """Of the request."""
    token: int
    """Higher for every lease of the request: an older one is of no use any more."""
    attempt: int
    """1 for the first."""
    request: Mapping[str, Any] = field(repr=False)


class DeferredQueue:
    """Owns the file of deferred requests. May be used from any thread, and by many processes."""

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
        raise NotImplementedError

    def lease(self) -> Lease | None:
        """The oldest request that may be tried now, for this worker alone; None when none may."""
        raise NotImplementedError

    def renew(self, lease: Lease) -> None:
        """Keep the lease for another full period.

        Raises:
            LeaseLostError: it is not current any more: stop working.
        """
        raise NotImplementedError

    def answer(self, lease: Lease, answer: Mapping[str, Any]) -> None:
        """Store the answer and end the lease. On disk when this returns.

        Raises:
            LeaseLostError: another worker has the request, or it was cancelled or has expired; this
                answer is not stored and must not be used.
        """
        raise NotImplementedError

    def fail(self, lease: Lease, code: str, *, retry_in_s: float | None) -> None:
        """End the lease without an answer; None for `retry_in_s` gives up for good.

        Raises:
            LeaseLostError: it is not current any more.
        """
        raise NotImplementedError

    def take(self, request_id: str | None = None) -> DeferredRequest | None:
        """An answer that nobody has taken yet, marked as delivered; None when there is none.

        Of one request, or the oldest. At most one caller of all processes ever gets it, even when
        that caller dies at once; `get` still shows it.

        Raises:
            DeferredNotFoundError: no such request.
        """
        raise NotImplementedError

    def get(self, request_id: str) -> DeferredRequest:
        """The request as it stands; changes nothing.

        Raises:
            DeferredNotFoundError: no such request.
        """
        raise NotImplementedError

    def list(self, states: Sequence[DeferredState] = ()) -> Sequence[DeferredRequest]:
        """All requests, or those in some states, oldest first."""
        raise NotImplementedError

    def cancel(self, request_id: str) -> bool:
        """Whether it was cancelled: false when its answer is there already or it has ended.

        Raises:
            DeferredNotFoundError: no such request.
        """
        raise NotImplementedError

    def forget(self, request_id: str) -> None:
        """Remove one that has ended, its texts included.

        Raises:
            DeferredNotFoundError: no such request.
            DeferredError: it has not ended.
        """
        raise NotImplementedError

    def next_due_s(self) -> float | None:
        """Seconds until `lease` may give something, 0 for now; None when nothing waits."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the file go."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What the queue holds, and for how long."""

    max_waiting: int = 1000
    max_request_bytes: int = 4 << 20
    lease_s: float = 180.0
    """Longer than a request to the cloud may take."""
    max_attempts: int = 8
    expires_in_s: float = 86_400.0
    """A request that has waited for so long is not asked any more."""
    keep_ended_s: float = 86_400.0
    """How long answers and ended requests can still be looked at."""


def open_deferred_queue(path: Path, limits: QueueLimits = QueueLimits()) -> DeferredQueue:
    """The queue in the file at `path`, made when it is not there.

    Raises:
        StoreError: it cannot be used.
    """
    raise NotImplementedError
