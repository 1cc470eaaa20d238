"""Options that several commands share. Only typer is imported here: `--help` must stay fast."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_llm.errors import ConfigError

ContextSize = Annotated[
    str | None,
    typer.Option(
        "--context-size",
        "-c",
        metavar="N|auto",
        help="Tokens of prompt and answer together; 'auto' takes what fits in free memory.",
    ),
]
KVCacheType = Annotated[
    str | None,
    typer.Option("--kv-cache-type", help="'f16', or 'q8_0' for a KV cache of half the size."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="For ONNX models: 'auto', 'cpu', 'npu' or 'gpu'."),
]
ProviderName = Annotated[
    str | None,
    typer.Option("--provider", help="For ONNX models: 'qnn', 'openvino', 'coreml' or 'cpu'."),
]
CPUFallback = Annotated[
    bool | None,
    typer.Option(
        "--cpu-fallback/--no-cpu-fallback",
        help="Let the CPU run what the chosen device cannot.",
    ),
]
ProviderOptions = Annotated[
    list[str] | None,
    typer.Option("--provider-option", metavar="NAME=VALUE", help="Of the provider; may repeat."),
]


def read_context_size(text: str | None) -> int | str | None:
    """A number where it is one; the configuration, costly to import here, judges all else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


def read_options(pairs: list[str] | None) -> dict[str, str] | None:
    """The pairs `NAME=VALUE` as a mapping; None without any.

    Raises:
        ConfigError: one is no such pair.
    """
    if not pairs:
        return None
    parts = [pair.partition("=") for pair in pairs]
    wrong = [
        pair for pair, (name, sign, _) in zip(pairs, parts, strict=True) if not name or not sign
    ]
    if wrong:
        raise ConfigError(f"--provider-option must be NAME=VALUE, not {wrong[0]!r}")
    return {name: value for name, _, value in parts}
