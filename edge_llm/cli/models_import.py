"""`edge-llm models import`: models of Ollama and LM Studio by name, or a folder from `export`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_llm.cli.inspect_parts import Record
from edge_llm.cli.models_store import Progress, import_exported
from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json, print_table
from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ModelError, ModelNotFoundError
from edge_llm.hub.foreign import (
    FOREIGN_PREFIXES,
    ForeignStore,
    find_stores,
    foreign_name,
    is_foreign,
    store_at,
    store_of,
)
from edge_llm.hub.import_records import ImportedModel, list_imports
from edge_llm.hub.imports import import_model

_PROGRAMS = tuple(prefix.rstrip(":") for prefix in FOREIGN_PREFIXES)


def run(source: str | None, *, store: str | None, as_json: bool) -> None:
    """Import one model, all models of a program, or a folder; without `source` list what could be.

    Raises:
        ModelError: there is no such model, it is damaged, or it cannot be run.
    """
    as_json = as_json or not sys.stdout.isatty()
    if source is not None and source not in _PROGRAMS and not is_foreign(source):
        import_exported(source, as_json=as_json)
        return
    stores = find_stores() if store is None else [store_at(Path(store).expanduser().absolute())]
    if source is None:
        _list(stores, as_json=as_json)
    elif is_foreign(source):
        name = foreign_name(source)
        _report([_import(name, store_of(name, stores))], as_json=as_json)
    else:
        _import_all(source, stores, as_json=as_json)


def _import_all(program: str, stores: Sequence[ForeignStore], *, as_json: bool) -> None:
    """Every model of one program; those that cannot be imported are named, the others are."""
    found = [
        (name, store) for store in stores if store.prefix == f"{program}:" for name in store.names()
    ]
    if not found:
        raise ModelNotFoundError(
            f"{program} has no model on this machine",
            hint="name its folder with --store, or OLLAMA_MODELS",
        )
    records = []
    for name, store in found:
        try:
            records.append(_import(name, store))
        except ModelError as error:
            records.append({"reference": name, "problem": str(error)})
    _report(records, as_json=as_json)
    if all(record["problem"] for record in records):
        raise ModelError(f"none of {len(records)} models of {program} can be used here")


def _import(name: str, store: ForeignStore) -> Record:
    progress = Progress("hashing")
    try:
        model = import_model(name, store, lambda done, total: progress.show(name, done, total))
    finally:
        progress.clear()
    return _describe(model)


def _describe(model: ImportedModel) -> Record:
    return {
        "reference": model.name,
        "bytes": model.num_bytes,
        "path": str(model.path),
        "sha256": model.files[0].sha256,
        "problem": None,
    }


def _report(records: Sequence[Record], *, as_json: bool) -> None:
    if as_json:
        print_json({"imported": list(records)})
        return
    for record in records:
        name = printable(record["reference"])
        if record["problem"]:
            print(f"not {name}: {printable(record['problem'])}")
        else:
            print(f"{name}, {describe_bytes(record['bytes'])}, stays in {record['path']}")
    whole = next((record for record in records if not record["problem"]), None)
    if whole is not None:
        print(f"ask it: edge-llm chat -m {shlex.quote(whole['reference'])}")


def _list(stores: Sequence[ForeignStore], *, as_json: bool) -> None:
    """What is in the stores, and what of it was imported."""
    here = {model.name for model in list_imports() if isinstance(model, ImportedModel)}
    records = [
        _preview(name, store) | {"imported": name in here}
        for store in stores
        for name in store.names()
    ]
    if as_json:
        folders = [str(store.folder) for store in stores]
        print_json({"stores": folders, "models": records})
        return
    if not records:
        print("no model of Ollama or LM Studio was found here; --store names a folder")
        return
    rows = [
        (
            printable(record["reference"]),
            describe_bytes(record["bytes"]) if record["bytes"] is not None else "?",
            printable(record["problem"] or ("imported" if record["imported"] else "")),
        )
        for record in records
    ]
    print_table(("model", "size", ""), rows)


def _preview(name: str, store: ForeignStore) -> Record:
    try:
        size = sum(file.num_bytes for file in store.files(name))
    except ModelError as error:
        return {"reference": name, "bytes": None, "problem": str(error)}
    return {"reference": name, "bytes": size, "problem": None}
