"""The value of an answer, put where its caller finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edge_llm.runtime.structured.form import Form
from edge_llm.runtime.structured.python_type import TypeMismatchError
from edge_llm.runtime.structured.verify import rejected
from edge_llm.types import Chunk


def with_type(options: Mapping[str, Any], response_type: Any) -> dict[str, Any]:
    """The options of a request, its Python type among them."""
    return {**options, **({} if response_type is None else {"response_type": response_type})}


def without_type(options: Mapping[str, Any], form: Form | None) -> dict[str, Any]:
    """The options as plain values: a Python type becomes the schema that stands for it."""
    if form is None or form.response_format is None:
        return dict(options)
    return {**options, "response_format": form.response_format}


def with_value(chunk: Chunk, form: Form | None) -> Chunk:
    """The last chunk of an answer with the value in it; others as they are.

    Raises:
        InvalidAnswerError: it has none, after all.
    """
    answer = chunk.answer
    if answer is None or form is None or form.read is None or answer.tool_calls:
        return chunk
    try:
        value = form.read(answer.text)
    except TypeMismatchError as error:
        failure = rejected(error.violation)
    else:
        return replace(chunk, answer=replace(answer, parsed=value))
    raise failure
