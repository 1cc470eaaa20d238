"""Fit a calibration on outcomes."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edge_llm.confidence.arrays import Floats, Mask
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.checkpoint import CheckpointCalibration, TargetModel
from edge_llm.confidence.calibration.columns import fit_columns
from edge_llm.confidence.calibration.folds import make_folds
from edge_llm.confidence.calibration.logistic import cross_fit
from edge_llm.confidence.calibration.mapping import fit_mapping, smoothed
from edge_llm.confidence.checkpoints import Checkpoint
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.errors import CalibrationDataError

FEWEST_LABELS = 30
NUM_QUANTILES = 101


def fit_calibration(outcomes: Outcomes, binding: Binding, *, seed: int = 0) -> Calibration:
    """The calibration of every checkpoint that enough drafts reached, for both targets.

    The mapping is fitted on what models said of rows that they did not see. Labels that are all
    alike give a constant just inside (0, 1). Without the cloud's answers there is no gain.

    Raises:
        CalibrationDataError: fewer than 30 rows at every checkpoint.
    """
    fitted = {}
    for name in outcomes.checkpoints:
        reached = outcomes.reached(name)
        if reached.sum() >= FEWEST_LABELS:
            fitted[name] = _fit_checkpoint(outcomes, name, reached, seed)
    if not fitted:
        raise CalibrationDataError(
            f"{len(outcomes)} labels are too few to fit anything",
            hint=f"bring at least {FEWEST_LABELS}; some hundreds are worth having",
        )
    return Calibration(binding, outcomes.feature_names, MappingProxyType(fitted), len(outcomes))


def _fit_checkpoint(
    outcomes: Outcomes, name: Checkpoint, reached: Mask, seed: int
) -> CheckpointCalibration:
    rows = outcomes.select(reached)
    features, weights = rows.features[name], rows.weight()
    columns = fit_columns(features, weights)
    table = columns.transform(features)
    gain = None
    if rows.has_cloud:
        known = ~np.isnan(rows.gain)
        if known.sum() >= FEWEST_LABELS:
            gain = _fit_target(table[known], rows.gain[known], rows.select(known), seed)
    wrong = _fit_target(table, rows.wrong, rows, seed)
    return CheckpointCalibration(columns, wrong, gain, len(rows))


def _fit_target(table: Floats, target: Floats, rows: Outcomes, seed: int) -> TargetModel:
    weights = rows.weight()
    folds = make_folds(target, rows.groups, seed)
    crossed = cross_fit(table, smoothed(target, weights), weights, folds)
    mapping = fit_mapping(crossed.log_odds, target, weights)
    trust = 1.0 - mapping.probabilities(crossed.log_odds)
    quantiles = np.quantile(trust, np.linspace(0.0, 1.0, NUM_QUANTILES))
    return TargetModel(crossed.model, mapping, quantiles)
