"""Does confidence mean something: does it rank, is it calibrated, do thresholds keep their promise?

Signal by signal on thousands of generated sentences that the built-in model answers at f16, Q8_0
and Q4_0; the calibrated combination; certified thresholds over 200 random splits; routing of
recorded outcomes by their texts alone; early decisions; and what all of it costs a token. Answers
are kept in a folder by the model's fingerprint, so that only new weights are asked again.

    scripts/bench confidence --data DIR --report benchmarks/confidence
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import (
    confidence_cost,
    confidence_early,
    confidence_guarantees,
    confidence_routing,
)
from benchmarks.confidence_recordings import (
    ELSEWHERE,
    HOME,
    Sets,
    default_folder,
    models,
    record_sets,
)
from benchmarks.confidence_report import draw_curves, draw_signals, write_report
from benchmarks.confidence_signals import NOBODY, measure, mixed
from benchmarks.report import Figure, report
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.checkpoints import END
from edge_llm.evaluate.outcomes import to_outcomes

COUNT, OTHER_COUNT, QUICK_COUNT = 6000, 2000, 80
"""Sentences of each set: of the shipped Q8_0, of the other files, and with --quick."""
SPLITS, ECE_SPLITS, EARLY_SPLITS = 200, 20, 10


def main() -> None:
    """Measure, draw, report, and end with one JSON object."""
    arguments = parse_args()
    figures: dict[str, Figure] = {}
    skipped: dict[str, str] = {}
    folder: Path = arguments.recordings or default_folder()
    count = arguments.count or (QUICK_COUNT if arguments.quick else COUNT)
    chosen = models(folder)[: 1 if arguments.quick else None]
    sets: dict[str, Sets] = {}
    for number, model in enumerate(chosen):
        own = count if number == 0 else min(count, arguments.other_count)
        sets[model.name] = record_sets(model, own, arguments.seed, folder)
        figures |= timed(f"signals, {model.name}", lambda m=model: measure(
            m.name, sets[m.name], 50 if arguments.quick else 200))  # fmt: skip
    if arguments.quick:
        skipped["formats"] = "--quick: the shipped file alone"
    mix = mixed(sets[chosen[0].name], (HOME, ELSEWHERE))
    labels = min(confidence_guarantees.LABELS, len(mix) // 2)
    splits = 2 if arguments.quick else arguments.splits
    figures |= timed("guarantees", lambda: confidence_guarantees.guarantees(mix, splits, labels))
    early_splits = 1 if arguments.quick else EARLY_SPLITS
    figures |= timed("early", lambda: confidence_early.measure(mix, early_splits, labels))
    if arguments.quick:
        skipped["calibration error"] = "--quick: needs 10,000 answers"
    else:
        figures |= timed(
            "calibration error",
            lambda: confidence_guarantees.calibration_error(mix, ECE_SPLITS),
        )
    figures |= _routing(arguments, skipped)
    calibration = fit_calibration(to_outcomes(mix), NOBODY)
    figures |= timed("cost", lambda: confidence_cost.measure(calibration, quick=arguments.quick))
    if arguments.quick:
        # So few answers say nothing of a goal.
        figures = {name: replace(one, goal=None, met=None) for name, one in figures.items()}
    if arguments.report:
        _draw(arguments.report, sets[chosen[0].name])
        draw_signals(figures, [model.name for model in chosen], arguments.report / "signals.svg")
        command = f"scripts/bench confidence --data DIR --count {count} --report DIR"
        write_report(arguments.report, figures, [model.name for model in chosen], command)
    report("confidence", figures, ("llama-cpp-python", "numpy"), skipped)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--data", type=Path, help=f"folder with {confidence_routing.FILE}")
    parser.add_argument("--count", type=int, help="sentences of each set")
    parser.add_argument("--other-count", type=int, default=OTHER_COUNT, help="of f16 and Q4_0")
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recordings", type=Path, help="folder in which answers are kept")
    parser.add_argument("--report", type=Path, help="folder for the report and its plots")
    return parser.parse_args()


def timed(name: str, measure: object) -> Mapping[str, Figure]:
    """What a part measures, and how long it took, on standard error."""
    started = time.monotonic()
    assert callable(measure)
    found: Mapping[str, Figure] = measure()
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def _routing(arguments: argparse.Namespace, skipped: dict[str, str]) -> dict[str, Figure]:
    if arguments.data is None:
        skipped["gsm8k"] = "no --data"
        return {}
    started = time.monotonic()
    figures, scores, recordings = confidence_routing.measure(arguments.data, quick=arguments.quick)
    if arguments.report:
        outcomes = to_outcomes(recordings)
        draw_curves(arguments.report / "gsm8k", scores["answer"], scores["answer"], outcomes)
    print(f"gsm8k: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return figures


def _draw(folder: Path, sets: Sets) -> None:
    """Curves of the combined score on half of the mix, fitted on the other half."""
    outcomes = to_outcomes(mixed(sets, (HOME, ELSEWHERE)))
    outcomes = replace(outcomes, cloud_correct=np.ones(len(outcomes)))
    fitted, rest = outcomes.split(0.5)
    scores = fit_calibration(fitted, NOBODY).scores(rest, "wrong")[END]
    draw_curves(folder / "builtin", scores, scores, rest)


if __name__ == "__main__":
    main()
