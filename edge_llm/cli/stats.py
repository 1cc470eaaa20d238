"""`edge-llm stats`: how the arms of a running comparison do, and how often the cloud agrees."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json, print_table
from edge_llm.config import load_config, state_folder
from edge_llm.runtime.comparing import (
    ArmSummary,
    ShadowSummary,
    compare_arms,
    summarise_arms,
    summarise_shadows,
)
from edge_llm.runtime.observations import read_answers, read_shadows, read_states


def print_stats(config_file: str | None, *, as_json: bool) -> None:
    """Print the arms with means and intervals that hold at any time, and the shadow requests.

    Raises:
        ConfigError: the configuration cannot be read.
        StoreError: what is written down cannot be read.
    """
    folder = state_folder(load_config({"config_file": config_file}))
    answers = read_answers(folder)
    arms, verdicts = summarise_arms(answers), compare_arms(answers)
    learned = {name: json.loads(value) for name, value in read_states(folder)}
    shadows = summarise_shadows(read_shadows(folder))
    if as_json or not sys.stdout.isatty():
        print_json(
            {
                "arms": [one.to_dict() for one in arms],
                "verdicts": [one.to_dict() for one in verdicts],
                "calibrations": {name: _learned(state) for name, state in learned.items()},
                "shadows": [one.to_dict() for one in shadows],
            }
        )
        return
    if not arms and not shadows:
        print("nothing is written down: set confidence.arms or confidence.shadow_share")
    if arms:
        _print_arms(arms)
    for verdict in verdicts:
        low, high = verdict.kept_more
        print(f"{verdict.name}: {verdict.state}, keeps {low:+.1%} to {high:+.1%} more here")
    for name, state in learned.items():
        print(f"calibration {printable(name)}: {_describe(state)}")
    if shadows:
        _print_shadows(shadows)


def _learned(state: Mapping[str, Any]) -> dict[str, Any]:
    told = ("has_drifted", "drift_e_value", "threshold", "certified_threshold")
    return {name: state.get(name) for name in told}


def _describe(state: Mapping[str, Any]) -> str:
    told = "no drift so far"
    if state.get("has_drifted"):
        told = "requests are no longer like those it was made with; calibrate again"
    now, certified = state.get("threshold"), state.get("certified_threshold")
    if now is not None and certified is not None and now > certified:
        told += f"; losses raised its threshold from {certified:.3f} to {min(now, 1.0):.3f}"
    return told


def _print_arms(arms: Sequence[ArmSummary]) -> None:
    titles = ("arm", "share", "answers", "escalated", "cost", "seconds", "agreement")
    print_table(titles, [_arm_row(one) for one in arms])


def _arm_row(arm: ArmSummary) -> tuple[str, ...]:
    low, high = arm.escalated_interval
    return (
        arm.name,
        f"{arm.propensity:.0%}",
        str(arm.num_answers),
        f"{arm.escalated:.1%} ({low:.1%} to {high:.1%})",
        f"${arm.cost_usd:.6f}",
        f"{arm.e2e_s:.2f}",
        _agreement(arm.agreement, arm.agreement_interval, arm.num_shadows),
    )


def _print_shadows(shadows: Sequence[ShadowSummary]) -> None:
    titles = ("model", "task", "checked", "agreement", "cost")
    rows = [
        (
            one.model,
            one.task,
            str(one.count),
            _agreement(one.agreement, one.interval, one.count),
            f"${one.cost_usd:.6f}",
        )
        for one in shadows
    ]
    print_table(titles, rows)


def _agreement(mean: float | None, interval: Any, count: int) -> str:
    if mean is None:
        return "not checked"
    return f"{mean:.1%} ({interval[0]:.1%} to {interval[1]:.1%}) of {count}"
