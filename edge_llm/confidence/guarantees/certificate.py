"""What was certified, or why nothing could be."""

from __future__ import annotations

from dataclasses import dataclass

from edge_llm.confidence.guarantees.goals import Goal
from edge_llm.confidence.policy import Policy


@dataclass(frozen=True, slots=True)
class Certificate:
    """A policy that keeps a goal, and what it did on the labels that certified it.

    Holds for requests that are drawn as the labels were (exchangeable with them), for the model
    that made them; drift ends it.
    """

    goal: Goal
    policy: Policy
    num_labels: int
    """Rows of the part that certified, with a known loss; none of them was fitted on."""
    kept_share: float
    """Share of requests answered locally; the others are escalated."""
    risk: float
    """What the goal bounds, as measured: mean loss, or share of wrong answers among kept ones."""
    risk_bound: float
    """What the certificate proves of it: at most the goal's epsilon or alpha."""
    cost_usd_per_request: float | None = None
    """Mean cost in the cloud, where costs are known."""
    assumes_cloud_is_right: bool = False
    """No label of the cloud was known: whatever is wrong counts as lost."""


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No threshold keeps the goal on these labels; what would."""

    goal: Goal
    reason: str
    """One sentence."""
    advice: tuple[str, ...] = ()
    """What would make it feasible, each a sentence."""
    num_labels: int = 0
    labels_needed: int | None = None
    """So many labels would do if they came out as these did; None: no number would."""
    level_reachable: float | None = None
    """The smallest epsilon or alpha that these labels certify; None: none."""
    local_accuracy_needed: float | None = None
    """Among the requests the score trusts most, where it is too low there."""
