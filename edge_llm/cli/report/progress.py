"""How far a long measurement is: a bar on a terminal, a line for each part elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress(Protocol):
    """Is told what is going on."""

    def begin(self, name: str) -> None:
        """A part begins."""

    def part(self, done: int, total: int) -> None:
        """So much of the part is done."""

    def finish(self) -> None:
        """The part is done."""


@contextmanager
def open_progress(total: int) -> Iterator[Progress]:
    """What fits where standard error goes."""
    if not sys.stderr.isatty():
        yield LineProgress(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar, total)


class LineProgress:
    """Writes a line to standard error when a part begins."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._num_begun = 0

    def begin(self, name: str) -> None:
        """Say which part."""
        self._num_begun += 1
        print(f"{self._num_begun}/{self._total}: {name}", file=sys.stderr)

    def part(self, done: int, total: int) -> None:
        """Too much for lines."""

    def finish(self) -> None:
        """Nothing to say."""


class BarProgress:
    """Moves a bar; parts of a part move it too."""

    def __init__(self, bar: Bar, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)
        self._num_done = 0

    def begin(self, name: str) -> None:
        """Show its name."""
        self._bar.update(self._task, description=name)

    def part(self, done: int, total: int) -> None:
        """Move a little."""
        self._bar.update(self._task, completed=self._num_done + done / max(1, total))

    def finish(self) -> None:
        """Move to the next."""
        self._num_done += 1
        self._bar.update(self._task, completed=self._num_done)
