"""When a draft is kept and when it goes to the cloud: thresholds for scores at checkpoints.

A score is calibrated trust in [0, 1], higher is better. Knows not where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from edge_llm.confidence.arrays import Floats, Mask
from edge_llm.confidence.checkpoints import Checkpoint

Target: TypeAlias = Literal["wrong", "gain"]
"""What a score is about. `wrong`: 1 - P(the local answer is wrong), the confidence. `gain`:
1 - P(the local answer is wrong and the cloud's is right)."""

Decision: TypeAlias = Literal["escalate", "keep", "continue"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of one checkpoint. What lies between the two goes on to the next one."""

    escalate_below: float
    """The draft is given up when its score is smaller; -inf: none is."""
    keep_from: float
    """The draft is kept for good when its score is at least this; inf: none is."""


class Decisions(NamedTuple):
    """What a policy does with n requests."""

    kept: Mask
    """(n,); all others are escalated."""
    checkpoint: Floats
    """(n,) index of the checkpoint that decided, in the policy's order."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which score is looked at, and the thresholds in the order in which drafts pass them."""

    target: Target
    thresholds: Mapping[Checkpoint, Thresholds]

    @property
    def threshold(self) -> float:
        """At the last checkpoint, where what is not kept is escalated."""
        return tuple(self.thresholds.values())[-1].keep_from

    def decide(self, checkpoint: Checkpoint, score: float) -> Decision:
        """What to do now. A checkpoint that the policy does not know, or no score: go on.

        A draft that ends undecided is to be escalated: nothing vouches for it.
        """
        limits = self.thresholds.get(checkpoint)
        if limits is None:
            return "continue"
        if score < limits.escalate_below:
            return "escalate"
        return "keep" if score >= limits.keep_from else "continue"

    def replay(self, scores: Mapping[Checkpoint, Floats]) -> Decisions:
        """What it would do with n requests; `scores` (n,) each, NaN where not reached."""
        num_rows = len(next(iter(scores.values())))
        kept = np.zeros(num_rows, np.bool_)
        is_open = np.ones(num_rows, np.bool_)
        where = np.full(num_rows, float(len(self.thresholds) - 1))
        for index, (name, limits) in enumerate(self.thresholds.items()):
            if name not in scores:
                continue
            score = scores[name]
            given_up = is_open & (score < limits.escalate_below)
            taken = is_open & ~given_up & (score >= limits.keep_from)
            kept |= taken
            where[given_up | taken] = index
            is_open &= ~(given_up | taken)
        return Decisions(kept, where)
