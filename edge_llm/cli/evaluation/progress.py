"""How far a run is: a bar for each tier on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

LINES = 10
"""About so many lines for each tier, where nobody watches a bar."""


@contextmanager
def open_progress(totals: Mapping[str, int]) -> Iterator[Callable[[str], None]]:
    """A function that is told the name of each part when one of it is done."""
    if not sys.stderr.isatty():
        yield _lines(totals)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {name: bars.add_task(name, total=total) for name, total in totals.items()}
        yield lambda name: bars.advance(tasks[name])


def _lines(totals: Mapping[str, int]) -> Callable[[str], None]:
    done = dict.fromkeys(totals, 0)

    def tell(name: str) -> None:
        done[name] += 1
        step = max(1, totals[name] // LINES)
        if done[name] % step == 0 or done[name] == totals[name]:
            print(f"{name}: {done[name]} of {totals[name]}", file=sys.stderr, flush=True)

    return tell
