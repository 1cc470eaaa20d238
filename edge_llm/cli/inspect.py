"""`edge-llm inspect`: what a model is, what it needs here, and what would run where.

Reads files and loads nothing, unless asked to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_llm.backends import load_backend
from edge_llm.cli.inspect_parts import Record, describe_placement, describe_threads
from edge_llm.cli.output import printable
from edge_llm.config import EdgeConfig, load_config
from edge_llm.device.memory import describe_bytes
from edge_llm.hub.resolve import resolve_model


def run(model: str | None, options: Mapping[str, Any], *, load: bool, as_json: bool) -> None:
    """Print what is known of a model: a table on a terminal, else one JSON object.

    Raises:
        ModelError: the file cannot be read, or with `load`, not be run.
        ConfigError: an option is wrong.
    """
    given = {"model": model, **options}
    config = load_config({name: value for name, value in given.items() if value is not None})
    record = inspect_model(config)
    if load:
        record |= inspect_loaded(Path(record["path"]), config)
    if as_json or not sys.stdout.isatty():
        print(json.dumps(record, ensure_ascii=False))
    else:
        show(record)


def inspect_model(config: EdgeConfig) -> Record:
    """What the files of the configured model say, and what this machine makes of it.

    Raises:
        ModelError: the file cannot be read.
    """
    reference = resolve_model(config.model)
    path = reference.path
    head: Record = {"model": reference.name, "path": str(path)}
    # Imported here: who looks at one kind of file never loads the other's library.
    if path.suffix == ".onnx" or path.is_dir():
        from edge_llm.cli.inspect_onnx import inspect_onnx

        return head | inspect_onnx(path, config)
    from edge_llm.cli.inspect_gguf import inspect_gguf

    return head | inspect_gguf(path, config)


def inspect_loaded(path: Path, config: EdgeConfig) -> Record:
    """What loading the model decides.

    Raises:
        ModelError: it cannot be run here.
    """
    backend = load_backend(path, config)
    try:
        info, capabilities = backend.info, backend.capabilities
        found: Record = {"loaded": asdict(capabilities)}
        if info.threads is not None:
            found["threads"] = describe_threads(info.threads)
        if info.placement is not None:
            found["placement"] = describe_placement(info.placement)
        return found
    finally:
        backend.close()


def show(record: Mapping[str, Any]) -> None:
    """The record as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows(record):
        table.add_row(Text(name), Text(printable(text)))
    Console().print(table)


def rows(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Lines of a table: one for each value, and one for each inner list."""
    for name, value in record.items():
        label = f"{prefix}{name.removesuffix('_bytes').replace('_', ' ')}"
        if isinstance(value, Mapping) and any(
            isinstance(v, Mapping | list) for v in value.values()
        ):
            yield from rows(value, f"{label}: ")
        elif isinstance(value, Mapping):
            parts = [f"{_label(n)} {_text(n, v)}" for n, v in value.items() if v not in (None, "")]
            yield label, ", ".join(parts) or "none"
        else:
            yield label, _text(name, value)


def _label(name: str) -> str:
    return name.removesuffix("_bytes").replace("_", " ")


def _text(name: str, value: object) -> str:
    if value is None or value == "":
        return "none" if name == "problem" else "not said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return describe_bytes(value) if name.endswith("_bytes") else f"{value:,}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text("", item) for item in value) or "none"
    return str(value)
