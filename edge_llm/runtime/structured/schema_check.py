"""A JSON value against a JSON Schema: the door to `jsonschema`.

Everything is bounded: nothing is fetched, expressions run in linear time, and a schema whose
alternatives multiply is given up after so many steps instead of running for ever.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edge_llm.errors import GrammarTooLargeError, InvalidParameterError, UnsupportedSchemaError
from edge_llm.runtime.structured.keywords import TooCostlyError, allowed_steps, bounded
from edge_llm.runtime.structured.pattern import SlowPatternError, check_pattern
from edge_llm.runtime.structured.violation import Violation, path_of, shorten

MAX_SCHEMA_BYTES = 1 << 20
"""Of its JSON text."""

MAX_SCHEMA_OBJECTS = 8_000
"""Of JSON in it: holding it against its own schema takes a quarter of a millisecond for each."""

MAX_STEPS = 30_000
"""Keywords that one check may look at: a second or a few, for a schema that was made to hurt."""


class SchemaCheck:
    """One schema, ready to be held against values. Safe to use from any thread."""

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        """Read the schema; blocks for some milliseconds.

        Raises:
            InvalidParameterError: it is no JSON Schema.
            UnsupportedSchemaError: it refers to something that is not in it.
            GrammarTooLargeError: it is larger than any that is meant.
        """
        self._validator = _validator(_text_of(schema))

    def violation(self, value: Any) -> Violation | None:
        """What is wrong with `value`; None where nothing is. Blocks for seconds at most."""
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        try:
            with allowed_steps(MAX_STEPS):
                error = best_match(self._validator.iter_errors(value))
        except SlowPatternError as exc:
            return Violation("$", "pattern", f"it cannot be checked: {exc}")
        except TooCostlyError:
            return Violation("$", "schema", "it cannot be checked: it takes too many steps")
        except RecursionError:
            return Violation("$", "schema", "it cannot be checked: it is nested too deep")
        except Unresolvable as exc:
            return Violation("$", "$ref", f"it cannot be checked: {shorten(str(exc))}")
        if error is None:
            return None
        return Violation(
            path_of(error.absolute_path), str(error.validator), shorten(str(error.message))
        )


@functools.cache
def warm() -> None:
    """Import what checks need, once, in a thread: it takes a third of a second, and is wanted when
    the first call has been written.
    """
    threading.Thread(target=SchemaCheck, args=(True,), name="edge-llm-import").start()


def _text_of(schema: Mapping[str, Any] | bool) -> str:
    if not isinstance(schema, Mapping | bool):
        raise InvalidParameterError(f"a JSON schema is an object, not {type(schema).__name__!r}")
    try:
        text = json.dumps(schema if isinstance(schema, bool) else dict(schema), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidParameterError(f"the schema is not JSON: {exc}") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise GrammarTooLargeError(
            f"the schema has {len(text)} bytes, more than {MAX_SCHEMA_BYTES}"
        )
    return text


@functools.lru_cache(maxsize=64)
def _validator(text: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    problem: str | None = None
    if sum(1 for _ in _nodes(schema)) > MAX_SCHEMA_OBJECTS:
        raise GrammarTooLargeError(f"the schema has more than {MAX_SCHEMA_OBJECTS} objects")
    try:
        plain = _plain(schema)
        kind.check_schema(plain, format_checker=None)  # patterns are RE2's, not Python's
    except SchemaError as error:
        problem = f"{pointer(error.absolute_path)}: {shorten(str(error.message))}"
    except RecursionError:
        raise GrammarTooLargeError("the schema is nested too deep") from None
    if problem is not None:
        raise InvalidParameterError(f"this is no JSON schema: {problem}")
    # An empty registry: nothing but the schema itself can be referred to.
    validator = bounded(kind)(plain, registry=Registry())
    _refuse_what_cannot_be_checked(validator, plain)
    return validator


def _plain(node: Any) -> Any:
    """The schema without what its dialect minds and nobody means.

    The dialect's name, by which the library would take a class without bounds again; and empty
    lists of required members, which draft 4 forbids and many generators write.
    """
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: value if name in _DATA else _plain(value)
        for name, value in node.items()
        if not (name == "$schema" and isinstance(value, str))
        and not (name == "required" and value == [])
    }


def _refuse_what_cannot_be_checked(validator: Any, schema: Any) -> None:
    from referencing.exceptions import Unresolvable

    nodes = list(_nodes(schema))
    names = {node["$id"] for _, node in nodes if isinstance(node.get("$id"), str)}
    for path, node in nodes:
        if "unevaluatedProperties" in node and "patternProperties" in node:
            raise UnsupportedSchemaError(
                f"{path}/unevaluatedProperties",
                "unevaluatedProperties",
                "it stands beside patternProperties",
                hint="leave one of them out",
            )
        _check_patterns(path, node)
        ref = node.get("$ref")
        if not isinstance(ref, str) or names:  # a schema of several documents finds its own way
            continue
        try:
            validator._resolver.lookup(ref)
        except Unresolvable:
            why = "nothing is fetched, and the schema has no such part"
            hint = "put what it refers to into the schema's $defs"
            raise UnsupportedSchemaError(f"{path}/$ref", "$ref", why, hint=hint) from None


def _check_patterns(path: str, node: Mapping[str, Any]) -> None:
    own, by_name = node.get("pattern"), node.get("patternProperties")
    if isinstance(own, str):
        check_pattern(own, f"{path}/pattern")
    for pattern in by_name if isinstance(by_name, dict) else ():
        check_pattern(pattern, f"{path}/patternProperties")


def pointer(parts: Iterable[str | int]) -> str:
    """The JSON pointer of a place in a schema, as `#/properties/a~1b/items`."""
    return "#" + "".join(f"/{_escaped(str(part))}" for part in parts)


def _nodes(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in the schema with its JSON pointer; what unknown keywords hold counts as such.

    Values that a schema speaks of, such as defaults, are none, though they may look alike.
    """
    waiting: list[tuple[str, Any, bool]] = [("#", schema, False)]
    while waiting:
        path, node, is_by_name = waiting.pop()
        if isinstance(node, dict):
            if not is_by_name:
                yield path, node
            waiting += [
                (f"{path}/{_escaped(name)}", value, not is_by_name and name in _BY_NAME)
                for name, value in node.items()
                if is_by_name or name not in _DATA
            ]
        elif isinstance(node, list):
            waiting += [(f"{path}/{i}", value, False) for i, value in enumerate(node)]


_DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords that hold values, and no schemas."""

_BY_NAME = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
"""Keywords that hold schemas by name, whatever the names are."""


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
