"""Figures and curves for people, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_llm.cli.drawing import print_diagram
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Goal
from edge_llm.evaluate.curves import diagrams

if TYPE_CHECKING:
    from edge_llm.cli.evaluation.obtain import Obtained
    from edge_llm.evaluate.comparing import Compared
    from edge_llm.evaluate.fitting import Fitted


def show_fitted(found: Fitted, obtained: Obtained) -> None:
    """The certificate, the figures of the score, and its curves."""
    _print_table(("", ""), [*_numbers(found, obtained), *_quality(found)])
    for diagram in diagrams(found.scores, found.confidence, found.held_out):
        print()
        print_diagram(diagram)
    print()


def describe_goal(goal: Goal) -> str:
    """What is promised, in words."""
    if isinstance(goal, AccuracyLoss):
        text = f"lose at most {goal.epsilon:.1%} accuracy against always asking the cloud"
    else:
        text = (
            f"at most {goal.alpha:.1%} of kept answers wrong, with probability {1 - goal.delta:g}"
        )
    if goal.budget is None:
        return text
    if goal.budget.escalation_rate is not None:
        text += f", at most {goal.budget.escalation_rate:.0%} escalated"
    if goal.budget.usd_per_request is not None:
        text += f", at most ${goal.budget.usd_per_request:g} a request"
    return text


def _numbers(found: Fitted, obtained: Obtained) -> list[tuple[str, str]]:
    num_held_out = len(found.held_out)
    rows = [
        ("goal", describe_goal(found.found.goal)),
        ("questions", f"{len(obtained.recordings)}: {len(obtained.recordings) - num_held_out}"
                      f" to fit, {num_held_out} to certify"),
    ]  # fmt: skip
    if obtained.num_missing:
        rows.append(("not answered", f"{obtained.num_missing}; the same command tries them again"))
    if obtained.spent_usd:
        rows.append(("spent", f"${obtained.spent_usd:.4f}"))
    match found.found:
        case Certificate() as certificate:
            rows.append(("stays local", f"{certificate.kept_share:.1%} of requests"))
            rows.append(("measured / certified",
                         f"{certificate.risk:.2%} / {certificate.risk_bound:.2%}"))  # fmt: skip
            if certificate.cost_usd_per_request:
                cost = 1000 * certificate.cost_usd_per_request
                rows.append(("cost", f"${cost:.3g} for 1,000 requests"))
            if certificate.assumes_cloud_is_right:
                rows.append(("assumed", "the cloud is always right: it was not asked"))
        case Infeasible() as infeasible:
            rows.append(("NOT feasible", infeasible.reason))
            rows += [("what would help", advice) for advice in infeasible.advice]
    return rows


def _quality(found: Fitted) -> list[tuple[str, str]]:
    quality = found.quality
    rows = [
        ("right, local", f"{quality.local_accuracy:.1%}"),
        ("right, cloud", _percent(quality.cloud_accuracy)),
        ("AUROC, wrong", _number(quality.auroc_wrong)),
        ("AUROC, gain", _number(quality.auroc_gain)),
        ("APGR", _number(quality.apgr)),
        ("  of the oracle's", _percent(quality.apgr_normalised)),
        ("calibration error", f"{found.ece:.3f} (debiased, adaptive)"),
        ("Brier score", f"{found.brier:.3f}"),
    ]
    if found.length is not None:
        told = [_number(one) or "-" for one in (found.length.when_right, found.length.when_wrong)]
        rows.append(("with length, right / wrong", f"{told[0]} / {told[1]} (rank correlation)"))
    rows += [(f"share for {level:.0%} of the gap", _percent(share))
             for level, share in quality.cpt.items()]  # fmt: skip
    rows += [(f"share for {level:.0%} of the cloud", _percent(share))
             for level, share in quality.handoff.items()]  # fmt: skip
    return [(name, value) for name, value in rows if value]


def show_compared(found: Sequence[Compared]) -> None:
    """Configurations side by side."""
    titles = ("", "right", "95 %", "to cloud only", "95 %", "escalated", "$ / 1,000", "saved",
              "p50", "p95")  # fmt: skip
    _print_table(titles, [_row(one) for one in found])
    for one in found:
        if one.note:
            print(f"{one.name}: {one.note}")


def _row(one: Compared) -> tuple[str, ...]:
    gap = one.difference
    return (
        one.name,
        f"{one.accuracy.value:.1%}",
        f"{one.accuracy.low:.1%} to {one.accuracy.high:.1%}",
        "" if gap is None else f"{100 * gap.value:+.1f}",
        "" if gap is None else f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}",
        f"{one.escalated:.0%}",
        f"{one.usd_per_1000:.3g}",
        "" if one.saved is None else f"{one.saved:.0%}",
        _seconds(one.latency_p50_s),
        _seconds(one.latency_p95_s),
    )


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD if any(titles) else None, show_header=any(titles), pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number and any(titles) else "left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.0f} ms"
