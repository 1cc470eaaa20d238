"""Parameters of tools in the shapes that servers of tools publish; none is anybody's own text."""

from __future__ import annotations

from typing import Any

from tests.support.schema_values import Schema

_PATH: Schema = {"type": "string", "description": "An absolute path"}


def _tool(properties: dict[str, Any], *required: str, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), **more}


_JSON_SCHEMA_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}

TOOLS: dict[str, Schema] = {
    "edit_file": _tool(
        {
            "path": _PATH,
            "edits": {
                "type": "array",
                "items": _tool(
                    {"oldText": {"type": "string"}, "newText": {"type": "string"}},
                    *("oldText", "newText"),
                    additionalProperties=False,
                ),
            },
            "dryRun": {"type": "boolean", "default": False},
        },
        *("path", "edits"),
        additionalProperties=False,
        **_JSON_SCHEMA_7,
    ),
    "no_parameters": {"type": "object", "properties": {}, **_JSON_SCHEMA_7},
    "create_event": _tool(
        {
            "summary": {"type": "string", "minLength": 1, "maxLength": 120},
            "start": {
                "type": "object",
                "oneOf": [
                    _tool({"dateTime": {"type": "string", "format": "date-time"}}, "dateTime"),
                    _tool({"date": {"type": "string", "format": "date"}}, "date"),
                ],
            },
            "attendees": {
                "type": "array",
                "maxItems": 3,
                "items": _tool(
                    {
                        "email": {"type": "string", "format": "email"},
                        "optional": {"type": "boolean"},
                    },
                    "email",
                ),
            },
            "reminders": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "maxItems": 2,
            },
        },
        *("summary", "start"),
    ),
    "web_search": _tool(
        {
            "q": {"type": "string", "maxLength": 400},
            "count": {"type": "number", "default": 10, "minimum": 1, "maximum": 20},
            "freshness": {"anyOf": [{"enum": ["pd", "pw", "pm"]}, {"type": "null"}]},
            "domains": {"type": "array", "items": {"type": "string", "format": "hostname"}},
        },
        "q",
    ),
    "scrape": _tool(
        {
            "url": {"type": "string", "format": "uri"},
            "formats": {
                "type": "array",
                "items": {"enum": ["markdown", "html", "links", "screenshot@fullPage"]},
                "default": ["markdown"],
            },
            "prompt": {"type": "string", "maxLength": 10_000},
            "extract": _tool({"schema": {"type": "object", "additionalProperties": True}}),
            "timeout": {"type": "integer", "exclusiveMinimum": 0},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "url",
    ),
    "database_query": _tool(
        {
            "sql": {"type": "string", "pattern": "^\\s*(SELECT|WITH)\\b"},
            "params": {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}},
            "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "multipleOf": 1},
        },
        "sql",
    ),
    "create_issue": _tool(
        {
            "owner": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,39}$"},
            "repo": {"type": "string"},
            "title": {"type": "string"},
            "labels": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "milestone": {"type": ["integer", "null"]},
            "state_reason": {"enum": ["completed", "not_planned", "reopened", None]},
        },
        *("owner", "repo", "title"),
        **{"$schema": "https://json-schema.org/draft/2020-12/schema"},
    ),
    "home_service": _tool(
        {
            "domain": {"type": "string", "enum": ["light", "climate", "cover", "media_player"]},
            "service": {"type": "string", "pattern": "^[a-z_]+$"},
            "target": _tool(
                {
                    "entity_id": {
                        "anyOf": [
                            {"type": "string", "pattern": r"^[a-z_]+\.[a-z0-9_]+$"},
                            {"type": "array", "items": {"type": "string"}},
                        ]
                    },
                    "area_id": {"type": "string"},
                },
            ),
            "rgb_color": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": 255},
                "minItems": 3,
                "maxItems": 3,
            },
            "temperature": {"type": "number", "minimum": 7, "maximum": 35, "multipleOf": 0.5},
        },
        *("domain", "service"),
    ),
    "sequential_thoughts": _tool(
        {
            "thought": {"type": "string"},
            "nextThoughtNeeded": {"type": "boolean"},
            "thoughtNumber": {"type": "integer", "minimum": 1},
            "totalThoughts": {"type": "integer", "minimum": 1},
            "branchId": {"type": "string"},
        },
        *("thought", "nextThoughtNeeded", "thoughtNumber", "totalThoughts"),
    ),
    "knowledge_graph": _tool(
        {
            "entities": {
                "type": "array",
                "items": _tool(
                    {
                        "name": {"type": "string"},
                        "entityType": {"type": "string"},
                        "observations": {"type": "array", "items": {"type": "string"}},
                    },
                    *("name", "entityType", "observations"),
                ),
            }
        },
        "entities",
    ),
    "schedule": _tool(
        {
            "cron": {"type": "string", "pattern": r"^(\S+\s+){4}\S+$"},
            "every": {"type": "string", "format": "duration"},
            "script": {"type": "string", "maxLength": 65_536},
            "env": {"type": "object", "patternProperties": {"^[A-Z_]+$": {"type": "string"}}},
        },
    ),
    "chart": _tool(
        {
            "kind": {"const": "scatter"},
            "points": {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": [{"type": "number"}, {"type": "number"}],
                    "additionalItems": False,
                },
                "maxItems": 4,
            },
            "axis": {"$ref": "#/definitions/Axis"},
        },
        *("kind", "points"),
        definitions={"Axis": _tool({"log": {"type": "boolean"}, "min": {"type": "number"}})},
        **_JSON_SCHEMA_7,
    ),
}
"""By name, as they stand under `parameters` or `inputSchema`."""
