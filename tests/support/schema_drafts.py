"""One JSON schema in the words of an older draft; the meaning stays."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from tests.support.schema_values import Schema

Draft: TypeAlias = Literal["4", "6", "7", "2019-09", "2020-12"]

URIS: dict[Draft, str] = {
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
"""Source: https://json-schema.org/specification-links"""

_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs")
_SINGLE = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedProperties", "additionalItems"),
)


def respell(schema: Schema, draft: Draft) -> Schema:
    """The schema as that draft writes it, and says so in `$schema`."""
    spelled = _respell(schema, draft)
    assert isinstance(spelled, dict), "the root says more than yes or no"
    return {"$schema": URIS[draft], **spelled}


def can_respell(schema: Schema, draft: Draft) -> bool:
    """Whether that draft has words for all of it."""
    newer: tuple[str, ...] = ()
    if draft in ("4", "6", "7"):
        newer = ("unevaluatedProperties", "minContains", "maxContains")
    if draft in ("4", "6"):
        newer = (*newer, "if")
    if draft == "4":
        newer = (*newer, "propertyNames", "contains")
    return not _mentions(schema, newer) and "components" not in schema


def _mentions(value: Any, keywords: tuple[str, ...]) -> bool:
    if isinstance(value, dict):
        return any(key in keywords or _mentions(one, keywords) for key, one in value.items())
    return isinstance(value, list) and any(_mentions(one, keywords) for one in value)


def _respell(schema: Any, draft: Draft) -> Any:
    if isinstance(schema, bool):
        # Draft 4 has booleans in two places only.
        return schema if draft != "4" else {} if schema else {"not": {}}
    spelled = {key: _inner(key, value, draft) for key, value in schema.items()}
    if draft != "2020-12":
        _old_arrays(spelled)
    if draft in ("4", "6", "7"):
        _old_words(spelled)
    if draft == "4":
        _oldest_words(spelled)
    return spelled


def _inner(key: str, value: Any, draft: Draft) -> Any:
    if key in _LISTS:
        return [_respell(one, draft) for one in value]
    if key in _MAPS:
        return {name: _respell(one, draft) for name, one in value.items()}
    if key in ("additionalProperties", "additionalItems") and isinstance(value, bool):
        return value
    if key in _SINGLE and not isinstance(value, list):
        return _respell(value, draft)
    if key == "$ref" and draft in ("4", "6", "7"):
        return value.replace("#/$defs/", "#/definitions/")
    return value


def _old_arrays(schema: dict[str, Any]) -> None:
    if "prefixItems" in schema:
        rest = schema.pop("items", None)
        schema["items"] = schema.pop("prefixItems")
        if rest is not None:
            schema["additionalItems"] = rest


def _old_words(schema: dict[str, Any]) -> None:
    if "$defs" in schema:
        schema["definitions"] = schema.pop("$defs")
    dependencies = schema.pop("dependentRequired", {}) | schema.pop("dependentSchemas", {})
    if dependencies:
        schema["dependencies"] = dependencies
    if "$ref" in schema and len(schema) > 1:
        # Beside a reference these drafts read nothing.
        rest = {key: value for key, value in schema.items() if key not in ("$ref", "definitions")}
        if rest:
            kept = {key: schema[key] for key in ("definitions",) if key in schema}
            reference = schema["$ref"]
            schema.clear()
            schema |= kept | {"allOf": [{"$ref": reference}, rest]}


def _oldest_words(schema: dict[str, Any]) -> None:
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    for side in ("Minimum", "Maximum"):
        bound = schema.pop(f"exclusive{side}", None)
        if bound is not None:
            schema[side.lower()] = bound
            schema[f"exclusive{side}"] = True
