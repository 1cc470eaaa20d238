"""Draws measured curves as small SVG files; needs the `bench` extra, and says so without it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Figure
from benchmarks.scaling import SEQUENCES, Scaling

PLOTS = Path(__file__).parent / "plots"


def draw_scaling(found: Scaling, folder: Path = PLOTS) -> None:
    """Tokens per second against sequences: ours, the peer, and the two ceilings."""
    pyplot = open_pyplot()
    if pyplot is None:
        return
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for label, rates in (("edge-llm, with statistics", found.ours), ("batched-bench", found.peer)):
        middle = [statistics.median(rates[n]) for n in SEQUENCES]
        spread = _spread([rates[n] for n in SEQUENCES], middle)
        axes.errorbar(SEQUENCES, middle, yerr=spread, marker="o", capsize=3, label=label)
    limits = [found.memory_limit[n] for n in SEQUENCES]
    axes.plot(SEQUENCES, limits, "--", color="grey", label="memory: bandwidth / bytes of a step")
    axes.axhline(found.compute_limit, ls=":", color="black", label="arithmetic: rate of a prompt")
    axes.set_xscale("log", base=2)
    axes.set_xticks(SEQUENCES, [str(n) for n in SEQUENCES])
    axes.set_ylim(0, 1.25 * found.compute_limit)
    axes.set_xlabel("sequences that speak together")
    axes.set_ylabel("tokens per second, all together")
    axes.set_title("Decoding a random 0.5B, Q4_0")
    save_plot(figure, axes, folder / "scaling.svg")


def draw_pacing(
    figures: Mapping[str, Figure], slowdowns: Sequence[float], folder: Path = PLOTS
) -> None:
    """The prompt's rate against the gap of those who speak, one point for each setting."""
    pyplot = open_pyplot()
    if pyplot is None:
        return
    figure, axes = pyplot.subplots(figsize=(6, 4))
    gaps = [figures[f"pacing.{slowdown:g}.gap_p95"].value for slowdown in slowdowns]
    rates = [figures[f"pacing.{slowdown:g}.prompt_rate"].value for slowdown in slowdowns]
    axes.plot(gaps, rates, marker="o")
    for slowdown, gap, rate in zip(slowdowns, gaps, rates, strict=True):
        axes.annotate(f"{slowdown:g}", (gap, rate), xytext=(5, -10), textcoords="offset points")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("gap of a speaking sequence, p95, to its gap alone")
    axes.set_ylabel("rate of the arriving prompt, to its rate alone")
    axes.set_title("max_decode_slowdown: silence against progress")
    save_plot(figure, axes, folder / "pacing.svg")


def _spread(repeats: Sequence[Sequence[float]], middle: Sequence[float]) -> list[list[float]]:
    """Distances from the middle to the least and to the greatest."""
    below = [m - min(values) for values, m in zip(repeats, middle, strict=True)]
    above = [max(values) - m for values, m in zip(repeats, middle, strict=True)]
    return [below, above]


def open_pyplot() -> Any:
    """The drawing library without a window; None, said aloud, where it is not installed."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("no plot: matplotlib is not installed (the extra `bench`)", file=sys.stderr)
        return None
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "edge-llm", "svg.fonttype": "none"})
    from matplotlib import pyplot

    return pyplot


def save_plot(figure: Any, axes: Any, path: Path) -> None:
    """Write a figure in the style of all of ours."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    print(f"drawn: {path}", file=sys.stderr)
