"""What lies on the disk and cannot be used, and requests that wait there."""

from __future__ import annotations

from edge_llm.errors.base import EdgeLLMError


class StoreError(EdgeLLMError):
    """A file of SQLite cannot be opened, read or written."""

    code = "store_error"


class StoreBusyError(StoreError):
    """Another process held the file for too long; nothing was written."""

    code = "store_busy"
    status_code = 503
    retryable = True


class StoreFullError(StoreError):
    """The disk has no room; nothing was written."""

    code = "store_full"
    status_code = 507


class StoreCorruptedError(StoreError):
    """The file is damaged, or is no database."""

    code = "store_corrupted"


class StoreVersionError(StoreError):
    """A newer version wrote the file, or it belongs to another part or program."""

    code = "store_version"


class DeferredError(EdgeLLMError):
    """The deferred request is not in a state that allows what was asked."""

    code = "deferred_state"
    status_code = 409


class DeferredNotFoundError(DeferredError):
    """There is no deferred request with this id, or it was forgotten."""

    code = "deferred_not_found"
    status_code = 404


class DeferredQueueFullError(DeferredError):
    """As many requests wait as may; this one was not stored."""

    code = "deferred_queue_full"
    status_code = 503
    retryable = True


class LeaseLostError(DeferredError):
    """The lease ran out or the request was cancelled meanwhile; the answer was not stored."""

    code = "deferred_lease_lost"
