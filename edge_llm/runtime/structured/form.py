"""What an answer is to look like, as its caller asked for it: one object for all who must know.

The engine gets `grammar`, endpoints `response_format`, routing `need`; `violation` judges what came
back, wherever it was written, and `value` is what the caller gets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from edge_llm.constrain.grammar import Choice, Grammar, JsonObject, JsonSchema, Lark, Regex
from edge_llm.constrain.schema import prepare_schema
from edge_llm.errors import GrammarError, InvalidParameterError
from edge_llm.routing.base import Need
from edge_llm.runtime.structured.pattern import SlowPatternError, check_pattern, matches
from edge_llm.runtime.structured.python_type import PythonType, TypeMismatchError
from edge_llm.runtime.structured.schema_check import SchemaCheck
from edge_llm.runtime.structured.violation import Violation, shorten
from edge_llm.types import FinishReason

MAX_ANSWER_CHARS = 1 << 22
"""Longer JSON is not read."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of answers."""

    grammar: Grammar = field(repr=False)
    need: Need | None
    """What a tier must be able to do, `json_schema` or `grammar`; any can try a JSON object."""
    check: Callable[[str], Violation | None] = field(repr=False)
    response_format: Mapping[str, Any] | None = field(default=None, repr=False)
    """For endpoints, as in the OpenAI API."""
    structured_outputs: Mapping[str, Any] | None = field(default=None, repr=False)
    """For endpoints that take grammars, as vLLM names them."""
    read: Callable[[str], Any] | None = field(default=None, repr=False)
    """From a valid answer to the value in it; None: its text is all there is."""
    prepare: Callable[[], None] = field(default=lambda: None, repr=False)
    """Does ahead what takes time, and raises RequestError where the form cannot be."""

    @property
    def is_json(self) -> bool:
        """Whether the answer is JSON."""
        return self.response_format is not None

    def objection(self) -> GrammarError | None:
        """Why no grammar can keep a local answer to it; None where one can, as far as is known."""
        if not isinstance(self.grammar, JsonSchema):
            return None
        try:
            prepare_schema(self.grammar.schema, strict=self.grammar.strict)
        except GrammarError as error:
            return error
        return None

    def violation(self, text: str, finish_reason: FinishReason | None) -> Violation | None:
        """What is wrong with a whole answer; None where nothing is. Blocks for seconds at most."""
        if finish_reason == "length" and not self._is_whole(text):
            return Violation("$", "length", "the answer was cut off before it was whole")
        return self.check(text)

    def _is_whole(self, text: str) -> bool:
        """Whether it is JSON after which nothing can come; of `12` nobody knows."""
        if not self.is_json or text.rstrip()[-1:] not in ("}", "]", '"'):
            return False
        return read_json(text)[1] is None


def parse_form(options: dict[str, Any]) -> Form | None:
    """The form that the options ask for, which are taken out; None: any text will do.

    Raises:
        InvalidParameterError: two forms are asked for, or one that is none.
    """
    given = {name: options.pop(name, None) for name in _PARSERS}
    wanted = {name: value for name, value in given.items() if value is not None}
    if wanted.get("response_format") == {"type": "text"}:
        del wanted["response_format"]
    if len(wanted) > 1:
        raise InvalidParameterError(
            f"an answer has one form, not {' and '.join(wanted)}", hint="leave one of them out"
        )
    for name, value in wanted.items():
        return _PARSERS[name](value)
    return None


def form_of_type(hint: Any) -> Form:
    """JSON that stands for an instance of a Python type.

    Raises:
        InvalidParameterError: no JSON can stand for it.
    """
    kind = hint if isinstance(hint, PythonType) else PythonType(hint)
    schema = kind.schema

    def check(text: str) -> Violation | None:
        try:
            kind.read(text)
        except TypeMismatchError as error:
            return error.violation
        return None

    described = {"name": kind.name, "schema": schema}
    return Form(
        JsonSchema(schema),
        "json_schema",
        check,
        {"type": "json_schema", "json_schema": described},
        read=kind.read,
    )


