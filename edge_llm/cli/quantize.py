"""`edge-llm quantize`: an ONNX model in fewer bits, and what that cost."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_llm.cli.table import print_json, print_table
from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ConfigError
from edge_llm.hub.onnx import find_model
from edge_llm.hub.resolve import resolve_model
from edge_llm.quantize import QuantizeOptions, QuantizeReport, quantize_onnx

_MAX_TEXT_BYTES = 64 << 20


def run(
    model: str,
    output: str | None,
    options: Mapping[str, Any],
    limits: Mapping[str, Any],
    *,
    text: str | None,
    as_json: bool,
) -> None:
    """Quantise, then print a table, or JSON into a pipe.

    Raises:
        ConfigError: a choice that cannot be met.
        ModelError: the model cannot be read, run or quantised, or the result was refused.
    """
    chosen = QuantizeOptions(**options)
    source = resolve_model(model).path
    target = Path(output).expanduser() if output else _beside(source, chosen)
    progress = _ProgressLine()
    try:
        report = quantize_onnx(
            source,
            target,
            chosen,
            text=None if text is None else _read_text(Path(text).expanduser()),
            report_progress=progress.show,
            **limits,
        )
    finally:
        progress.clear()
    if as_json or not sys.stdout.isatty():
        print_json(report.record())
    else:
        print_report(report)


def print_report(report: QuantizeReport) -> None:
    """Print size, speed and quality of both models in columns."""
    found = report.comparison
    before, after = found.source_speed, found.target_speed
    print_table(
        ("", "original", report.options.method),
        [
            ("size", describe_bytes(report.source_bytes), describe_bytes(report.target_bytes)),
            ("prefill, tok/s", f"{before.prefill:.0f}", f"{after.prefill:.0f}"),
            ("decode, tok/s", f"{before.decode:.0f}", f"{after.decode:.0f}"),
            ("perplexity", f"{found.source_perplexity:.4g}", f"{found.target_perplexity:.4g}"),
            ("KL divergence, nats", "", f"{found.kl_divergence:.2g}"),
            ("  99 of 100 below", "", f"{found.kl_divergence_p99:.2g}"),
            ("same likeliest token", "", f"{found.top1_agreement:.1%}"),
        ],
    )
    counts = ", ".join(f"{count} {name}" for name, count in report.counts().items())
    print(f"\n{found.num_tokens} tokens compared; matrices: {counts}")
    for note in report.notes():
        print(note)
    print(f"written to {report.target}")


class _ProgressLine:
    """One line on standard error that is rewritten, where somebody looks at it."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()

    def show(self, step: str, done: int, total: int) -> None:
        """Say what is being done and how far it is."""
        if self._is_shown:
            share = f" {done} of {total}" if total > 1 else ""
            sys.stderr.write(f"\r\x1b[K{step}{share}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _beside(source: Path, options: QuantizeOptions) -> Path:
    root = find_model(source).root.resolve()
    return root.with_name(f"{root.name}-{options.method}")


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_TEXT_BYTES).decode("utf-8", errors="replace")
    except OSError as exc:
        raise ConfigError(f"the text {str(path)!r} cannot be read: {exc.strerror}") from exc
