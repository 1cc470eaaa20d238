"""A schema as people write it, as one that a grammar can keep to, and what that leaves out.

Every schema passes here before the library sees it: sizes are bounded, references resolved inside
the document only, spellings of older drafts brought to one. Knows no library.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from edge_llm.constrain import keywords
from edge_llm.constrain.drafts import Schema, in_one_draft
from edge_llm.constrain.numbers import Multiples, fit_bound, is_exact
from edge_llm.constrain.references import References, escape, refuse_empty_cycles
from edge_llm.errors import GrammarError, GrammarTooLargeError, UnsupportedSchemaError

MAX_SCHEMAS = 10_000
"""Those that nothing refers to are not counted."""
MAX_VALUES = 50_000
"""In `enum` and `const`."""
MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 200
"""Schemas one inside the other."""
MAX_VALUE_DEPTH = 50
MAX_PROPERTIES = 1000
"""Of one object: the time to compile it grows with the square (0.35 s for 1000 optional ones)."""
MAX_COUNT = 1_000_000
"""An answer never has so many characters or items."""

_LARGEST = 10**300

_LIFT_EVERY = 16
"""Deeper schemas move to definitions: the library's JSON parser goes 127 levels deep,
and this walk is recursive itself."""


@dataclass(frozen=True, slots=True)
class PreparedSchema:
    """What the grammar is made from."""

    schema: dict[str, Any]
    relaxed: tuple[str, ...]
    """JSON pointers of the keywords that the grammar does not enforce."""


def prepare_schema(
    schema: Mapping[str, Any] | bool,
    *,
    strict: bool,
    without: Set[str] = frozenset(),
    refuses: Callable[[str], bool] | None = None,
) -> PreparedSchema:
    """The same schema in the words of one draft, without what no grammar can express.

    The keywords in `without` are given up as well, `oneOf` then becoming `anyOf`, and so are the
    patterns that `refuses` says cannot be used.

    Raises:
        UnsupportedSchemaError: `strict`, and something would be left out.
        GrammarError: it is no schema, or refers to another document.
        GrammarTooLargeError: it is larger or deeper than can be compiled in bounded time.
    """
    walk = _Walk(schema, strict, without)
    walk.refuses = refuses or walk.refuses
    root = walk.schema(schema, "#", 0)
    walk.finish()
    if root is False:
        raise GrammarError("the schema is false, so that nothing fits it")
    refuse_empty_cycles({"": root, **walk.definitions})
    prepared = {} if isinstance(root, bool) else root
    if walk.definitions:
        prepared = {**prepared, "$defs": walk.definitions}
    return PreparedSchema(prepared, tuple(dict.fromkeys(walk.relaxed)))


class _Walk:
    """One pass over one document."""

    def __init__(self, document: Mapping[str, Any] | bool, strict: bool, without: Set[str]) -> None:
        self._references = References(document)
        self._strict = strict
        self._without = without
        self.refuses: Callable[[str], bool] = lambda pattern: False
        self._names: dict[str, str] = {}
        self._multiples = Multiples()
        self._num_schemas = 0
        self._num_values = 0
        self._num_characters = 0
        self._waiting: deque[tuple[str, Any, str, int]] = deque()
        self.definitions: dict[str, Schema] = {}
        self.relaxed: list[str] = []

    def finish(self) -> None:
        """Walk what `schema` came to refer to, and what that refers to."""
        while self._waiting:
            name, schema, path, depth = self._waiting.popleft()
            self.definitions[name] = self.schema(schema, path, depth)

    def schema(self, schema: Any, path: str, depth: int) -> Schema:
        """The schema at `path`; what it refers to is left to `finish`."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise GrammarError(f"the schema at {path} is neither an object nor true or false")
        self._num_schemas += 1
        if self._num_schemas > MAX_SCHEMAS:
            raise GrammarTooLargeError(f"more than {MAX_SCHEMAS} schemas in one")
        if depth > MAX_DEPTH:
            raise GrammarTooLargeError(f"the schema is more than {MAX_DEPTH} levels deep")
        found: dict[str, Any] = {}
        for keyword, value in schema.items():
            if not isinstance(keyword, str):
                raise GrammarError(f"the key {keyword!r} at {path} is no text")
            if value is not None or keyword == "const":
                self._keyword(found, keyword, value, f"{path}/{escape(keyword)}", depth)
        return in_one_draft(found, nullable=schema.get("nullable") is True)

    def _keyword(
        self, found: dict[str, Any], keyword: str, value: Any, path: str, depth: int
    ) -> None:
        if keyword in self._without:
            self._relax(path, keyword)
            if keyword != "oneOf":
                return
            keyword = "anyOf" if "anyOf" not in found else "allOf"
            value = value if keyword == "anyOf" else [{"anyOf": value}]
        if keyword in ("$ref", "$recursiveRef"):
            found["$ref"] = self._refer(value, path)
        elif keyword in keywords.NAMED_SCHEMAS:
            found[keyword] = self._named(value, path, depth)
        elif keyword in keywords.MANY_SCHEMAS or _is_draft_4_items(keyword, value):
            found[keyword] = self._list(value, path, depth)
        elif keyword in keywords.ONE_SCHEMA:
            found[keyword] = self._inside(value, path, depth)
        elif keyword in keywords.VALUES:
            self._add_values(found, keyword, value, path)
        elif keyword in keywords.UNENFORCEABLE:
            if not _says_nothing(keyword, value):
                self._relax(path, keyword)
        else:
            self._plain(found, keyword, value, path)

    def _plain(self, found: dict[str, Any], keyword: str, value: Any, path: str) -> None:
        if keyword in keywords.COUNTS:
            _add_count(found, keyword, value, path)
        elif keyword in keywords.NUMBERS:
            self._add_number(found, keyword, value, path)
        elif keyword == "type":
            found[keyword] = _types(value, path)
        elif keyword == "required":
            self._add_required(found, value, path)
        elif keyword == "pattern":
            self._add_pattern(found, value, path)
        elif keyword == "format":
            self._add_format(found, value, path)
        # All others are notes to people, or to other programs.

    def _inside(self, schema: Any, path: str, depth: int) -> Schema:
        """A schema inside another, as a definition where it would be nested too deeply."""
        if (depth + 1) % _LIFT_EVERY:
            return self.schema(schema, path, depth + 1)
        return {"$ref": f"#/$defs/{self._define(schema, path, depth + 1)}"}

    def _define(self, schema: Any, path: str, depth: int) -> str:
        """The name of a definition that `finish` is going to fill."""
        name = f"d{len(self.definitions)}"
        self.definitions[name] = {}
        self._waiting.append((name, schema, path, depth))
        return name

    def _refer(self, reference: Any, path: str) -> str:
        pointer = self._references.resolve(reference, path)
        name = self._names.get(pointer)
        if name is None:
            target = self._references.target(pointer, path)
            name = self._names[pointer] = self._define(target, pointer, 0)
        return f"#/$defs/{name}"

    def _named(self, schemas: Any, path: str, depth: int) -> dict[str, Any]:
        if not isinstance(schemas, Mapping):
            raise GrammarError(f"{path} is no object of schemas")
        if len(schemas) > MAX_PROPERTIES:
            raise GrammarTooLargeError(f"{path} has more than {MAX_PROPERTIES} entries")
        return {
            self._text(name, path): self._inside(schema, f"{path}/{escape(name)}", depth)
            for name, schema in schemas.items()
        }

    def _list(self, schemas: Any, path: str, depth: int) -> list[Schema]:
        if not isinstance(schemas, list | tuple):
            raise GrammarError(f"{path} is no list of schemas")
        return [
            self._inside(schema, f"{path}/{index}", depth) for index, schema in enumerate(schemas)
        ]

    def _add_values(self, found: dict[str, Any], keyword: str, value: Any, path: str) -> None:
        if keyword == "enum" and not isinstance(value, list | tuple):
            raise GrammarError(f"{path} is no list of values")
        copied = self._value(value, path, 0)
        if keyword == "enum":
            exact = [one for one in copied if is_exact(one)]
            copied = exact or copied
        if is_exact(copied):
            found[keyword] = copied
        else:
            self._relax(path, keyword)

    def _add_number(self, found: dict[str, Any], keyword: str, value: Any, path: str) -> None:
        if isinstance(value, bool):  # draft 4
            found[keyword] = value
            return
        _check_number(value, path)
        if keyword == "multipleOf":
            kept = value if self._multiples.admit(value) else None
        else:
            kept = fit_bound(keyword, value)
        if kept is None:
            self._relax(path, keyword)
        else:
            found[keyword] = kept

    def _value(self, value: Any, path: str, depth: int) -> Any:
        """A copy of a JSON value, checked to be one."""
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            raise GrammarTooLargeError(f"more than {MAX_VALUES} values in a schema")
        if depth > MAX_VALUE_DEPTH:
            raise GrammarTooLargeError(f"{path} is more than {MAX_VALUE_DEPTH} levels deep")
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, Mapping):
            pairs = value.items()
            return {self._text(k, path): self._value(v, path, depth + 1) for k, v in pairs}
        if isinstance(value, list | tuple):
            return [self._value(one, path, depth + 1) for one in value]
        if value is not None and not isinstance(value, bool):
            _check_number(value, path)
        return value

    def _text(self, text: Any, path: str) -> str:
        if not isinstance(text, str):
            raise GrammarError(f"{text!r:.80} at {path} is no text")
        self._num_characters += len(text)
        if self._num_characters > MAX_CHARACTERS:
            raise GrammarTooLargeError(f"the schema has more than {MAX_CHARACTERS} characters")
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise GrammarError(f"a text at {path} has half a surrogate pair")
        return text

    def _add_required(self, found: dict[str, Any], value: Any, path: str) -> None:
        if isinstance(value, bool):  # draft 3, and what people take for it
            if value:
                self._relax(path, "required")
            return
        if not isinstance(value, list | tuple):
            raise GrammarError(f"{path} is no list of names")
        found["required"] = list(dict.fromkeys(self._text(name, path) for name in value))

    def _add_pattern(self, found: dict[str, Any], value: Any, path: str) -> None:
        if self.refuses(pattern := self._text(value, path)):
            self._relax(path, "pattern")
        else:
            found["pattern"] = pattern

    def _add_format(self, found: dict[str, Any], value: Any, path: str) -> None:
        if value in keywords.FORMATS:
            found["format"] = value
        elif value not in keywords.NUMBER_FORMATS:
            self._relax(path, "format")

    def _relax(self, path: str, keyword: str) -> None:
        if self._strict:
            raise UnsupportedSchemaError(path, keyword)
        self.relaxed.append(path)


