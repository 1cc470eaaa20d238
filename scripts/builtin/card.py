"""Writes the model card from what a run and its evaluation measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.builtin.domain import HOME, load_domain
from scripts.builtin.generator import group_patterns

_TEMPLATE = Path(__file__).parent / "card.md"
_SUITES = (
    ("test patterns", "lines of the grammar that training never has"),
    ("test patterns, 15 % word errors", "the same, heard or typed badly"),
    ("trained patterns", "lines of training with other names"),
    ("trained patterns, 15 % word errors", "the same, heard or typed badly"),
    ("unseen names", "words and syllables that training never has"),
    ("two commands", "in one sentence"),
    ("three commands", "in one sentence"),
    ("listed home", "a system prompt lists areas and devices"),
    ("follow-ups and corrections", "`and the lamp too`, `no, the bedroom`"),
    ("what the home lacks", "a listed home without it: unsure"),
    ("without a tool for it", "tools are offered, not the one: unsure"),
    ("small talk and time", "the very words"),
    ("tool results", "`Done.` or what went wrong"),
    ("out of scope, test lines", "unsure"),
)


def write_card(result: Path, run_dir: Path, path: Path) -> None:
    """Fills the template with the figures in `result`, the last line of the benchmark."""
    last = result.read_text(encoding="utf-8").strip().splitlines()[-1]
    record: dict[str, Any] = json.loads(last)
    summary: dict[str, Any] = json.loads((run_dir / "summary.json").read_text())
    figures: dict[str, Any] = record["figures"]
    domain = load_domain(HOME)
    grammar = domain.grammar
    runs = _runs(summary)
    num_trained = sum(map(len, group_patterns(domain, held_out=False).values()))
    text = _TEMPLATE.read_text(encoding="utf-8")
    values = {
        "version": domain.about.version,
        "parameters": f"{summary['parameters']:,}",
        "size_mb": f"{_size(path.parent / 'edge-llm-builtin-q8_0.gguf') / 1e6:.1f}",
        "half_mb": f"{_size(path.parent / 'edge-llm-builtin-f16.gguf') / 1e6:.1f}",
        "onnx_mb": f"{_folder_size(path.parent / 'onnx') / 1e6:.1f}",
        "sha256": _sha256(path.parent / "edge-llm-builtin-q8_0.gguf"),
        "suites": "\n".join(_suite_row(name, what, figures) for name, what in _SUITES),
        "goals": "\n".join(_goal_row(name, fig) for name, fig in figures.items() if fig["goal"]),
        "knowing": "\n".join(
            _plain_row(name, fig) for name, fig in figures.items() if fig["unit"] == "AUROC"
        ),
        "formats": "\n".join(
            _plain_row(name, figures[name])
            for name in figures
            if name.endswith((": lost", "F16: exact", "Q8_0: exact", "ONNX: exact"))
        ),
        "speed": "\n".join(
            _plain_row(name, fig) for name, fig in figures.items() if name.endswith("one core")
        ),
        "cpu": record["machine"]["cpu"],
        "num_patterns": f"{num_trained:,}",
        "num_held_out": f"{len(grammar.patterns) - num_trained:,}",
        "num_refused": f"{sum(map(len, grammar.refused.values())):,}",
        "steps": f"{sum(run['step'] for run in runs):,}",
        "tokens_m": f"{sum(run['tokens'] for run in runs) / 1e6:.1f}",
        "minutes": f"{sum(run['elapsed_s'] for run in runs) / 60:.0f}",
        "runs": "one run"
        if len(runs) == 1
        else f"{len(runs)} runs, each from the weights of the last",
        "commands": _commands(summary),
        "loss": f"{summary['loss']:.4f}",
        "seed": str(summary["seed"]),
        "data_sha256": summary["data_sha256"],
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    path.write_text(text, encoding="utf-8")


def _runs(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A run, after those whose weights it began with."""
    before = summary.get("started_from")
    return [*(_runs(before) if before else []), summary]


def _commands(summary: Mapping[str, Any]) -> str:
    """What to type to train so long again."""
    lines = []
    for number, run in enumerate(_runs(summary)):
        line = f"scripts/train-builtin --seed {run['seed']} --minutes {run['elapsed_s'] / 60:.0f}"
        line += f" --run-dir build/run{number}"
        if number:
            line += f" --start-from build/run{number - 1}"
        lines.append(line + f" --learning-rate {run.get('learning_rate', 3e-3):g}")
    return "\n".join(lines)


def _suite_row(name: str, what: str, figures: Mapping[str, Any]) -> str:
    fig = figures[f"{name}: exact"]
    return f"| {name} | {what} | {_percent(fig)} |"


def _goal_row(name: str, fig: Mapping[str, Any]) -> str:
    goal = fig["goal"]
    text = f"{goal:g} {fig['unit']}" if fig["unit"] != "share" else f"{100 * goal:g} %"
    return f"| {name} | {_value(fig)} | {text} | {'yes' if fig['met'] else '**no**'} |"


def _plain_row(name: str, fig: Mapping[str, Any]) -> str:
    return f"| {name} | {_value(fig)} |"


def _value(fig: Mapping[str, Any]) -> str:
    if fig["unit"] == "share":
        return _percent(fig)
    if fig["unit"] == "AUROC":
        return f"{fig['value']:.3f} ± {fig['spread']:.3f}"
    return f"{fig['value']:.3g} {fig['unit']}"


def _percent(fig: Mapping[str, Any]) -> str:
    return f"{100 * fig['value']:.1f} % ± {100 * (fig['spread'] or 0):.1f}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
