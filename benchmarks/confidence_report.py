"""The report of `bench_confidence`: tables in Markdown, with the curves beside them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.confidence_signals import COMBINED, MIXES
from benchmarks.plots import open_pyplot, save_plot
from benchmarks.report import Figure, machine
from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.evaluate.curves import diagrams
from edge_llm.evaluate.plots import can_plot, write_plots

REPORT = "README.md"


def draw_curves(folder: Path, scores: Floats, confidence: Floats, outcomes: Outcomes) -> None:
    """The four curves of one score, as SVG."""
    if not can_plot():
        print("no plots: matplotlib is not installed (the extra `calibrate`)")
        return
    for path in write_plots(diagrams(scores, confidence, outcomes), folder):
        if path.suffix == ".png":
            path.unlink()


def draw_signals(figures: Mapping[str, Figure], models: Sequence[str], path: Path) -> None:
    """AUROC of every signal on each mix: one panel a mix, one bar a model file."""
    pyplot = open_pyplot()
    if pyplot is None:
        return
    names = signal_names(figures)
    figure, panels = pyplot.subplots(1, len(MIXES), figsize=(11, 5), sharey=True)
    height = 0.8 / len(models)
    for axes, mix in zip(panels, MIXES, strict=True):
        for number, model in enumerate(models):
            found = [figures.get(f"{model}, {mix}: {name}") for name in names]
            values = [np.nan if one is None else one.value for one in found]
            errors = [0.0 if one is None or one.spread is None else one.spread for one in found]
            places = np.arange(len(names)) + height * (number - (len(models) - 1) / 2)
            axes.barh(places, values, height, xerr=errors, label=model)
        axes.axvline(0.5, color="grey", lw=1)
        axes.set_xlim(0.3, 1.0)
        axes.set_title(mix)
        axes.set_xlabel("AUROC, right against wrong")
        axes.grid(alpha=0.3, axis="x")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    save_plot(figure, panels[-1], path)


def signal_names(figures: Mapping[str, Figure]) -> list[str]:
    """All signals that were measured anywhere, the combined score first."""
    found = dict.fromkeys(name.partition(": ")[2] for name in figures if ": " in name
                          and name.partition(", ")[2].partition(": ")[0] in MIXES)  # fmt: skip
    own = [name for name in found if name != COMBINED and " over " not in name]
    return [COMBINED, *own]


def write_report(
    folder: Path, figures: Mapping[str, Figure], models: Sequence[str], command: str
) -> None:
    """The tables, dated, with the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    here = machine()
    parts = [
        "# How sure the built-in model is, and what that is worth",
        "",
        f"{time.strftime('%Y-%m-%d')}, {here['cores']} cores of {here['cpu']}:",
        f"`{command}`.",
        "Intervals are 95 %. Home and noisy home are test lines of the grammar, the latter with",
        "15 % word errors; out of domain are sentences that no answer of this model serves.",
        "",
        "## Goals",
        "",
        *_goals(figures),
        "",
        "## Signal by signal",
        "",
        "![AUROC of every signal](signals.svg)",
        "",
    ]
    for mix in MIXES:
        parts += [f"### {mix}", "", *_signals(figures, models, mix), ""]
    parts += ["## Everything else", "", *_others(figures), "", *_curves(folder)]
    (folder / REPORT).write_text("\n".join(parts) + "\n", encoding="utf-8")


def _goals(figures: Mapping[str, Figure]) -> list[str]:
    rows = ["| | measured | goal | |", "| --- | --- | --- | --- |"]
    for name, one in figures.items():
        if one.goal is not None:
            met = "met" if one.met else "**missed**"
            rows.append(f"| {name} | {_value(one)} | {one.goal:g} | {met} |")
    return rows


def _signals(figures: Mapping[str, Figure], models: Sequence[str], mix: str) -> list[str]:
    rows = ["| signal | " + " | ".join(models) + " |", "| --- |" + " --- |" * len(models)]
    for name in signal_names(figures):
        found = [figures.get(f"{model}, {mix}: {name}") for model in models]
        if any(found):
            cells = " | ".join("" if one is None else _value(one) for one in found)
            rows.append(f"| {name} | {cells} |")
    return rows


def _others(figures: Mapping[str, Figure]) -> list[str]:
    rows = ["| | measured |", "| --- | --- |"]
    for name, one in figures.items():
        is_signal = name.partition(", ")[2].partition(": ")[0] in MIXES
        if one.goal is None and not is_signal:
            rows.append(f"| {name} | {_value(one)} {one.unit} |")
    return rows


def _curves(folder: Path) -> list[str]:
    lines = []
    for path in sorted(folder.glob("*/*.svg")):
        place = path.relative_to(folder).as_posix()
        lines += [f"![{path.parent.name}, {path.stem}]({place})", ""]
    return lines


def _value(one: Figure) -> str:
    text = f"{one.value:.4g}" if abs(one.value) >= 0.0005 or one.value == 0 else f"{one.value:.1e}"
    if one.spread is not None and one.unit in ("AUROC", "APGR", "debiased ECE", "of splits"):
        text = f"{one.value:.3f} ± {one.spread:.3f}"
    return text
