"""Routing a set of recorded outcomes by its texts: a weak and a strong model on GSM8K.

Five folds, the same for all; what is learned sees four of them. Nothing else is known of the weak
model's answers than their text: no signal of any token.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.confidence_signals import RESAMPLES, to_figure
from benchmarks.report import Figure
from edge_llm.confidence.arrays import Floats, Indices
from edge_llm.confidence.metrics.bootstrap import bootstrap
from edge_llm.confidence.metrics.deferral import (
    deferral_curve,
    detector_curve,
    normalised_apgr,
    oracle_curve,
)
from edge_llm.confidence.prior import benefit_of, fit_prior
from edge_llm.confidence.text.vectors import TextKind
from edge_llm.evaluate.configurations import folds
from edge_llm.evaluate.data.columns import parse_mapping
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.priors import predict
from edge_llm.evaluate.recorded import read_recorded
from edge_llm.evaluate.recording import Recording

FILE = "gsm8k_weak_strong.jsonl"
MAPPING = (
    "local_correct=weak_correct", "cloud_correct=strong_correct",
    "local_text=weak_response", "cloud_text=strong_response",
)  # fmt: skip
GOALS: dict[str, float | None] = {"prompt length alone": None, "query": 0.63, "answer": 0.78}


def read(folder: Path, limit: int | None = None) -> list[Recording]:
    """The recorded outcomes."""
    return read_recorded(folder / FILE, parse_mapping(MAPPING), limit=limit).recordings


def text_scores(recordings: Sequence[Recording], kind: TextKind, seed: int = 0) -> Floats:
    """(n,) trust in each local answer, learned on the four folds without it."""
    outcomes = to_outcomes(recordings)
    benefit = benefit_of(outcomes.local_correct, outcomes.cloud_correct)
    scores = np.full(len(recordings), np.nan)
    for rows in folds(recordings, seed):
        others = np.setdiff1d(np.arange(len(recordings)), rows).tolist()
        known = [recordings[index] for index in others]
        prompts = [one.prompt for one in known]
        answers = [one.local.text for one in known] if kind == "answer" else None
        prior = fit_prior(kind, prompts, benefit[others], answers, seed=seed)
        scores[rows] = predict(prior, [recordings[index] for index in rows.tolist()])
    return scores


def measure(
    folder: Path, *, quick: bool
) -> tuple[dict[str, Figure], dict[str, Floats], list[Recording]]:
    """APGR and CPT50 of each way, its scores for the plots, and the outcomes."""
    recordings = read(folder, 400 if quick else None)
    outcomes = to_outcomes(recordings)
    local, cloud = outcomes.local_correct, np.asarray(outcomes.cloud_correct)
    scores: dict[str, Floats] = {
        "prompt length alone": -np.array([float(len(one.prompt)) for one in recordings])
    }
    for kind in ("query", "answer"):
        print(f"{FILE}: {kind}", file=sys.stderr, flush=True)
        scores[kind] = text_scores(recordings, kind)
    figures = {
        f"gsm8k: {name}, APGR": _apgr(values, local, cloud, GOALS[name])
        for name, values in scores.items()
    }
    for name, values in scores.items():
        share = deferral_curve(values, local, cloud).share_for_gap(0.5)
        figures[f"gsm8k: {name}, CPT50"] = Figure(share or 1.0, "of requests")
    best = oracle_curve(local, cloud).apgr() or 0.5
    detector = detector_curve(local, cloud).apgr() or 0.5
    figures["gsm8k: perfect detector of wrong answers, APGR"] = Figure(detector, "APGR")
    figures["gsm8k: oracle, APGR"] = Figure(best, "APGR")
    own = figures["gsm8k: answer, APGR"].value
    figures["gsm8k: answer, of the oracle's"] = Figure(
        normalised_apgr(own, best) or 0.0, "of the oracle's lead"
    )
    return figures, scores, recordings


def _apgr(scores: Floats, local: Floats, cloud: Floats, goal: float | None) -> Figure:
    def apgr(rows: Indices) -> float | None:
        return deferral_curve(scores[rows], local[rows], cloud[rows]).apgr()

    found = bootstrap(apgr, len(scores), resamples=RESAMPLES)
    assert found is not None
    return to_figure(found, goal, "APGR")
