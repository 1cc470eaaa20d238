"""How much of the time work waits for processor, memory or disk: pressure stall information."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_llm.device.text import read_text

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Pressure:
    """Per cent of the last ten seconds."""

    some: float
    """In which at least one task waited."""
    full: float
    """In which all did; always 0 for the processor."""


def read_pressure(root: Path = Path("/")) -> dict[str, Pressure]:
    """By resource; empty where the kernel does not count it (Raspberry Pi OS without `psi=1`).

    Source: https://docs.kernel.org/accounting/psi.html
    """
    found = {}
    for name in RESOURCES:
        text = read_text(root / "proc" / "pressure" / name)
        if text is not None and (pressure := _parse(text)) is not None:
            found[name] = pressure
    return found


def _parse(text: str) -> Pressure | None:
    averages = {}
    for line in text.splitlines():
        kind, *fields = line.split()
        values = dict(field.partition("=")[::2] for field in fields)
        try:
            averages[kind] = float(values["avg10"])
        except (KeyError, ValueError):
            return None
    return Pressure(averages.get("some", 0.0), averages.get("full", 0.0)) if averages else None
