"""`edge-llm calibrate`: recordings in, a calibration and its curves out."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_llm.cli.evaluation.bind import Bound, bind
from edge_llm.cli.evaluation.obtain import Obtained, obtain
from edge_llm.cli.evaluation.options import DataOptions, RunOptions
from edge_llm.cli.evaluation.show import show_fitted
from edge_llm.cli.evaluation.writable import writable_folder
from edge_llm.cli.table import print_json
from edge_llm.confidence.calibration.file import save_calibration
from edge_llm.confidence.guarantees.certificate import Infeasible
from edge_llm.confidence.guarantees.goals import Goal
from edge_llm.errors import CalibrationInfeasibleError
from edge_llm.evaluate.curves import diagrams
from edge_llm.evaluate.fitting import Fitted, fit_and_certify, require_questions
from edge_llm.evaluate.plots import HINT, can_plot, write_plots


def run(
    data: DataOptions,
    options: RunOptions,
    goal: Goal,
    *,
    output: str | None,
    plots: str | None,
    as_json: bool,
) -> None:
    """Obtain outcomes, fit, certify, show, and write what was certified.

    Raises:
        DataSetError: the data cannot be read.
        CalibrationInfeasibleError: no threshold keeps the goal; nothing was written.
        EdgeLLMError: a tier cannot go on, or a file cannot be written.
    """
    bound = bind(data, options, output)  # before anything is spent on what cannot be written
    folder = None if plots is None else writable_folder(plots, "--plots DIR names another")
    obtained = obtain(data, options, check=require_questions)
    found = fit_and_certify(
        obtained.recordings, bound.binding, goal, seed=options.seed, max_lost=options.early
    )
    drawn = _write_plots(found, folder)
    if found.certificate is not None:
        save_calibration(found.calibration, bound.path)
    if as_json or not sys.stdout.isatty():
        print_json(_to_record(found, obtained, bound, drawn))
    else:
        show_fitted(found, obtained)
    if isinstance(found.found, Infeasible):
        raise _infeasible(found.found)
    if sys.stdout.isatty() and not as_json:
        print(f"written to {bound.path}")
        if bound.note is not None:
            print(bound.note)


def _write_plots(found: Fitted, folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not can_plot():
        print(f"no plots: matplotlib is not installed; {HINT}", file=sys.stderr)
        return []
    drawn = diagrams(found.scores, found.confidence, found.held_out)
    return write_plots(drawn, folder)


def _infeasible(found: Infeasible) -> CalibrationInfeasibleError:
    return CalibrationInfeasibleError(found.reason, hint="; ".join(found.advice) or None)


def _to_record(
    found: Fitted, obtained: Obtained, bound: Bound, drawn: list[Path]
) -> dict[str, Any]:
    certificate = found.certificate
    goal = found.found.goal
    record: dict[str, Any] = {
        "calibration": None if certificate is None else str(bound.path),
        "binding": asdict(bound.binding),
        "goal": {"name": type(goal).__name__, **asdict(goal)},
        "num_questions": len(obtained.recordings),
        "num_missing": obtained.num_missing,
        "num_certified_on": len(found.held_out),
        "spent_usd": obtained.spent_usd,
        "feasible": certificate is not None,
    }
    if certificate is not None:
        record["certificate"] = {
            "kept_share": certificate.kept_share,
            "risk": certificate.risk,
            "risk_bound": certificate.risk_bound,
            "threshold": certificate.policy.threshold,
            "cost_usd_per_request": certificate.cost_usd_per_request,
            "assumes_cloud_is_right": certificate.assumes_cloud_is_right,
        }
    else:
        infeasible = asdict(found.found)
        infeasible.pop("goal")
        record["infeasible"] = infeasible
    record["quality"] = asdict(found.quality)
    record["ece"] = found.ece
    record["brier"] = found.brier
    record["length_bias"] = None if found.length is None else asdict(found.length)
    record["plots"] = [str(path) for path in drawn]
    return record
