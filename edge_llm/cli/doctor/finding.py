"""What the doctor says: facts, and findings with what they mean and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
"""It does not work; it works worse than it could; it is good to know."""

ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or that decides what can be expected."""

    severity: Severity
    about: str
    """The part of the machine or of the installation: `power`, `llama.cpp`."""
    what: str
    meaning: str
    """What follows from it."""
    fix: str
    """What to do, as a command where there is one; empty where nothing need be done."""


@dataclass(frozen=True, slots=True)
class Section:
    """Facts about one part, and what was found there."""

    name: str
    facts: dict[str, Any]
    """What JSON can hold; names that end in `_bytes` are shown with a unit."""
    findings: list[Finding] = field(default_factory=list)
