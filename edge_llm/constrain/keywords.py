"""What each keyword of JSON Schema means to the walk over a schema, in drafts 4 to 2020-12."""

from __future__ import annotations

ONE_SCHEMA = frozenset(("items", "additionalItems", "additionalProperties"))
"""Keywords that hold a schema of something inside the value."""

IN_PLACE = frozenset(("anyOf", "oneOf", "allOf"))
"""Keywords that hold schemas of the value itself."""

MANY_SCHEMAS = IN_PLACE | {"prefixItems"}

NAMED_SCHEMAS = frozenset(("properties", "patternProperties"))

VALUES = frozenset(("const", "enum"))

COUNTS = frozenset(
    ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
)

NUMBERS = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))

UNENFORCEABLE = frozenset(
    (
        "not",
        "if",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "$dynamicRef",
    )
)
"""Keywords that restrict a value and that no mask can enforce; `then` and `else` go with `if`."""

TYPES = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))

FORMATS = frozenset(
    (
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
        "uri",
    )
)
"""Formats of strings that the grammar keeps to.

Source: llguidance 1.9.1, docs/json_schema.md.
"""

NUMBER_FORMATS = frozenset(
    ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double")
)
"""OpenAPI's notes on how a number is stored, which say nothing about its text."""

OF_TYPE = {
    "object": frozenset(
        (
            "properties",
            "patternProperties",
            "additionalProperties",
            "required",
            "minProperties",
            "maxProperties",
        )
    ),
    "array": frozenset(("items", "prefixItems", "minItems", "maxItems")),
    "string": frozenset(("minLength", "maxLength", "pattern", "format")),
    "number": NUMBERS,
}
"""Keywords that say something about values of one type only."""
