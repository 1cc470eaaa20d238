"""What deciding early saves and costs, at every share of escalation.

For each of many shares a threshold at the end is set on the fitted rows, and early thresholds that
give up what that would escalate anyway, but for a small part of what it would keep. All policies
together have a curve, and its area is held against that of the same policies without early
decisions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.confidence_guarantees import LABELS, SAVED_GOAL, draw
from benchmarks.confidence_signals import NOBODY
from benchmarks.report import Figure
from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.checkpoints import END, Checkpoint
from edge_llm.confidence.guarantees.early import early_thresholds, saved_tokens
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.policy import Policy, Thresholds
from edge_llm.evaluate.fitting import EARLY_LOST
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.recording import Recording

SHARES = np.linspace(0.02, 0.98, 25)
APGR_LOSS = 0.01
LOST = (0.01, 0.02, EARLY_LOST, 0.1)
"""Parts of what the end would keep that may be given up early."""


def measure(
    recordings: Sequence[Recording], splits: int, labels: int = LABELS
) -> dict[str, Figure]:
    """Tokens saved and area lost for several settings; the goals are for the product's own."""
    outcomes = to_outcomes(recordings)
    figures: dict[str, Figure] = {}
    found: dict[float, list[tuple[float, float]]] = {lost: [] for lost in (0.0, *LOST)}
    for seed in range(splits):
        fit, _, rest = draw(outcomes, labels, seed)
        calibration = fit_calibration(fit, NOBODY, seed=seed)
        inner, outer = calibration.scores(fit, "gain"), calibration.scores(rest, "gain")
        for lost, results in found.items():
            results.append(curve(inner, outer, rest, lost))
    base = np.mean([area for area, _ in found[0.0]])
    for lost in LOST:
        area, saved = np.mean(found[lost], axis=0)
        own = lost == EARLY_LOST
        name = f"early, {lost:g} of the kept"
        figures[f"{name}: tokens saved of what is escalated"] = Figure(
            float(saved),
            "of local tokens",
            SAVED_GOAL if own else None,
            met=bool(saved >= SAVED_GOAL) if own else None,
        )
        figures[f"{name}: APGR lost"] = Figure(
            float(base - area),
            "APGR",
            APGR_LOSS if own else None,
            met=bool(base - area <= APGR_LOSS) if own else None,
        )
    return figures  # fmt: skip


def curve(
    inner: dict[Checkpoint, Floats], outer: dict[Checkpoint, Floats], rest: Outcomes, lost: float
) -> tuple[float, float]:
    """APGR of the policies, and the tokens they save, mean over all shares."""
    local, saved = float(rest.local_correct.mean()), []
    points = [(0.0, local), (1.0, 1.0)]
    for share in SHARES:
        policy = policy_for(inner, float(share), lost)
        decisions = policy.replay(outer)
        right = np.where(decisions.kept, rest.local_correct, 1.0)
        points.append((1.0 - float(decisions.kept.mean()), float(right.mean())))
        saved.append(saved_tokens(policy, decisions, rest) or 0.0)
    shares, accuracy = np.array(sorted(points)).T
    recovered = (accuracy - local) / max(1e-9, 1.0 - local)
    return float(np.trapezoid(recovered, shares)), float(np.mean(saved))


def policy_for(scores: dict[Checkpoint, Floats], share: float, lost: float) -> Policy:
    """Escalates about this share, at the end or before."""
    before = {name: values for name, values in scores.items() if name != END}
    threshold = float(np.quantile(scores[END], share))
    early = early_thresholds(before, scores[END] >= threshold, lost) if lost else {}
    limits = {name: Thresholds(early.get(name, -np.inf), np.inf) for name in before}
    return Policy("gain", {**limits, END: Thresholds(threshold, threshold)})
