"""From a float model to a quantised one that was checked before it took its place."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from edge_llm.device.memory import available_memory_bytes, describe_bytes
from edge_llm.errors import (
    ConfigError,
    InsufficientMemoryError,
    QuantizationRefusedError,
)
from edge_llm.hub.onnx import (
    OnnxFile,
    OnnxFolder,
    check_runnable,
    find_model,
    read_decoder,
    read_onnx,
)
from edge_llm.quantize.compare import Comparison, compare_models
from edge_llm.quantize.library import load_onnx_library, read_model
from edge_llm.quantize.options import QuantizeOptions
from edge_llm.quantize.place import SPARE_BYTES, check_target, put_in_place, scratch_folder
from edge_llm.quantize.report import QuantizeReport
from edge_llm.quantize.rewrite import RewrittenMatrix, rewrite_model
from edge_llm.quantize.sample import SAMPLE_TEXT

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

DEFAULT_MAX_KL = 0.5
"""Nats above which the result is no longer the same model."""

DEFAULT_MAX_TOKENS = 2048

_EXTERNAL_ABOVE_BYTES = 1 << 30
"""A protobuf message ends at 2 GB; weights of larger models go into a file of their own."""

_SMALLEST_EXTERNAL = 1024
_COMPANIONS = (".json", ".jinja", ".txt", ".model", ".md")
_MAX_COMPANION_BYTES = 1 << 26


def quantize_onnx(  # noqa: PLR0913 — each is one choice of the caller
    source: Path,
    target: Path,
    options: QuantizeOptions,
    *,
    text: str | None = None,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    max_kl: float = DEFAULT_MAX_KL,
    threads: int | None = None,
    replace: bool = False,
    file_name: str | None = None,
    report_progress: Progress | None = None,
) -> QuantizeReport:
    """Write the model of `source`, an ONNX file or folder, in fewer bits to the folder `target`.

    The result is written beside `target`, loaded, run over `text` next to the original, and only
    then renamed: whatever goes wrong, what was in `target` is as it was.

    Raises:
        ConfigError: a choice that cannot be met, or `target` exists and `replace` is not set.
        ModelError: the source cannot be read, run or quantised, or does not fit in memory.
        QuantizationRefusedError: the result is too far from the original, or no smaller.
    """
    progress = report_progress or _say_nothing
    folder = find_model(source)
    file = read_onnx(folder.model)
    check_runnable(file)
    read_decoder(file)
    library = load_onnx_library()
    target = target.absolute()
    _refuse_source(target, folder)
    check_target(target, replace=replace)
    num_bytes = _file_bytes(file)
    _check_memory(num_bytes)
    name = file_name or f"model_{options.method}.onnx"
    with scratch_folder(target, num_bytes) as scratch:
        matrices = _write_model(library, file, scratch / name, options, progress)
        _copy_companions(folder, scratch, name)
        written = _file_bytes(read_onnx(scratch / name))
        comparison = compare_models(
            folder.model,
            scratch / name,
            SAMPLE_TEXT if text is None else text,
            max_tokens=max_tokens,
            threads=threads,
            report_progress=lambda done, total: progress("comparing", done, total),
        )
        _judge(comparison, num_bytes, written, max_kl)
        put_in_place(scratch, target)
    return QuantizeReport(folder.model, target, options, num_bytes, written, matrices, comparison)


def _say_nothing(step: str, done: int, total: int) -> None:
    pass


def _file_bytes(file: OnnxFile) -> int:
    """The graph and everything it keeps its weights in."""
    return file.path.stat().st_size + sum(path.stat().st_size for path in file.external_files)


def _refuse_source(target: Path, folder: OnnxFolder) -> None:
    inside = (folder.root.resolve(), folder.model.parent.resolve())
    if target.resolve() in inside or any(target.resolve() in path.parents for path in inside):
        raise ConfigError(
            f"{str(target)!r} holds the model that is read", hint="choose another folder"
        )


def _check_memory(num_bytes: int) -> None:
    # The model as messages, what it becomes, and its largest matrix in float32: 2.7 times was seen.
    needed, free = 3 * num_bytes + SPARE_BYTES, available_memory_bytes()
    if needed > free:
        raise InsufficientMemoryError(
            f"quantising needs about {describe_bytes(needed)}, and {describe_bytes(free)} are free",
            hint="do it on a machine with more memory: the result runs on this one",
        )


def _write_model(
    library: Any, file: OnnxFile, path: Path, options: QuantizeOptions, progress: Progress
) -> tuple[RewrittenMatrix, ...]:
    progress("reading", 0, 1)
    model = read_model(library, file.path)
    matrices = rewrite_model(
        library, model, options, lambda done, total: progress("quantising", done, total)
    )
    entry = model.metadata_props.add()
    entry.key, entry.value = "edge_llm.quantize", json.dumps(asdict(options))
    progress("writing", 0, 1)
    _save(library, model, path)
    return matrices


def _save(library: Any, model: Any, path: Path) -> None:
    """Write the model and see it safe on the disk."""
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size > _EXTERNAL_ABOVE_BYTES:
        library.save(
            model, path, save_as_external_data=True, all_tensors_to_one_file=True,
            location=f"{path.name}_data", size_threshold=_SMALLEST_EXTERNAL,
        )  # fmt: skip
    else:
        library.save(model, path)
    for written in path.parent.iterdir():
        with written.open("rb") as stream:
            os.fsync(stream.fileno())


def _copy_companions(folder: OnnxFolder, scratch: Path, name: str) -> None:
    """Tokenizer, templates and configuration; what names the graph names the new one."""
    for path in sorted(folder.root.iterdir()):
        is_companion = path.suffix in _COMPANIONS or path.name.startswith("LICENSE")
        if is_companion and path.is_file() and path.stat().st_size <= _MAX_COMPANION_BYTES:
            shutil.copyfile(path, scratch / path.name)
    genai = folder.json("genai_config.json")
    if genai:
        record = json.loads(json.dumps(dict(genai)))
        record["model"]["decoder"]["filename"] = name
        text = json.dumps(record, indent=2, ensure_ascii=False)
        (scratch / "genai_config.json").write_text(text, encoding="utf-8")


def _judge(comparison: Comparison, before: int, after: int, max_kl: float) -> None:
    if not math.isfinite(comparison.kl_divergence) or comparison.kl_divergence > max_kl:
        raise QuantizationRefusedError(
            f"the result is not the same model any more: KL divergence"
            f" {comparison.kl_divergence:.3g} nats a token, and {max_kl:g} are allowed",
            hint="more bits, smaller blocks, --keep for some layers, or a higher --max-kl",
        )
    if after >= before:
        raise QuantizationRefusedError(
            f"the result has {describe_bytes(after)}, and the original {describe_bytes(before)}",
            hint="quantise the embedding too, or take fewer bits",
        )