def _says_nothing(keyword: str, value: Any) -> bool:
    """Whether the keyword restricts nothing with this value."""
    if keyword in ("uniqueItems", "not"):
        return value is False
    if keyword in ("unevaluatedItems", "unevaluatedProperties", "propertyNames"):
        return value is True or value == {}
    return bool(value in ({}, [])) and keyword.startswith("depend")


def _is_draft_4_items(keyword: str, value: Any) -> bool:
    return keyword == "items" and isinstance(value, list | tuple)


def _add_count(found: dict[str, Any], keyword: str, value: Any, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
        raise GrammarError(f"{path} is no whole number")
    if value < 0:
        raise GrammarError(f"{path} is negative")
    if value <= MAX_COUNT:
        found[keyword] = int(value)
    elif keyword.startswith("min"):
        raise GrammarTooLargeError(f"{path} asks for more than {MAX_COUNT}")


def _check_number(value: Any, path: str) -> None:
    if not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise GrammarError(f"{value!r:.80} at {path} is no number that JSON can hold")


def _types(value: Any, path: str) -> Any:
    types = [value] if isinstance(value, str) else value
    if not isinstance(types, list | tuple) or not types:
        raise GrammarError(f"{path} is no type")
    for one in types:
        if one not in keywords.TYPES:
            raise GrammarError(
                f"{one!r:.80} at {path} is no type",
                hint="JSON has: object, array, string, number, integer, boolean, null",
            )
    return value if isinstance(value, str) else list(dict.fromkeys(types))
