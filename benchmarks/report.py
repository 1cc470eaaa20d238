"""What every benchmark shares: figures with goals, the machine, the table, the line of JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["at_least", "at_most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `met` is None where there is no goal."""

    value: float
    unit: str
    goal: float | None = None
    peer: float | None = None
    met: bool | None = None
    spread: float | None = None
    """Half the distance from the smallest to the largest repeat."""


def figure(
    repeats: Sequence[float],
    unit: str,
    *,
    goal: float | None = None,
    direction: Direction = "at_least",
    peer: float | None = None,
) -> Figure:
    """The median of some repeats, held against a goal."""
    value = statistics.median(repeats)
    met = None
    if goal is not None:
        met = value >= goal if direction == "at_least" else value <= goal
    spread = (max(repeats) - min(repeats)) / 2 if len(repeats) > 1 else None
    return Figure(value, unit, goal, peer, met, spread)


def machine() -> dict[str, str | int]:
    """The processor, its cores and the operating system."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 0,
        "arch": platform.machine(),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of our package and the named others."""
    found = {}
    for package in ("edge-llm", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def show(figures: Mapping[str, Figure]) -> None:
    """Print the table for people; also of a part, where the rest will take a while."""
    width = max(map(len, figures), default=0)
    for name, fig in figures.items():
        print(f"{name:<{width}}  {_describe(fig)}", file=sys.stderr)


def report(
    benchmark: str,
    figures: dict[str, Figure],
    packages: Sequence[str] = (),
    skipped: Mapping[str, str] | None = None,
) -> None:
    """Print the table for people, then the one JSON object for programs as the last line.

    `skipped` gives the parts that were not measured, with the reason.
    """
    show(figures)
    print(
        json.dumps(
            {
                "benchmark": benchmark,
                "machine": machine(),
                "versions": versions(*packages),
                "figures": {name: asdict(fig) for name, fig in figures.items()},
                "skipped": dict(skipped or {}),
            }
        )
    )


def _describe(fig: Figure) -> str:
    text = f"{fig.value:10.4g} {fig.unit}"
    if fig.spread is not None:
        text += f"  ±{fig.spread:.2g}"
    if fig.peer is not None:
        text += f"  peer {fig.peer:.4g}"
    if fig.goal is not None:
        text += f"  goal {fig.goal:g} {'met' if fig.met else 'MISSED'}"
    return text
