"""`edge-llm inspect`: what a model is, what it needs here, and what would run where.

Reads files and loads nothing, unless asked to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_llm.backends import load_backend
from edge_llm.cli.inspect_calibrations import describe_calibrations
from edge_llm.cli.inspect_parts import Record, describe_placement, describe_threads
from edge_llm.config import EdgeConfig, load_config
from edge_llm.errors import ModelNotInstalledError
from edge_llm.hub.reference import parse_reference
from edge_llm.hub.resolve import resolve_model


def run(model: str | None, options: Mapping[str, Any], *, load: bool, as_json: bool) -> None:
    """Print what is known of a model: a table on a terminal, else one JSON object.

    Raises:
        ModelError: the file cannot be read, or with `load`, not be run.
        ConfigError: an option is wrong.
    """
    given = {"model": model, **options}
    config = load_config({name: value for name, value in given.items() if value is not None})
    # Raises first where it is not here: what is not on this machine cannot be loaded.
    path = resolve_model(config.model).path if load else None
    record = inspect_model(config)
    if path is not None:
        record |= inspect_loaded(path, config)
    if as_json or not sys.stdout.isatty():
        print(json.dumps(record, ensure_ascii=False))
    else:
        from edge_llm.cli.inspect_show import show

        show(record)


def inspect_model(config: EdgeConfig) -> Record:
    """What the files of the configured model say, and what this machine makes of it.

    A model that is not here is read where it is, on the hub, from its header alone.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        reference = resolve_model(config.model)
    except ModelNotInstalledError:
        from edge_llm.cli.inspect_remote import inspect_remote

        return inspect_remote(parse_reference(config.model), config)
    path = reference.path
    head: Record = {"model": reference.name, "source": "file", "path": str(path)}
    return head | _inspect_file(path, config) | describe_calibrations(reference, config)


def _inspect_file(path: Path, config: EdgeConfig) -> Record:
    # Imported here: who looks at one kind of file never loads the other's library.
    if path.suffix == ".onnx" or path.is_dir():
        from edge_llm.cli.inspect_onnx import inspect_onnx

        return inspect_onnx(path, config)
    from edge_llm.cli.inspect_gguf import inspect_gguf
    from edge_llm.hub.gguf import read_gguf

    siblings = [p.name for p in path.parent.glob("*.gguf")]
    return inspect_gguf(read_gguf(path), config, siblings)


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
