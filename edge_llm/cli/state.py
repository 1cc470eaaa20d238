"""`edge-llm deferred` and `edge-llm budget`: what is kept in the folder for state.

Opens only what is there: looking makes no file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json, print_table
from edge_llm.cloud.budget import BUDGET_FILE, Spent, open_budget
from edge_llm.config import load_config, state_folder
from edge_llm.errors import DeferredNotFoundError
from edge_llm.runtime.deferred import QUEUE_FILE, DeferredQueue, open_deferred_queue
from edge_llm.runtime.deferred_types import DeferredRequest


def list_deferred(config_file: str | None, *, as_json: bool) -> None:
    """Print the requests that wait, are answered or have ended; none of their texts."""
    with _queue(config_file) as queue:
        found = queue.list() if queue else ()
    if as_json or not sys.stdout.isatty():
        print_json({"deferred": [_summary(one) for one in found]})
    elif not found:
        print("no request was deferred")
    else:
        rows = [
            (one.id, str(one.state), _time(one.created_at), str(one.attempts), one.error or "")
            for one in found
        ]
        print_table(("id", "state", "since", "attempts", "error"), rows)


def show_deferred(request_id: str, config_file: str | None, *, as_json: bool) -> None:
    """Print one request with its texts and its answer; it is not delivered by that.

    Raises:
        DeferredNotFoundError: no such request.
    """
    with _queue(config_file) as queue:
        one = _existing(queue, request_id).get(request_id)
    record = {**_summary(one), "request": one.request, "answer": one.answer}
    if as_json or not sys.stdout.isatty():
        print_json(record)
    else:
        print(printable(json.dumps(record, ensure_ascii=False, indent=2)))


def cancel_deferred(request_id: str, config_file: str | None) -> None:
    """Cancel one request, and say whether it was not too late.

    Raises:
        DeferredNotFoundError: no such request.
    """
    with _queue(config_file) as queue:
        cancelled = _existing(queue, request_id).cancel(request_id)
    print(f"{request_id} is cancelled" if cancelled else f"{request_id} has ended already")


def forget_deferred(request_id: str, config_file: str | None) -> None:
    """Remove one request that has ended, its texts included.

    Raises:
        DeferredNotFoundError: no such request.
        DeferredError: it has not ended.
    """
    with _queue(config_file) as queue:
        _existing(queue, request_id).forget(request_id)
    print(f"{request_id} is forgotten")


def print_budget(config_file: str | None, *, as_json: bool) -> None:
    """Print what was spent today and this month, what is held, and what is left.

    Raises:
        StoreError: the account cannot be read.
    """
    config = load_config({"config_file": config_file})
    path = state_folder(config) / BUDGET_FILE
    if not path.exists():
        print_json({"spent": None}) if as_json else print("nothing was spent")
        return
    budget = open_budget(path, config.budget)
    status = budget.status()
    budget.close()
    if as_json or not sys.stdout.isatty():
        print_json({**asdict(status), "limits": asdict(config.budget)})
        return
    for name, spent in (("today", status.day), ("this month", status.month)):
        print(f"{name:<12}{_spent(spent)}, until {_time(spent.resets_at)} UTC")
    print(f"{'held':<12}{status.reserved_usd:.6g} USD, {status.reserved_bytes} bytes")
    usd = "no limit" if status.left_usd is None else f"{status.left_usd:.6g} USD"
    sent = "no limit" if status.left_bytes is None else f"{status.left_bytes} bytes"
    print(f"{'left':<12}{usd}, {sent}")


@contextmanager
def _queue(config_file: str | None) -> Iterator[DeferredQueue | None]:
    path = state_folder(load_config({"config_file": config_file})) / QUEUE_FILE
    if not path.exists():
        yield None
        return
    queue = open_deferred_queue(path)
    try:
        yield queue
    finally:
        queue.close()


def _existing(queue: DeferredQueue | None, request_id: str) -> DeferredQueue:
    if queue is None:
        raise DeferredNotFoundError(f"there is no deferred request {request_id!r}")
    return queue


def _summary(one: DeferredRequest) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": str(one.state),
        "created_at": one.created_at,
        "attempts": one.attempts,
        "error": one.error,
    }


def _spent(spent: Spent) -> str:
    return f"{spent.usd:.6g} USD, {spent.sent_bytes} bytes sent"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
