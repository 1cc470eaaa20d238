"""JSON schemas that are sent to hurt: each must be refused or served in bounded time and memory.

They are texts, as they would come over HTTP, because some cannot be written by `json.dumps`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

DEPTH = 10_000
HUGE = 1_000_000_000


def _dumps(schema: Any) -> str:
    return json.dumps(schema)


def fan_out(levels: int = 40) -> str:
    """Each definition names the next one twice: 2 to the power of `levels` paths."""
    names = [f"d{level}" for level in range(levels)]
    definitions: dict[str, Any] = {
        name: {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/{after}"}, "b": {"$ref": f"#/$defs/{after}"}},
            "required": ["a", "b"],
        }
        for name, after in itertools.pairwise(names)
    }
    definitions[names[-1]] = {"type": "integer"}
    return _dumps({"$ref": "#/$defs/d0", "$defs": definitions})


def all_of_product(levels: int = 14) -> str:
    """A conjunction of alternatives: 4 to the power of `levels` when multiplied out."""
    parts = [
        {"anyOf": [{"properties": {f"p{i}": {"const": value}}} for value in range(4)]}
        for i in range(levels)
    ]
    return _dumps({"type": "object", "allOf": parts})


def deep_objects(depth: int = DEPTH) -> str:
    """An object in an object, ten thousand deep; deeper than Python's own parser goes."""
    opening = '{"type":"object","properties":{"a":'
    return opening * depth + "{}" + "}}" * depth


def deep_arrays(depth: int = DEPTH) -> str:
    """Items of items."""
    return '{"type":"array","items":' * depth + "{}" + "}" * depth


def deep_any_of(depth: int = DEPTH) -> str:
    """Alternatives of alternatives."""
    return '{"anyOf":[' * depth + "{}" + "]}" * depth


def chained_references(length: int = DEPTH) -> str:
    """A definition that is the next one, ten thousand times."""
    definitions: dict[str, Any] = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(length)}
    definitions[f"d{length}"] = {"type": "null"}
    return _dumps({"$ref": "#/$defs/d0", "$defs": definitions})


