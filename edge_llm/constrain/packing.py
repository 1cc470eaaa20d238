"""Grammars as plain JSON values and back, for the pipe between a host and its engine's process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edge_llm.constrain import grammar as descriptions
from edge_llm.constrain.grammar import Grammar
from edge_llm.errors import GrammarError, GrammarTooLargeError

MAX_CHARACTERS = 1 << 22
"""Of a grammar as JSON, with the definitions in its schemas that nothing refers to."""

_KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            descriptions.JsonSchema,
            descriptions.JsonObject,
            descriptions.Regex,
            descriptions.Choice,
            descriptions.Lark,
            descriptions.Marker,
            descriptions.FreeText,
            descriptions.Until,
            descriptions.Concat,
            descriptions.Either,
            descriptions.Repeat,
            descriptions.Selection,
            descriptions.Trigger,
            descriptions.Triggered,
        )
    }
)


def pack_grammar(grammar: Grammar) -> dict[str, Any]:
    """What `unpack_grammar` turns back: JSON values only."""
    values = {f.name: _pack(getattr(grammar, f.name)) for f in dataclasses.fields(grammar)}
    return {"kind": type(grammar).__name__, **values}


def dump_grammar(grammar: Grammar) -> str:
    """The grammar as JSON text, which `load_grammar` reads; equal texts mean equal grammars.

    Raises:
        GrammarError: it holds something that JSON does not have.
        GrammarTooLargeError: it is nested too deeply or too long.
    """
    try:
        text = json.dumps(pack_grammar(grammar), separators=(",", ":"))
    except RecursionError:
        raise GrammarTooLargeError("the grammar is nested too deeply") from None
    except (TypeError, ValueError) as exc:
        raise GrammarError(f"the grammar is no JSON: {exc}") from exc
    if len(text) > MAX_CHARACTERS:
        raise GrammarTooLargeError(f"the grammar has more than {MAX_CHARACTERS} characters")
    return text


def load_grammar(text: str) -> Grammar:
    """The grammar that `dump_grammar` took.

    Raises:
        GrammarTooLargeError: this thread has less room for nesting than the other had.
    """
    try:
        return unpack_grammar(json.loads(text))
    except RecursionError:
        raise GrammarTooLargeError("the grammar is nested too deeply") from None


def unpack_grammar(packet: Mapping[str, Any]) -> Grammar:
    """The grammar that `pack_grammar` took."""
    kind = _KINDS[packet["kind"]]
    names = [f.name for f in dataclasses.fields(kind)]
    is_schema = kind is descriptions.JsonSchema
    values = {name: packet[name] if is_schema else _unpack(packet[name]) for name in names}
    unpacked: Grammar = kind(**values)
    return unpacked


def _pack(value: Any) -> Any:
    if type(value) in _KINDS.values():
        return pack_grammar(value)
    if isinstance(value, tuple):
        return [_pack(one) for one in value]
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_unpack(one) for one in value)
    return unpack_grammar(value) if isinstance(value, dict) else value
