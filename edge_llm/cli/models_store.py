"""`edge-llm models rm | export | import`: what happens to pulled models."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from edge_llm.cli.models_installed import describe_pulled
from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json
from edge_llm.device.memory import describe_bytes
from edge_llm.errors import (
    ConfigError,
    ModelNotFoundError,
    ModelNotInstalledError,
)
from edge_llm.hub.imports import forget_import
from edge_llm.hub.manage import (
    export_model,
    import_folder,
    remove_model,
    remove_partials,
)
from edge_llm.hub.reference import ModelReference, parse_reference
from edge_llm.hub.registry import repositories
from edge_llm.hub.resolve import find_pulled


def remove(reference: str, *, yes: bool, as_json: bool) -> None:
    """Remove one model after asking.

    Raises:
        ConfigError: there is nobody to ask, and no `--yes`.
        ModelError: it is not here, or cannot be removed.
    """
    parsed = parse_listed(reference)
    if parsed.kind == "import":
        forget_import(parsed.name)
        _say(as_json, {"removed": parsed.name, "freed_bytes": 0}, f"forgot {parsed.name}")
        return
    try:
        model = find_pulled(parsed)
    except ModelNotInstalledError:
        freed = sum(remove_partials(repo) for repo in repositories(parsed))
        if not freed:
            raise
        text = f"removed what had arrived of {reference}, {describe_bytes(freed)}"
        _say(as_json, {"removed": reference, "freed_bytes": freed}, text)
        return
    size = describe_bytes(model.num_bytes)
    command = f"edge-llm models rm {shlex.quote(reference)} --yes"
    if not yes and not _agreed(f"remove {model.reference}, {size}?", command):
        print("nothing was removed", file=sys.stderr)
        return
    freed = remove_model(model)
    _say(
        as_json,
        {"removed": model.reference, "freed_bytes": freed},
        f"removed {model.reference}, {describe_bytes(freed)} freed",
    )


def export(reference: str, folder: str, *, as_json: bool) -> None:
    """Copy a pulled model into a new folder.

    Raises:
        ModelError: it is not here, is damaged, or cannot be written there.
    """
    parsed = parse_listed(reference)
    if parsed.kind == "import":
        raise ModelNotFoundError(
            f"{reference!r} belongs to another program",
            hint="copy it there, or pull the model and export that",
        )
    model = find_pulled(parsed)
    target = Path(folder).expanduser().absolute()
    progress = Progress("copying")
    size = export_model(model, target, progress.show)
    progress.clear()
    _say(
        as_json,
        {"model": model.reference, "folder": str(target), "bytes": size},
        f"{model.reference}, {describe_bytes(size)}, is in {target}\n"
        f"on the other machine: edge-llm models import {shlex.quote(target.name)}",
    )


def import_exported(source: str, *, as_json: bool) -> None:
    """Take in an exported folder.

    Raises:
        ModelError: it is none, is damaged, or cannot be written.
    """
    progress = Progress("copying")
    model = import_folder(Path(source).expanduser().absolute(), progress.show)
    progress.clear()
    _say(
        as_json,
        describe_pulled(model),
        f"{model.reference} is here\nask it: edge-llm chat -m {model.reference}",
    )


def parse_listed(reference: str) -> ModelReference:
    """A reference to a model that `edge-llm models` lists as pulled or imported.

    Raises:
        ModelReferenceError: it has no form that a model can have.
        ModelNotFoundError: it is the built-in one, or a path.
    """
    parsed = parse_reference(reference)
    if parsed.kind in ("builtin", "path"):
        raise ModelNotFoundError(
            f"{reference!r} was not pulled",
            hint="this is for models that 'edge-llm models' lists",
        )
    return parsed


def _say(as_json: bool, record: dict[str, Any], text: str) -> None:
    if as_json or not sys.stdout.isatty():
        print_json(record)
    else:
        print(text)


def _agreed(question: str, command: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("there is nobody to ask", hint=command)
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


class Progress:
    """One line on standard error that is rewritten, where somebody looks at it."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._is_shown = sys.stderr.isatty()

    def show(self, name: str, done: int, total: int) -> None:
        """Say how far one file is."""
        if self._is_shown:
            share = f"{100 * done // max(total, 1)} %"
            sys.stderr.write(f"\r\x1b[K{self._verb} {printable(name)} {share}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
