"""How well each signal tells right answers from wrong ones, and what all of them together do."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.confidence_recordings import ELSEWHERE, HOME, NOISY, Sets
from benchmarks.report import Figure
from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.checkpoints import END
from edge_llm.confidence.metrics.auroc import auroc
from edge_llm.confidence.metrics.bootstrap import bootstrap
from edge_llm.confidence.metrics.intervals import Interval
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.signals.registry import SIGNALS
from edge_llm.evaluate.configurations import folds
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.recording import Recording

NOBODY = Binding("benchmark", "", "")
OWN_WORD = ("unsure_token",)
"""Signals that only a model trained for it has; all others any model gives."""
MIXES: Mapping[str, tuple[str, ...]] = {
    "home": (HOME,),
    "noisy home": (NOISY,),
    "home + out of domain": (HOME, ELSEWHERE),
}
COMBINED = "combined"
MIX_GOAL, GAIN_GOAL = 0.98, 0.03
RESAMPLES = 200


def mixed(sets: Sets, names: Sequence[str]) -> list[Recording]:
    """The same number of each set."""
    count = min(len(sets[name]) for name in names)
    return [one for name in names for one in sets[name][:count]]


def signal_scores(outcomes: Outcomes) -> dict[str, Floats]:
    """(n,) each signal's uncalibrated trust at the end; those that say nothing are left out."""
    features = outcomes.features[END]
    found = {}
    for index, name in enumerate(outcomes.feature_names):
        values = features[:, index]
        known = values[~np.isnan(values)]
        if len(known) and float(np.ptp(known)) > 0.0:
            to_score = SIGNALS[name].to_score
            found[name] = np.array([0.5 if math.isnan(v) else to_score(v) for v in values])
    return found


def combined_scores(recordings: Sequence[Recording], seed: int = 0) -> Floats:
    """(n,) the fitted confidence at the end, each from a fit on the four folds without it."""
    outcomes = to_outcomes(recordings)
    scores = np.full(len(recordings), np.nan)
    for rows in folds(recordings, seed):
        others = np.setdiff1d(np.arange(len(recordings)), rows)
        calibration = fit_calibration(outcomes.select(others), NOBODY, seed=seed)
        scores[rows] = calibration.scores(outcomes.select(rows), "wrong")[END]
    return scores


def interval(scores: Floats, right: Floats, resamples: int = RESAMPLES) -> Interval:
    """AUROC with its 95 % interval by the bootstrap."""
    found = bootstrap(
        lambda rows: auroc(scores[rows], right[rows]), len(scores), resamples=resamples
    )
    return found if found is not None else Interval(math.nan, math.nan, math.nan)


def measure(name: str, sets: Sets, resamples: int = RESAMPLES) -> dict[str, Figure]:
    """All signals of one model file on every mix, as a table and as figures."""
    figures: dict[str, Figure] = {}
    for mix, names in MIXES.items():
        recordings = mixed(sets, names)
        outcomes = to_outcomes(recordings)
        right = outcomes.local_correct
        found = {
            signal: interval(scores, right, resamples)
            for signal, scores in signal_scores(outcomes).items()
        }
        found[COMBINED] = interval(combined_scores(recordings), right, resamples)
        for signal, one in found.items():
            goal = MIX_GOAL if (signal, mix) == (COMBINED, "home + out of domain") else None
            figures[f"{name}, {mix}: {signal}"] = to_figure(one, goal)
        if mix == "home":
            figures[f"{name}, home: combined over the best generic signal"] = _lead(found)
        _show(name, mix, float(right.mean()), found)
    return figures


def _lead(found: Mapping[str, Interval]) -> Figure:
    generic = [one.value for signal, one in found.items()
               if signal not in (*OWN_WORD, COMBINED) and not math.isnan(one.value)]  # fmt: skip
    value = found[COMBINED].value - max(generic)
    return Figure(value, "AUROC", GAIN_GOAL, met=value >= GAIN_GOAL)


def to_figure(found: Interval, goal: float | None = None, unit: str = "AUROC") -> Figure:
    """A value with half its interval."""
    met = None if goal is None else found.value >= goal
    return Figure(found.value, unit, goal, met=met, spread=(found.high - found.low) / 2)


def _show(name: str, mix: str, right: float, found: Mapping[str, Interval]) -> None:
    print(f"\n{name}, {mix}: {right:.1%} right", file=sys.stderr)
    for signal, one in sorted(found.items(), key=lambda pair: -pair[1].value):
        print(f"  {signal:24} {one.value:.3f}  [{one.low:.3f}, {one.high:.3f}]", file=sys.stderr)
