"""Whether a whole answer is what was asked for: its form, and the calls in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_llm.errors import (
    AnswerRejectedError,
    InvalidAnswerError,
    RequestError,
    TruncatedAnswerError,
)
from edge_llm.runtime.structured.form import Form
from edge_llm.runtime.structured.schema_check import SchemaCheck, warm
from edge_llm.runtime.structured.violation import Violation, path_of
from edge_llm.types import FinishReason, ToolCall


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer has to keep to."""

    form: Form | None = None
    """Of an answer without calls."""
    tools: Mapping[str, Mapping[str, Any] | bool] | None = field(default=None, repr=False)
    """Schemas of the arguments by name; None: nobody said which tools there are."""

    def prepare(self) -> None:
        """Do ahead what takes time; blocks.

        Raises:
            RequestError: no answer can be checked so.
        """
        if self.tools is not None:
            warm()
        if self.form is not None:
            self.form.prepare()

    def violation(
        self,
        text: str,
        calls: Sequence[ToolCall],
        finish_reason: FinishReason | None,
        *,
        has_cut_call: bool = False,
    ) -> Violation | None:
        """What is wrong with a whole answer; None where nothing is. Blocks for seconds at most.

        `has_cut_call`: it ended in the middle of a call.
        """
        if has_cut_call and self.tools is not None:
            return Violation("$", "length", "the answer was cut off in the middle of a call")
        if not calls:
            return None if self.form is None else self.form.violation(text, finish_reason)
        return next(filter(None, map(self._call_violation, calls)), None)

    def _call_violation(self, call: ToolCall) -> Violation | None:
        if self.tools is None:
            return None
        if call.name not in self.tools:
            return Violation(call.name, "tool", "there is no such tool")
        return arguments_violation(call, self.tools[call.name])


ANYTHING = Expected()


def arguments_violation(call: ToolCall, schema: Mapping[str, Any] | bool) -> Violation | None:
    """What is wrong with the arguments of a call; its path begins with the tool's name."""
    try:
        found = SchemaCheck(schema).violation(dict(call.arguments))
    except RequestError as error:
        return Violation(call.name, "schema", error.message)
    if found is None:
        return None
    return Violation(path_of((), call.name) + found.path[1:], found.keyword, found.message)


def expected(form: Form | None, tools: Sequence[Mapping[str, Any]] | None) -> Expected:
    """What answers to a request with these tools have to keep to."""
    functions = [tool["function"] for tool in tools or () if "function" in tool]
    schemas = {one["name"]: one.get("parameters") or {} for one in functions}
    return Expected(form, schemas or None)


def rejected(violation: Violation) -> AnswerRejectedError:
    """The error that tells a caller why there is no answer."""
    if violation.keyword == "length":
        return TruncatedAnswerError(violation.message, hint="raise max_tokens, or ask for less")
    is_call = not violation.path.startswith("$")
    wanted = "a call that its tool takes" if is_call else "an answer of the form that was asked for"
    return InvalidAnswerError(
        f"no tier gave {wanted}: {violation.shown}",
        hint="ask again, or allow a tier with a larger model",
        path=violation.path,
        keyword=violation.keyword,
    )
