"""Which variant of a running comparison a request is given to.

Drawn by its id, so that it can be checked, with a probability that is written down, so that it can
be weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from edge_llm.config.escalation import OnDoubt

DEFAULT_ARM = "default"


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant."""

    name: str
    propensity: float
    """Probability with which requests are given to it."""
    threshold: float | None = None
    """In place of `escalation.threshold`; None leaves it."""
    on_doubt: OnDoubt | None = None
    """In place of the request's; None leaves it."""


def assign_arm(arms: Sequence[Mapping[str, Any]], request_id: str) -> Arm | None:
    """The arm of a request; None where nothing is compared."""
    if not arms:
        return None
    place, end = share_of(request_id, "arm"), 0.0
    for arm in arms:
        end += arm["share"]
        if place < end:
            return Arm(arm["name"], arm["share"], arm.get("threshold"), arm.get("on_doubt"))
    return Arm(DEFAULT_ARM, 1.0 - end)


def share_of(request_id: str, purpose: str) -> float:
    """A number in [0, 1) that looks drawn, the same for the same id and purpose everywhere."""
    digest = blake2b(f"{purpose}\n{request_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
