"""Commands that read a file and write what was asked for: their options."""

from __future__ import annotations

from typing import Annotated

import typer


def quantize(  # noqa: PLR0913 — one parameter is one option of the command line
    model: Annotated[
        str, typer.Argument(help="An ONNX file, folder or pulled model in float32 or float16.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="The new folder; else beside the model's own."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="'q4', 'q8' (blocks), 'int8' (dynamic) or 'disk8' (8 bits in the file only).",
        ),
    ] = "q4",
    block_size: Annotated[
        int, typer.Option("--block-size", help="Weights that share a scale, 16 to 256.")
    ] = 32,
    asymmetric: Annotated[
        bool, typer.Option("--asymmetric", help="A zero point for each block as well.")
    ] = False,
    accuracy_level: Annotated[
        int, typer.Option("--accuracy-level", help="q4, q8: 4 computes in int8, 1 in float32.")
    ] = 4,
    reduce_range: Annotated[
        bool, typer.Option("--reduce-range", help="int8: 7 bits, for x86 without VNNI.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="A pattern of layers that stay: '*/down_proj/*'; repeatable."),
    ] = None,
    embedding: Annotated[
        str | None, typer.Option("--embedding", help="keep, q8, q4 or disk8; else 8 bits.")
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="keep, int8, q8, q4 or disk8; else 8 bits.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="A text file to compare both models on.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens of the text to compare on.")
    ] = 2048,
    max_kl: Annotated[
        float, typer.Option("--max-kl", help="Refuse a result that is further off, in nats.")
    ] = 0.5,
    threads: Annotated[int | None, typer.Option("--threads", help="Compute threads.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the folder if it is there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Store an ONNX model in fewer bits, checked against the original."""
    from edge_llm.cli import quantize as command

    command.run(
        model,
        output,
        {
            "method": method,
            "block_size": block_size,
            "symmetric": not asymmetric,
            "accuracy_level": accuracy_level,
            "reduce_range": reduce_range,
            "keep": tuple(keep or ()),
            "embedding": embedding,
            "head": head,
        },
        {
            "max_tokens": max_tokens,
            "max_kl": max_kl,
            "threads": threads,
            "replace": replace,
        },
        text=text,
        as_json=as_json,
    )


def redact(  # noqa: PLR0913 — one parameter is one option of the command line
    file: Annotated[
        str, typer.Argument(help="A text, or messages as JSON; '-' is standard input.")
    ],
    term: Annotated[
        list[str] | None, typer.Option("--term", help="A text that must not leave; may repeat.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", help="A regular expression (RE2); may repeat.")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option("--region", help="A country whose telephone numbers to find; may repeat."),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", help="A TOML file with a table [privacy].")
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Show what each placeholder stands for.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would leave of a text: placeholders and counts. Sends nothing."""
    from edge_llm.cli import redact as command

    options = {
        "terms": tuple(term or ()),
        "patterns": tuple(pattern or ()),
        "regions": tuple(region or ()),
        "config": config,
    }
    command.run(file, options, as_json=as_json, show_values=values)
