"""From scores and outcomes to a certificate."""

from __future__ import annotations

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.goals import Goal
from edge_llm.confidence.outcomes import Outcomes


def certify(
    scores: Floats, outcomes: Outcomes, goal: Goal, *, grid: Floats | None = None
) -> Certificate | Infeasible:
    """The policy "keep from this score on" that keeps the goal and keeps most requests.

    `scores` (n,): trust in [0, 1] at the end of each answer, of a model fitted on other rows.
    `grid`: thresholds fixed without these outcomes (`Calibration.grid`), to choose among; without
    it `SelectiveError` pays for each threshold it tries.
    """
    raise NotImplementedError
