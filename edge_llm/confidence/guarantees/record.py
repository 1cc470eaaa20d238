"""A certificate as JSON values and back, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, Goal, SelectiveError
from edge_llm.confidence.guarantees.sample import ROUNDING
from edge_llm.confidence.policy import Policy, Thresholds

_GOALS: dict[str, type[AccuracyLoss] | type[SelectiveError]] = {
    "accuracy_loss": AccuracyLoss,
    "selective_error": SelectiveError,
}


def certificate_record(certificate: Certificate) -> dict[str, Any]:
    """JSON values that `read_certificate` turns back into the same certificate."""
    known = {one.name: getattr(certificate, one.name) for one in fields(Certificate)}
    goal = certificate.goal
    kind = next(name for name, cls in _GOALS.items() if isinstance(goal, cls))
    policy = certificate.policy
    return known | {
        "goal": {"kind": kind, **asdict(goal)},
        "policy": {
            "target": policy.target,
            "thresholds": {
                name: {key: _finite(value) for key, value in asdict(limits).items()}
                for name, limits in policy.thresholds.items()
            },
        },
    }


def read_certificate(record: Mapping[str, Any]) -> Certificate:
    """The certificate in JSON values.

    Raises:
        KeyError, TypeError, ValueError: it is none; InvalidParameterError is a ValueError.
    """
    goal, policy = _goal(dict(record["goal"])), _policy(record["policy"])
    if policy.target != goal.target:
        raise ValueError(f"the goal looks at {goal.target!r} and the policy at {policy.target!r}")
    found = Certificate(**{**record, "goal": goal, "policy": policy})
    for name in ("kept_share", "risk", "risk_bound"):
        _share(getattr(found, name), name)
    if found.cost_usd_per_request is not None and not found.cost_usd_per_request >= 0.0:
        raise ValueError("a negative cost")
    if type(found.num_labels) is not int or type(found.assumes_cloud_is_right) is not bool:
        raise TypeError("num_labels or assumes_cloud_is_right")
    return found


def _goal(record: dict[str, Any]) -> Goal:
    kind = record.pop("kind")
    if record["budget"] is not None:
        record["budget"] = Budget(**record["budget"])
    return _GOALS[kind](**record)


def _policy(record: Mapping[str, Any]) -> Policy:
    limits = {}
    for name, one in record["thresholds"].items():
        below, keep = one["escalate_below"], one["keep_from"]
        limits[name] = Thresholds(
            -math.inf if below is None else _share(below, "escalate_below"),
            math.inf if keep is None else _share(keep, "keep_from"),
        )
    if record["target"] not in ("wrong", "gain") or not limits:
        raise ValueError(f"a policy on {record['target']!r} with {len(limits)} checkpoints")
    return Policy(record["target"], MappingProxyType(limits))


def _finite(value: float) -> float | None:
    """Nothing in place of "never": JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _share(value: Any, name: str) -> float:
    # A little above 1 is the threshold that leaves out a score of 1.
    if isinstance(value, bool) or not -ROUNDING <= value <= 1.0 + ROUNDING:
        raise ValueError(f"{name} {value!r:.40} is no share")
    return float(value)