def huge_enum(size_bytes: int = 10_000_000) -> str:
    """An enum of ten megabytes."""
    return _dumps({"enum": [f"value number {i:012d}" for i in range(size_bytes // 30)]})


def many_properties(count: int = 50_000) -> str:
    """An object with more optional properties than anybody reads."""
    properties = {f"property_{i}": {"type": "string"} for i in range(count)}
    return _dumps({"type": "object", "properties": properties, "additionalProperties": False})


def _self_reference(keyword: str) -> str:
    inner: Any = {"$ref": "#"} if keyword in ("$ref", "not") else [{"$ref": "#"}]
    return _dumps({"$ref": "#"} if keyword == "$ref" else {keyword: inner})


def _string(**more: object) -> str:
    return _dumps({"type": "string", **more})


HOSTILE: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "fan out of references": fan_out,
        "product of alternatives": all_of_product,
        "deep objects": deep_objects,
        "deep arrays": deep_arrays,
        "deep alternatives": deep_any_of,
        "chain of references": chained_references,
        "enum of 10 MB": huge_enum,
        "50,000 properties": many_properties,
        "refers to itself": lambda: _self_reference("$ref"),
        "is any of itself": lambda: _self_reference("anyOf"),
        "is one of itself": lambda: _self_reference("oneOf"),
        "is all of itself": lambda: _self_reference("allOf"),
        "is not itself": lambda: _self_reference("not"),
        "refer to each other": lambda: _dumps(
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
        ),
        "refers to the network": lambda: _dumps({"$ref": "http://127.0.0.1:9/schema.json"}),
        "refers to a file": lambda: _dumps({"$ref": "file:///etc/passwd"}),
        "refers to nothing": lambda: _dumps({"$ref": "#/$defs/absent"}),
        "refers to no text": lambda: '{"$ref": 5}',
        "foreign identifier": lambda: _dumps(
            {"$id": "http://127.0.0.1:9/a", "$ref": "b", "$schema": "http://127.0.0.1:9/s"}
        ),
        "many items": lambda: _dumps(
            {"type": "array", "items": {"type": "integer"}, "maxItems": HUGE}
        ),
        "at least many items": lambda: _dumps(
            {"type": "array", "items": {"type": "integer"}, "minItems": HUGE}
        ),
        "many items of many items": lambda: _dumps(
            {
                "type": "array",
                "maxItems": 10_000,
                "items": {"type": "array", "maxItems": 10_000, "items": {"maxLength": 10_000}},
            }
        ),
        "long text": lambda: _string(maxLength=HUGE),
        "at least long text": lambda: _string(minLength=HUGE),
        "many properties at least": lambda: _dumps({"type": "object", "minProperties": HUGE}),
        "catastrophic pattern": lambda: _string(pattern="^(([a-z])+.)+[A-Z]([a-z])+$"),
        "nested repetition": lambda: _string(pattern="^(((a{1,1000}){1,1000}){1,1000})$"),
        "counted classes": lambda: _string(pattern=r"^(.{0,500}x){0,500}.{999}$"),
        "exponential automaton": lambda: _string(pattern="^[ab]*a[ab]{40}$"),
        "unclosed pattern": lambda: _string(pattern="^(["),
        "pattern of 1 MB": lambda: _string(pattern="^(" + "|".join(["abcdefgh"] * 120_000) + ")$"),
        "pattern with a zero byte": lambda: _string(pattern="^\x00$"),
        "surrogate alone": lambda: '{"enum": ["\\ud800"]}',
        "surrogate as a name": lambda: '{"type":"object","properties":{"\\udfff":{}}}',
        "duplicate keys": lambda: '{"type":"string","type":"integer","minimum":1,"minimum":2}',
        "not a number": lambda: '{"type":"number","minimum":NaN}',
        "infinite": lambda: '{"type":"number","maximum":Infinity}',
        "number beyond floats": lambda: '{"type":"number","maximum":1e999}',
        "number of 10,000 digits": lambda: '{"type":"integer","minimum":' + "9" * DEPTH + "}",
        "tiny multiple": lambda: _dumps({"type": "number", "multipleOf": 1e-300}),
        "multiple of nothing": lambda: _dumps({"type": "integer", "multipleOf": 0}),
        "multiple of a prime": lambda: _dumps({"type": "integer", "multipleOf": 2_147_483_647}),
        "three multiples": lambda: _dumps(
            {"allOf": [{"type": "integer", "multipleOf": m} for m in (65_537, 65_539, 65_543)]}
        ),
        "negative length": lambda: _string(maxLength=-1),
        "length of text": lambda: '{"type":"string","maxLength":"10"}',
        "half a length": lambda: _string(minLength=1.5),
        "unknown type": lambda: _dumps({"type": "quaternion"}),
        "type of types": lambda: _dumps({"type": {"type": "string"}}),
        "properties in a list": lambda: _dumps({"type": "object", "properties": ["a"]}),
        "requires numbers": lambda: _dumps({"type": "object", "required": [1, None]}),
        "enum of no list": lambda: _dumps({"enum": "abc"}),
        "alternatives of no list": lambda: _dumps({"anyOf": {}}),
        "no alternatives": lambda: _dumps({"anyOf": []}),
        "a list": lambda: "[]",
        "a text": lambda: '"string"',
        "null": lambda: "null",
        "nothing": lambda: "",
        "half a schema": lambda: '{"type":"object","properties":{',
        "never": lambda: "false",
        "Lark in a description": lambda: _dumps(
            {"type": "string", "description": '"\n%ignore /.*/\nstart: /.*/', "maxLength": 3}
        ),
        "options of the library": lambda: _dumps(
            {"type": "integer", "x-guidance": {"whitespace_flexible": True, "lenient": True}}
        ),
        "text of the library's own keyword": lambda: '{"x-guidance": 5, "type": "null"}',
    }
)
"""By name; a function each, because some are large."""
