"""Thresholds for all checkpoints: what will surely be escalated is escalated early."""

from __future__ import annotations

from collections.abc import Sequence

from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.checkpoints import END, Checkpoint
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.goals import Goal
from edge_llm.confidence.outcomes import Outcomes

MAX_LOST = 0.01
"""Share of the requests kept at the end that early decisions may escalate."""


def certify_policy(
    calibration: Calibration,
    fitted: Outcomes,
    held_out: Outcomes,
    goal: Goal,
    *,
    keep_at: Sequence[Checkpoint] = (END,),
    max_lost: float = MAX_LOST,
) -> Certificate | Infeasible:
    """Thresholds of every checkpoint; the goal holds for the policy as a whole.

    Early thresholds are chosen on `fitted`, the rows that the calibration was fitted on; the
    certificate comes from `held_out` alone. `max_lost` = 0 decides nothing early. With several
    checkpoints in `keep_at` (the commit point of a stream, and the end) epsilon, or delta, is
    divided among them, so that keeping at any of them is covered.
    """
    raise NotImplementedError
