"""The keywords of JSON Schema as `jsonschema` has them, each counted, and texts matched by RE2."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Generator, Iterator, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from edge_llm.runtime.structured.formats import has_format
from edge_llm.runtime.structured.pattern import matches

Keyword: TypeAlias = Callable[[Any, Any, Any, Mapping[str, Any]], Iterator[Any] | None]
"""Takes the validator, the keyword's value, the instance and the schema; gives errors."""

_steps_left: contextvars.ContextVar[list[int]] = contextvars.ContextVar("steps_left")


class TooCostlyError(Exception):
    """The check has taken as many steps as it may."""


@contextlib.contextmanager
def allowed_steps(count: int) -> Generator[None]:
    """Lets checks inside look at so many keywords, then raise `TooCostlyError`."""
    token = _steps_left.set([count])
    try:
        yield
    finally:
        _steps_left.reset(token)


@functools.cache
def bounded(kind: Any) -> Any:
    """The validator class of a draft, with bounds."""
    from jsonschema import validators

    replaced: dict[str, Keyword] = {
        **kind.VALIDATORS,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "format": _format,
        "type": functools.partial(_type, kind.VALIDATORS["type"]),
        "multipleOf": _multiple_of,
    }
    return validators.extend(kind, {name: _counted(check) for name, check in replaced.items()})


def _counted(check: Keyword) -> Keyword:
    def run(
        validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]
    ) -> Iterator[Any] | None:
        left = _steps_left.get()
        left[0] -= 1
        if left[0] < 0:
            raise TooCostlyError
        return check(validator, value, instance, schema)

    return run


def _pattern(_: Any, pattern: str, instance: Any, __: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(instance, str) and not matches(pattern, instance):
        yield _error(f"{instance!r} does not match {pattern!r}")


def _type(
    check: Keyword, validator: Any, types: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[Any]:
    # As OpenAPI 3.0 has it, where many schemas come from.
    if instance is None and schema.get("nullable") is True:
        return
    yield from check(validator, types, instance, schema) or ()


def _multiple_of(_: Any, divisor: Any, instance: Any, __: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    # In decimals, as they are written: 0.07 is a multiple of 0.01, though not in binary.
    if (Fraction(repr(instance)) / Fraction(repr(divisor))).denominator != 1:
        yield _error(f"{instance!r} is not a multiple of {divisor!r}")


def _format(_: Any, name: Any, instance: Any, __: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(instance, str) and isinstance(name, str) and not has_format(name, instance):
        yield _error(f"{instance!r} is not a {name!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _: Mapping[str, Any]
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, schema in patterns.items():
        for name, value in instance.items():
            if matches(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", ())
    known = schema.get("properties", ())
    for name, value in instance.items():
        if name in known or any(matches(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield _error(f"{name!r} is no property that is allowed")
        else:
            yield from validator.descend(value, allowed, path=name)


def _error(message: str) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)
