"""Calendar days and months, UTC, as the periods that a budget counts by. Pure."""

from __future__ import annotations

import time
from calendar import timegm
from dataclasses import dataclass

_LAST_SECOND = 253_370_764_799.0
"""The end of the year 9998: the next must have a name too."""


@dataclass(frozen=True, slots=True)
class Period:
    """One day or one month. The names of days, and those of months, sort by time."""

    kind: str
    """`daily` or `monthly`."""
    name: str
    """`2026-11-22`, or `2026-11`."""
    ends_at: float
    """When the next begins, in seconds since the epoch."""


def on_calendar(now: float) -> float:
    """The moment, or the nearest that a calendar has where a clock shows none."""
    # Written so that no number at all is the first second.
    return min(now, _LAST_SECOND) if now > 0 else 0.0


def periods_at(now: float) -> tuple[Period, Period]:
    """The day and the month of a moment in seconds since the epoch, `on_calendar`."""
    date = time.gmtime(int(now))
    day = timegm((date.tm_year, date.tm_mon, date.tm_mday + 1, 0, 0, 0))
    year, month = (date.tm_year, date.tm_mon + 1) if date.tm_mon < 12 else (date.tm_year + 1, 1)
    next_month = timegm((year, month, 1, 0, 0, 0))
    return (
        Period("daily", time.strftime("%Y-%m-%d", date), float(day)),
        Period("monthly", time.strftime("%Y-%m", date), float(next_month)),
    )
