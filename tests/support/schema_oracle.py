"""Whether a text keeps to a JSON schema: the `jsonschema` package, made as strict as the standard.

It has never heard of grammars. Python's own readings are taken out: `\\d` means ten digits,
`\\s` white space of all scripts, `$` the very end, and a multiple of 0.01 is decided in decimals.
Formats are demands, and OpenAPI's `nullable` allows null.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import jsonschema
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_DURATION = r"P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?"
_SPACE = "\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
"""Source: ECMA-262, 15th edition, 22.2.2.9, CharacterClassEscape :: s."""
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"


def faults(schema: Any, text: str) -> list[str]:
    """Where the text breaks the schema, each with its place; empty when it keeps to it.

    Raises:
        RecursionError: the schema refers to itself without end.
        referencing.exceptions.Unresolvable: it refers to what is not in it.
    """
    try:
        answer = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        return [f"not JSON: {error}"]
    return [f"{error.json_path}: {error.message}"[:300] for error in _errors(schema, answer)]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _errors(schema: Any, answer: Any) -> Iterator[ValidationError]:
    default = jsonschema.Draft202012Validator
    chosen = validator_for(schema, default=default)
    found: Iterator[ValidationError] = _strict(chosen)(
        schema, format_checker=_formats()
    ).iter_errors(answer)
    return found


@lru_cache
def _strict(chosen: type[Validator]) -> type[Validator]:
    strict: type[Validator]
    own = {"pattern": _pattern, "multipleOf": _multiple_of, "type": _type_of(chosen)}
    strict = extend(chosen, {**own, "patternProperties": _pattern_properties})
    return strict


def _type_of(chosen: type[Validator]) -> Any:
    plain = chosen.VALIDATORS["type"]

    def check(validator: Any, types: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        if value is not None or schema.get("nullable") is not True:
            yield from plain(validator, types, value, schema)

    return check


def search(pattern: str, text: str) -> bool:
    """Whether a pattern of ECMA-262 occurs in the text."""
    return _compiled(pattern).search(text) is not None


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    named = pattern.replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    # In and out of classes alike: in a class, `\Z` would not compile, so `$` there stays.
    parts = re.split(r"(\\.|\[(?:\\.|[^\]\\])*\])", named)
    read = "".join(_part(p) if i % 2 else p.replace("$", r"\Z") for i, p in enumerate(parts))
    return re.compile(read, re.ASCII)


def _part(part: str) -> str:
    """An escape or a class, with the white space of ECMA-262."""
    if part.startswith("["):
        return part.replace(r"\s", _SPACE)
    return {r"\s": f"[{_SPACE}]", r"\S": f"[^{_SPACE}]"}.get(part, part)


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not search(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, schema in patterns.items():
        for name, one in value.items():
            if search(pattern, name):
                yield from validator.descend(one, schema, path=name, schema_path=pattern)


def _multiple_of(_: Any, divisor: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        return
    if (Fraction(repr(value)) / Fraction(repr(divisor))).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {divisor!r}")


@lru_cache
def _formats() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker(formats=())
    checks = {
        "date": _is_date,
        "time": lambda text: bool(re.fullmatch(_TIME, text, re.ASCII)),
        "date-time": lambda text: _is_date(text[:10]) and _is_time_part(text[10:]),
        "duration": lambda text: bool(re.fullmatch(_DURATION, text, re.ASCII)) and text[-1] != "T",
        "email": lambda text: bool(re.fullmatch(r"[^\s@]+@[^\s@]+|\".+\"@[^\s@]+", text)),
        "uuid": lambda text: bool(re.fullmatch(_UUID, text)),
        "ipv4": lambda text: bool(ipaddress.IPv4Address(text)),
        "ipv6": lambda text: "%" not in text and bool(ipaddress.IPv6Address(text)),
        "hostname": lambda text: bool(re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", text)),
        "uri": lambda text: bool(urlsplit(text).scheme) and not re.search(r"[^!-~]", text),
        "uri-reference": lambda text: not re.search(r"[^!-~]", text),
        "json-pointer": lambda text: bool(re.fullmatch(r"(/([^~/]|~[01])*)*", text)),
    }  # fmt: skip
    for name, check in checks.items():
        checker.checks(name, raises=ValueError)(_for_text(check))
    return checker


def _for_text(check: Any) -> Any:
    return lambda value: not isinstance(value, str) or check(value)


def _is_date(text: str) -> bool:
    found = re.fullmatch(_DATE, text, re.ASCII)
    return found is not None and bool(datetime.date(*map(int, found.groups())))


def _is_time_part(text: str) -> bool:
    return bool(re.fullmatch(f"[Tt]{_TIME}", text, re.ASCII))
