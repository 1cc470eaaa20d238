"""An answer's record read back from JSON: the inverse of `Answer.to_dict`."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from edge_llm.types import Answer

T = TypeVar("T")


def read_answer(record: Mapping[str, Any]) -> Answer:
    """The answer that a record tells of; members that this version does not know are left out.

    Raises:
        ValueError: it is no record.
    """
    try:
        return _read(Answer, record)
    except (TypeError, KeyError, AttributeError) as exc:
        raise ValueError(f"no record of an answer: {exc}") from exc


def _read(kind: type[T], record: Mapping[str, Any]) -> T:
    hints = _hints(typing.cast("type", kind))
    known = {name: value for name, value in record.items() if name in hints}
    return kind(**{name: _value(hints[name], value) for name, value in known.items()})


@cache
def _hints(kind: type) -> dict[str, Any]:
    # Not in the class's own names, where a field called `bytes` hides the type.
    hints = typing.get_type_hints(kind, localns={})
    return {field.name: hints[field.name] for field in fields(kind)}


def _value(hint: Any, value: Any) -> Any:
    """`value` as the type that `hint` wants: dataclasses from dicts, tuples from lists, bytes."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        others = [one for one in typing.get_args(hint) if one is not types.NoneType]
        return None if value is None else _value(others[0], value)
    if origin is tuple:
        return tuple(_value(typing.get_args(hint)[0], one) for one in value)
    if hint is bytes:
        return bytes(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return _read(hint, value)
    return value
