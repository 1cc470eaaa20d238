"""`edge-llm models verify`: hash what is here again, pulled and imported alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from edge_llm.cli.inspect_parts import Record
from edge_llm.cli.models_installed import describe_pulled
from edge_llm.cli.models_store import Progress, parse_listed
from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json, print_table
from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ModelError, ModelIntegrityError
from edge_llm.hub.import_records import ImportedModel, list_imports
from edge_llm.hub.imports import find_import, verify_import
from edge_llm.hub.installed import InstalledModel, installed_models
from edge_llm.hub.manage import FileCheck, verify_model
from edge_llm.hub.resolve import find_pulled

DAMAGED = "damaged"


def run(reference: str | None, *, as_json: bool) -> None:
    """Hash one model again, or all.

    Raises:
        ModelIntegrityError: a file is not what was promised, or is gone.
        ModelError: the model is not here, or cannot be read.
    """
    progress = Progress("checking")
    try:
        records = [
            _check_import(model, progress)
            if isinstance(model, ImportedModel)
            else _check_pulled(model, progress)
            for model in _meant(reference)
        ]
    finally:
        progress.clear()
    _print(records, as_json=as_json)
    damaged = [record for record in records if record["state"] == DAMAGED]
    if damaged:
        raise ModelIntegrityError(
            f"{len(damaged)} of {len(records)} models are damaged",
            hint="; ".join(_again(record["reference"]) for record in damaged),
        )


def _meant(reference: str | None) -> Iterator[InstalledModel | ImportedModel]:
    if reference is None:
        yield from installed_models()
        yield from (model for model in list_imports() if isinstance(model, ImportedModel))
        return
    parsed = parse_listed(reference)
    yield find_import(parsed.name) if parsed.kind == "import" else find_pulled(parsed)


def _check_pulled(model: InstalledModel, progress: Progress) -> Record:
    found = verify_model(model, progress.show)
    files = [{"path": one.path, "bytes": one.num_bytes, "state": one.state} for one in found]
    return describe_pulled(model) | {"state": _state(found), "files": files}


def _check_import(model: ImportedModel, progress: Progress) -> Record:
    problem = None
    try:
        verify_import(model.name, lambda done, total: progress.show(model.name, done, total))
    except ModelError as error:
        problem = str(error)
    return {
        "reference": model.name,
        "source": "import",
        "bytes": model.num_bytes,
        "path": str(model.path),
        "state": DAMAGED if problem else "whole",
        "problem": problem,
    }


def _print(records: Sequence[Record], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        print_json({"models": list(records)})
        return
    if not records:
        print("no model was pulled or imported yet")
        return
    rows = [
        (printable(record["reference"]), describe_bytes(record["bytes"]), record["state"])
        for record in records
    ]
    print_table(("model", "size", "state"), rows)
    for record in records:
        if record.get("problem"):
            print(f"problem: {printable(record['problem'])}")


def _again(reference: str) -> str:
    if reference.startswith("hf:"):
        return f"edge-llm models rm {reference} --yes && edge-llm pull {reference}"
    return f"edge-llm models import {reference}"


def _state(found: Sequence[FileCheck]) -> str:
    states = {check.state for check in found}
    return next(state for state in (DAMAGED, "unknown", "whole") if state in states)
