"""What an answer is to look like, as options of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_llm.errors import InvalidParameterError

JSONSchemaFile = Annotated[
    str | None,
    typer.Option("--json-schema", metavar="FILE", help="The answer is JSON that fits this schema."),
]
Regex = Annotated[
    str | None, typer.Option("--regex", help="The whole answer matches this expression.")
]
Choices = Annotated[
    str | None, typer.Option("--choices", metavar="A,B", help="The answer is one of these texts.")
]
GrammarFile = Annotated[
    str | None,
    typer.Option("--grammar", metavar="FILE", help="The answer fits this grammar (Lark)."),
]


def form_options(
    json_schema: str | None, regex: str | None, choices: str | None, grammar: str | None
) -> dict[str, Any]:
    """The options of a request that these mean.

    Raises:
        InvalidParameterError: a file cannot be read, or holds no JSON.
    """
    response_format: dict[str, Any] | None = None
    if json_schema is not None:
        name = Path(json_schema).stem
        described = {"name": name, "schema": read_json("--json-schema", json_schema)}
        response_format = {"type": "json_schema", "json_schema": described}
    return {
        "response_format": response_format,
        "regex": regex,
        "choice": None if choices is None else [one.strip() for one in choices.split(",")],
        "grammar": None if grammar is None else _read("--grammar", grammar),
    }


def _read(option: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as exc:
        raise InvalidParameterError(f"{option} {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidParameterError(f"{option} {path}: it is no text") from exc


def read_json(option: str, path: str) -> Any:
    """The JSON in a file.

    Raises:
        InvalidParameterError: it cannot be read, or holds none.
    """
    try:
        return json.loads(_read(option, path))
    except (ValueError, RecursionError) as exc:
        if isinstance(exc, InvalidParameterError):
            raise
        raise InvalidParameterError(f"{option} {path}: it is no JSON: {exc}") from exc
