"""How a GGUF model's rotary positions reach the context that it claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_llm.hub.gguf_architectures import WITHOUT_ROPE
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_types import GGUFValue

DEFAULT_BASE = 10_000.0
"""Source: llama-model.cpp `load_hparams`, `rope_freq_base_train`."""
PLAIN_CONTEXT = 8_192
"""What models with the default base were trained for at most (Llama 2, Gemma, Phi-3)."""


def describe_rope(file: GGUFFile) -> dict[str, Any] | None:
    """Base and scaling, for people and programs; None where positions are not rotary."""
    if file.info.architecture in WITHOUT_ROPE:
        return None
    kind, factor = _scaling(file)
    return {
        "base": _number(file, "freq_base") or DEFAULT_BASE,
        "scaling": kind,
        "factor": factor,
        "original_context": _integer(file, "scaling.original_context_length"),
        "factors_by_dimension": any("rope_f" in name for name in file.tensors),
    }


def rope_warnings(file: GGUFFile) -> Iterator[str]:
    """Warnings about a context that is stretched beyond what the model was trained for."""
    if file.info.architecture in WITHOUT_ROPE:
        return
    kind, factor = _scaling(file)
    length = file.info.context_length
    original = _integer(file, "scaling.original_context_length")
    if kind == "linear" and factor not in (None, 1.0):
        if not file.info.architecture.startswith("gemma"):  # trained that way
            yield (
                f"rotary positions are scaled linearly by {factor:g}: that costs quality at every"
                " length, unless the model was trained so"
            )
    elif kind in ("yarn", "longrope"):
        reach = f"from {original:,} to {length:,} tokens" if original else f"to {length:,} tokens"
        yield (
            f"its context is stretched {reach} by rotary scaling ({kind}"
            f"{f', factor {factor:g}' if factor else ''}): expect less of it beyond"
            f" {f'{original:,}' if original else 'what it was trained for'}"
        )
    elif kind not in (None, "none"):
        yield f"unusual rotary scaling {kind!r}"
    stretched = any("rope_f" in name for name in file.tensors)
    base = _number(file, "freq_base") or DEFAULT_BASE
    if kind in (None, "none") and base <= DEFAULT_BASE and length > PLAIN_CONTEXT and not stretched:
        yield (
            f"a context of {length:,} tokens with the rotary base {base:g} and no scaling:"
            " the metadata is likely wrong, and long prompts will be"
        )


def _scaling(file: GGUFFile) -> tuple[str | None, float | None]:
    kind = _value(file, "scaling.type")
    factor = _number(file, "scaling.factor") or _number(file, "scale_linear")
    if kind is None and factor not in (None, 1.0):
        return "linear", factor  # Source: llama-model.cpp: linear where nothing is said
    return (kind if isinstance(kind, str) else None), factor


def _value(file: GGUFFile, name: str) -> GGUFValue | None:
    return file.metadata.get(f"{file.info.architecture}.rope.{name}")


def _number(file: GGUFFile, name: str) -> float | None:
    value = _value(file, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and isinstance(value, int | float) else None


def _integer(file: GGUFFile, name: str) -> int | None:
    value = _value(file, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value else None
