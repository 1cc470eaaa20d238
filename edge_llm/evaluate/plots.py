"""Diagrams as SVG and PNG files: the door to matplotlib, which the extra `calibrate` brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_llm.errors import ConfigError
from edge_llm.evaluate.curves import Diagram

FORMATS = ("svg", "png")
HINT = "pip install 'edge-llm[calibrate]'"


def can_plot() -> bool:
    """Whether matplotlib is here."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def write_plots(diagrams: Sequence[Diagram], folder: Path) -> list[Path]:
    """One SVG and one PNG file for each diagram.

    Raises:
        ConfigError: matplotlib is not here, or the files cannot be written.
    """
    if not can_plot():
        raise ConfigError("plots need matplotlib", hint=HINT)
    from matplotlib.figure import Figure

    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for diagram in diagrams:
            figure = Figure(figsize=(6, 4.2), layout="constrained")
            _draw(figure, diagram)
            for suffix in FORMATS:
                path = folder / f"{diagram.name}.{suffix}"
                _save(figure, path)
                written.append(path)
    except OSError as exc:
        raise ConfigError(f"{str(folder)!r} cannot be written: {exc.strerror or exc}") from exc
    return written


def _draw(figure: Any, diagram: Diagram) -> None:
    axes = figure.subplots()
    for line in diagram.lines:
        style: dict[str, Any] = {"lw": 2.0}
        if line.is_reference:
            dashes = ":" if line.label == "random" else "--"
            style = {"lw": 1.0, "ls": dashes, "color": "grey"}
        marker = "o" if len(line.x) <= 20 and not line.is_reference else None
        axes.plot(line.x, line.y, label=line.label, marker=marker, **style)
    axes.set_title(diagram.title)
    axes.set_xlabel(diagram.x_label)
    axes.set_ylabel(diagram.y_label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    # The same figures give the same file: no date, no random identifiers.
    settings = {"svg.hashsalt": "edge-llm", "svg.fonttype": "none"}
    with matplotlib.rc_context(settings):
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=120, metadata=metadata)
