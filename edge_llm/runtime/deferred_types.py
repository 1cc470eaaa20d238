"""What the queue of deferred requests takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
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


OPEN = (DeferredState.WAITING, DeferredState.LEASED)
"""Not decided yet."""

ENDED = (
    DeferredState.DELIVERED,
    DeferredState.FAILED,
    DeferredState.CANCELLED,
    DeferredState.EXPIRED,
)
"""Nothing happens to these any more, but that they are forgotten."""


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
    """What was stored; None once it is cancelled."""
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


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What the queue holds, and for how long."""

    max_waiting: int = 1000
    """Requests without an answer, and answers that nobody has taken."""
    max_request_bytes: int = 4 << 20
    lease_s: float = 180.0
    """Longer than a request to the cloud may take."""
    max_attempts: int = 8
    expires_in_s: float = 86_400.0
    """A request that has waited for so long is not asked any more."""
    keep_ended_s: float = 86_400.0
    """How long what has ended can still be looked at."""
