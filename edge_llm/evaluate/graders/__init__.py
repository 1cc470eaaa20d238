"""Whether an answer is right, one way of telling in one file. Pure; nothing is asked of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_llm.evaluate.graders.base import Grader
from edge_llm.evaluate.graders.choice import Choice
from edge_llm.evaluate.graders.exact import Exact
from edge_llm.evaluate.graders.json_value import JsonValue
from edge_llm.evaluate.graders.numeric import Numeric
from edge_llm.evaluate.graders.regex import Regex
from edge_llm.evaluate.graders.tool_calls import ToolCalls

GRADERS: Mapping[str, type[Grader]] = {
    grader.name: grader for grader in (Exact, Numeric, Regex, JsonValue, ToolCalls, Choice)
}
"""By the name of the column that holds their reference."""


def create_grader(name: str, reference: Any, options: Mapping[str, Any]) -> Grader:
    """The grader for one reference; `options` without those of other graders.

    Raises:
        ValueError: the reference or an option is not what the grader expects; the text says what
            is.
    """
    return GRADERS[name].parse(reference, options)
