"""How a `tokenizer.json` spells bytes: what each entry of its vocabulary stands for in a text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from edge_llm.errors import UnsupportedModelError

Spelling: TypeAlias = Callable[[str], bytes]
"""The bytes that an entry of the vocabulary stands for."""

SPACE_MARK = "▁"
"""SentencePiece's visible space."""

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def find_spelling(component_states: list[bytes | None], model: Any) -> Spelling:
    """How a tokenizer with these parts (its decoder first) and this model spells.

    Raises:
        UnsupportedModelError: in a way that cannot be put together from single tokens.
    """
    kind = type(model).__name__
    if kind not in ("BPE", "Unigram", "WordLevel"):
        raise UnsupportedModelError(
            f"the tokenizer is of type {kind}, which cannot be turned back into text",
            hint="models that write text use BPE or Unigram",
        )
    for option in ("continuing_subword_prefix", "end_of_word_suffix"):
        if getattr(model, option, None):
            raise UnsupportedModelError(f"the tokenizer marks words by {option}, as old models do")
    parts = [part for state in component_states if state for part in _parts(json.loads(state))]
    kinds = {part.get("type") for part in parts}
    if "ByteLevel" in kinds:
        return spell_byte_level
    if {"CTC", "WordPiece", "BPEDecoder"} & kinds:
        raise UnsupportedModelError(f"the tokenizer decodes by {sorted(map(str, kinds))}")
    falls_back = bool(getattr(model, "byte_fallback", False)) or "ByteFallback" in kinds
    marks = "Metaspace" in kinds or any(_marks_spaces(part) for part in parts)
    return _spell_pieces(falls_back=falls_back, marks=marks)


def _parts(state: Any) -> Iterator[dict[str, Any]]:
    """A part and those it is made of."""
    if isinstance(state, dict):
        yield state
        for value in state.values():
            yield from _parts(value)
    elif isinstance(state, list):
        for value in state:
            yield from _parts(value)


def _marks_spaces(part: dict[str, Any]) -> bool:
    texts = (part.get("prepend"), part.get("content"), part.get("pattern", {}))
    return part.get("type") in ("Replace", "Prepend") and any(SPACE_MARK in str(t) for t in texts)


def _spell_pieces(*, falls_back: bool, marks: bool) -> Spelling:
    def spell(entry: str) -> bytes:
        if falls_back and (match := _BYTE.fullmatch(entry)):
            return bytes((int(match[1], 16),))
        return (entry.replace(SPACE_MARK, " ") if marks else entry).encode()

    return spell


def spell_byte_level(entry: str) -> bytes:
    """The bytes of an entry in which each character stands for one byte."""
    table = _byte_of_char()
    try:
        return bytes(table[char] for char in entry)
    except KeyError:  # not written in that alphabet: it means itself
        return entry.encode()


@lru_cache(maxsize=1)
def _byte_of_char() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, others for characters from 256 on.

    Source: https://github.com/openai/gpt-2/blob/master/src/encoder.py, `bytes_to_unicode`.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


def without_space_prefix(state: bytes | None) -> bytes | None:
    """A normalizer or pre-tokenizer like this one that adds no leading space; None for none."""
    if state is None:
        return None
    changed = _quiet(json.loads(state))
    return None if changed is None else json.dumps(changed).encode()


def _quiet(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Prepend":
        return None
    changed = dict(part)
    if part.get("type") == "Metaspace":
        changed["prepend_scheme"] = "never"
        changed.pop("add_prefix_space", None)
    elif part.get("type") == "ByteLevel":
        changed["add_prefix_space"] = False
    for key in ("normalizers", "pretokenizers"):
        if isinstance(part.get(key), list):
            changed[key] = [q for q in map(_quiet, part[key]) if q is not None]
    return changed


def prefixes_first_only(state: bytes | None) -> bool:
    """Whether a space is added at the very start of a text alone, not after a special token."""
    if state is None:
        return False
    return any(part.get("prepend_scheme") == "first" for part in _parts(json.loads(state)))
