"""What is on this machine: pulled, imported and built-in models, and how each would run here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge_llm.backends.llama_cpp.fit import context_shape
from edge_llm.cli.inspect_parts import Record
from edge_llm.config import BUILTIN_MODEL, EdgeConfig
from edge_llm.device.speed import MachineSpeed
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.decode_cost import DecodeCost
from edge_llm.hub.decode_rate import predict_decode_rate
from edge_llm.hub.gguf import check_loadable, read_gguf
from edge_llm.hub.gguf_cost import gguf_decode_cost
from edge_llm.hub.gguf_memory import largest_context
from edge_llm.hub.import_records import ImportedModel, list_imports
from edge_llm.hub.imports import open_import
from edge_llm.hub.installed import InstalledModel, installed_models
from edge_llm.hub.registry import CatalogueModel, load_registry
from edge_llm.hub.resolve import resolve_model

SHOWN_CONTEXT = 4096
"""Tokens in the context for which a speed is given, or as many as fit."""


class Machine(NamedTuple):
    """What a model has to get along with."""

    free_bytes: int
    speed: MachineSpeed
    config: EdgeConfig


def describe_installed(machine: Machine) -> list[Record]:
    """A record for each model that can be loaded by name: built-in, pulled, imported."""
    return [*_builtin(machine), *_pulled(machine), *_imported(machine)]


def describe_pulled(model: InstalledModel) -> Record:
    """A pulled model, without what this machine makes of it."""
    return {
        "reference": model.reference,
        "source": "hub",
        "name": model.name,
        "repo": model.folder.name,
        "commit": model.commit,
        "revisions": model.folder.revisions(model.commit),
        "format": model.variant.kind,
        "quantization": model.variant.quant,
        "bytes": model.num_bytes,
        "path": str(model.path),
    }


def describe_fit(cost: DecodeCost, longest: int, fitting: int, machine: Machine) -> Record:
    """With which context a model fits, and how fast it should write with some of it in use."""
    shown = min(SHOWN_CONTEXT, fitting)
    return {
        "fits": fitting > 0,
        "context_length": longest,
        "fitting_context": fitting,
        "tokens_per_s": round(predict_decode_rate(cost, shown, machine.speed), 1),
        "tokens_per_s_context": shown,
    }


def _builtin(machine: Machine) -> Iterator[Record]:
    try:
        path = resolve_model(BUILTIN_MODEL).path
    except EdgeLLMError as error:
        yield {"reference": BUILTIN_MODEL, "source": "builtin", "problem": str(error)}
        return
    size = path.stat().st_size
    head: Record = {"reference": BUILTIN_MODEL, "source": "builtin", "bytes": size}
    yield head | {"path": str(path)} | _examine(path, machine)


def _pulled(machine: Machine) -> Iterator[Record]:
    licences = _licences()
    for model in installed_models():
        found = _examine(model.path, machine)
        found["license"] = found.get("license") or licences.get(model.folder.name.lower(), "")
        yield describe_pulled(model) | found


def _imported(machine: Machine) -> Iterator[Record]:
    for model in list_imports():
        if not isinstance(model, ImportedModel):
            yield {"reference": "?", "source": "import", "problem": str(model)}
            continue
        head: Record = {
            "reference": model.name,
            "source": "import",
            "bytes": model.num_bytes,
            "path": str(model.path),
        }
        try:
            path = open_import(model.name)
        except EdgeLLMError as error:
            yield head | {"problem": str(error)}
        else:
            yield head | _examine(path, machine)


def _examine(path: Path, machine: Machine) -> Record:
    """What the header says, and how the model would run; only the problem where there is one."""
    try:
        if path.suffix == ".onnx" or path.is_dir():
            return {"format": "onnx", "problem": None} | _examine_onnx(path, machine)
        return {"format": "gguf", "problem": None} | _examine_gguf(path, machine)
    except EdgeLLMError as error:
        return {"problem": str(error)}


def _examine_gguf(path: Path, machine: Machine) -> Record:
    file = read_gguf(path)
    check_loadable(file)
    info, config = file.info, machine.config
    shape = replace(
        context_shape(file, config, machine.free_bytes), context_size=info.context_length
    )
    fitting = largest_context(file, shape, machine.free_bytes)
    cost = gguf_decode_cost(file, config.kv_cache_type)
    return {
        "architecture": info.architecture,
        "parameters": info.num_parameters,
        "quantization": info.quantization,
        "license": info.license,
        **describe_fit(cost, info.context_length, fitting, machine),
    }


def _examine_onnx(path: Path, machine: Machine) -> Record:
    # Imported here: who has GGUF models alone never loads numpy.
    from edge_llm.backends.onnx.fit import largest_context as largest_rows
    from edge_llm.cli.inspect_onnx import license_of
    from edge_llm.hub import onnx
    from edge_llm.hub.onnx_cost import onnx_decode_cost

    folder = onnx.find_model(path)
    file, facts = onnx.read_onnx(folder.model), onnx.read_config(folder)
    onnx.check_runnable(file)
    interface = onnx.read_decoder(file)
    longest = min(facts.context_length, interface.max_positions or facts.context_length)
    most = largest_rows(file, interface, machine.config.max_num_seqs, machine.free_bytes)
    cost = onnx_decode_cost(file, interface)
    return {
        "architecture": facts.architecture,
        "quantization": onnx.quantization(file),
        "license": license_of(folder.text("README.md")),
        **describe_fit(cost, longest, min(longest, most), machine),
    }


def _licences() -> dict[str, str]:
    """Licences by repository, as the catalogue knows them."""
    return {
        repo.lower(): model.licence
        for model in load_registry().models.values()
        for repo in repositories_of(model)
    }


def repositories_of(model: CatalogueModel) -> tuple[str, ...]:
    """Every repository that the catalogue names for a model."""
    return (*model.gguf, *model.onnx)
