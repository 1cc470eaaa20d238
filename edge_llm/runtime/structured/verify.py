"""Whether a whole answer is what was asked for: its form, and the calls in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_llm.errors import (
    AnswerRejectedError,
    InvalidAnswerError,
    RequestError,
    TruncatedAnswerError,
)
from edge_llm.runtime.call_options import CallOptions
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
    """Schemas of the arguments by name, of the tools that may be called; None: nobody said which
    there are."""
    choice: Literal["auto", "none", "required"] = "auto"
    """Whether it may call, must not, or must."""
    most: int | None = None
    """At most so many calls; None: any number."""

    @property
    def judges_words(self) -> bool:
        """Whether an answer without calls can be wrong."""
        return self.form is not None or self.choice == "required"

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
            return self._words_violation(text, finish_reason)
        if self.choice == "none":
            return Violation(calls[0].name, "tool_choice", "nothing was to be called")
        if self.most is not None and len(calls) > self.most:
            return Violation(
                calls[self.most].name, "parallel_tool_calls", "it is one call too many"
            )
        return next(filter(None, map(self._call_violation, calls)), None)

    def _words_violation(self, text: str, finish_reason: FinishReason | None) -> Violation | None:
        if self.choice != "required":
            return None if self.form is None else self.form.violation(text, finish_reason)
        if finish_reason == "length":
            return Violation("$", "length", "the answer was cut off before it called a tool")
        return Violation("$", "tool_choice", "it calls no tool, and had to call one")

    def _call_violation(self, call: ToolCall) -> Violation | None:
        if self.tools is None:
            return None
        if call.name not in self.tools:
            return Violation(call.name, "tool", "no such tool may be called")
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


def expected(form: Form | None, calls: CallOptions) -> Expected:
    """What answers to a request have to keep to, whoever writes them."""
    rules = calls.rules
    if rules is None:
        return Expected(form)
    schemas = {tool.name: tool.parameters for tool in rules.tools}
    return Expected(form, schemas, rules.choice, 1 if calls.parallel is False else None)


def rejected(violation: Violation) -> AnswerRejectedError:
    """The error that tells a caller why there is no answer."""
    if violation.keyword == "length":
        return TruncatedAnswerError(violation.message, hint="raise max_tokens, or ask for less")
    is_call = not violation.path.startswith("$")
    wanted = "a call that its tool takes" if is_call else "an answer of the form that was asked for"
    if violation.keyword in ("tool_choice", "parallel_tool_calls"):
        wanted = "an answer that calls as it was told"
    return InvalidAnswerError(
        f"no tier gave {wanted}: {violation.shown}",
        hint="ask again, or allow a tier with a larger model",
        path=violation.path,
        keyword=violation.keyword,
    )
