"""How fast this machine reads memory and multiplies weights: what bounds the speed of writing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """Measured rates. Bytes are bytes of weights as they are stored."""

    bandwidth: float
    """Bytes a second that `threads` threads read from memory together."""
    threads: int
    """Threads that compute."""
    kernels: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Bytes a second that one core multiplies from its cache, by storage type (`Q4_0`). Empty where
    no library has been measured: memory alone then bounds a prediction."""
