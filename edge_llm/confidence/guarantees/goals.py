"""What a threshold is to promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from edge_llm.confidence.policy import Target
from edge_llm.errors import InvalidParameterError

TAIL_RATIO = 1.5
TAIL_DELTA = 0.02
"""Of `AccuracyLoss`: how far beyond epsilon, and how often, a single calibration may be."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What escalation may cost, for sure with probability 1 - delta. At least one limit."""

    escalation_rate: float | None = None
    """Largest share of requests that is escalated."""
    usd_per_request: float | None = None
    """Largest mean cost of a request in the cloud, counting kept ones as 0."""
    delta: float = 0.1
    max_usd: float | None = None
    """No single request costs more in the cloud; None takes the dearest that was seen."""

    def __post_init__(self) -> None:
        if self.escalation_rate is None and self.usd_per_request is None:
            raise InvalidParameterError("a budget without a limit")
        _check_share("escalation_rate", self.escalation_rate)
        _check_share("delta", self.delta)
        for name in ("usd_per_request", "max_usd"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise InvalidParameterError(f"{name}: {value!r} is not a positive amount")


@dataclass(frozen=True, slots=True)
class AccuracyLoss:
    """Accuracy lost against always asking the cloud is at most `epsilon` in expectation.

    The expectation is over the labels that were drawn, too: half of all calibrations would be
    somewhat above. With `tail_epsilon` a single calibration is above that with probability
    `tail_delta` at most.
    """

    epsilon: float = 0.02
    tail_epsilon: float | None = None
    """None takes 1.5 epsilon; 1 asks for nothing."""
    tail_delta: float = TAIL_DELTA
    budget: Budget | None = None
    target: ClassVar[Target] = "gain"

    def __post_init__(self) -> None:
        _check_share("epsilon", self.epsilon)
        _check_share("tail_delta", self.tail_delta)
        if self.tail_epsilon is None:
            object.__setattr__(self, "tail_epsilon", min(1.0, TAIL_RATIO * self.epsilon))
        elif not self.epsilon <= self.tail_epsilon <= 1.0:
            raise InvalidParameterError(
                f"tail_epsilon: {self.tail_epsilon!r} is not in [epsilon, 1]"
            )


@dataclass(frozen=True, slots=True)
class SelectiveError:
    """Of the answers that are kept at most `alpha` are wrong, with probability 1 - `delta`."""

    alpha: float = 0.1
    delta: float = 0.1
    budget: Budget | None = None
    target: ClassVar[Target] = "wrong"

    def __post_init__(self) -> None:
        _check_share("alpha", self.alpha)
        _check_share("delta", self.delta)


Goal: TypeAlias = AccuracyLoss | SelectiveError


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not 0.0 < value < 1.0:
        raise InvalidParameterError(f"{name}: {value!r} is not between 0 and 1")