def _response_format(value: Any) -> Form | None:
    match value:
        case {"type": "json_object"}:
            return Form(JsonObject(), None, _check_object, dict(value), read=json.loads)
        case {"type": "json_schema", "json_schema": {"schema": Mapping() | bool()}}:
            return _json_schema(value)
        case {"type": "json_schema"}:
            raise InvalidParameterError(
                "response_format has no schema",
                hint='{"type": "json_schema", "json_schema": {"name": …, "schema": {…}}}',
            )
        case {"type": "text"}:
            return None
    raise InvalidParameterError(
        "response_format must be {'type': 'text'}, {'type': 'json_object'} or a json_schema"
    )


def _json_schema(value: Mapping[str, Any]) -> Form:
    described = value["json_schema"]
    strict = described.get("strict")
    if strict not in (None, True, False):
        raise InvalidParameterError(f"json_schema.strict must be true or false, not {strict!r}")
    schema = described["schema"]
    checks: list[SchemaCheck] = []

    def prepare() -> None:
        if not checks:
            checks.append(SchemaCheck(schema))

    def check(text: str) -> Violation | None:
        prepare()
        value, violation = read_json(text)
        return violation or checks[0].violation(value)

    return Form(
        JsonSchema(schema, strict=bool(strict)),
        "json_schema",
        check,
        {**value, "json_schema": {"name": "answer", **described}},
        read=json.loads,
        prepare=prepare,
    )


def _regex(pattern: Any) -> Form:
    if not isinstance(pattern, str) or not pattern:
        _refuse("regex", "an expression", pattern)
    check_pattern(pattern, "regex")

    def check(text: str) -> Violation | None:
        try:
            fits = matches(rf"\A(?:{pattern})\z", text)
        except (SlowPatternError, InvalidParameterError) as exc:
            return Violation("$", "regex", f"it cannot be checked: {exc}")
        return None if fits else Violation("$", "regex", f"it does not match {pattern!r}")

    return Form(Regex(pattern), "grammar", check, structured_outputs={"regex": pattern})


def _choice(options: Any) -> Form:
    if not isinstance(options, Sequence) or isinstance(options, str):
        _refuse("choice", "a list of texts", options)
    texts = tuple(options)
    if not texts or not all(isinstance(one, str) and one for one in texts):
        _refuse("choice", "a list of texts", options)

    def check(text: str) -> Violation | None:
        known = ", ".join(map(repr, texts[:20]))
        return None if text in texts else Violation("$", "choice", f"it is none of {known}")

    return Form(Choice(texts), "grammar", check, structured_outputs={"choice": list(texts)})


def _grammar(text: Any) -> Form:
    if not isinstance(text, str) or not text.strip():
        _refuse("grammar", "text in the notation of Lark", text)
    # Nothing here can read Lark: whoever wrote the answer kept to it, or is not asked.
    return Form(Lark(text), "grammar", lambda _: None, structured_outputs={"grammar": text})


_PARSERS: Mapping[str, Callable[[Any], Form | None]] = {
    "response_format": _response_format,
    "regex": _regex,
    "choice": _choice,
    "grammar": _grammar,
    "response_type": form_of_type,
}


def _refuse(name: str, wanted: str, value: object) -> NoReturn:
    raise InvalidParameterError(f"{name} must be {wanted}, not {shorten(repr(value))}")


def _check_object(text: str) -> Violation | None:
    value, violation = read_json(text)
    if violation is None and not isinstance(value, dict):
        return Violation("$", "type", "it is no JSON object")
    return violation


def read_json(text: str) -> tuple[Any, Violation | None]:
    """The JSON value of a whole text, or what keeps it from being one."""
    if len(text) > MAX_ANSWER_CHARS:
        return None, Violation("$", "json", f"more than {MAX_ANSWER_CHARS} characters")
    try:
        return json.loads(text, parse_constant=_no_json, parse_float=_finite), None
    except RecursionError:
        return None, Violation("$", "json", "it is nested too deep")
    except ValueError as exc:
        return None, Violation("$", "json", f"it is no JSON: {exc}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
