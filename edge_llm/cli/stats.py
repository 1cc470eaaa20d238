"""`edge-llm stats`: how the arms of a running comparison do, and how often the cloud agrees."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from edge_llm.cli.table import print_json, print_table
from edge_llm.config import load_config, state_folder
from edge_llm.runtime.comparing import ArmSummary, ShadowSummary, summarise_arms, summarise_shadows
from edge_llm.runtime.observations import read_answers, read_shadows


def print_stats(config_file: str | None, *, as_json: bool) -> None:
    """Print the arms with means and intervals that hold at any time, and the shadow requests.

    Raises:
        ConfigError: the configuration cannot be read.
        StoreError: what is written down cannot be read.
    """
    folder = state_folder(load_config({"config_file": config_file}))
    arms = summarise_arms(read_answers(folder))
    shadows = summarise_shadows(read_shadows(folder))
    if as_json or not sys.stdout.isatty():
        print_json(
            {
                "arms": [one.to_dict() for one in arms],
                "shadows": [one.to_dict() for one in shadows],
            }
        )
        return
    if not arms and not shadows:
        print("nothing is written down: set confidence.arms or confidence.shadow_share")
    if arms:
        _print_arms(arms)
    if shadows:
        _print_shadows(shadows)


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
