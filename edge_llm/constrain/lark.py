"""A grammar in llguidance's own format: one Lark text for what is put together, JSON schemas aside.

Source: llguidance 1.9.1, docs/syntax.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edge_llm.constrain.grammar import (
    Choice,
    Concat,
    Either,
    FreeText,
    Grammar,
    JsonObject,
    JsonSchema,
    Lark,
    Marker,
    Part,
    Regex,
    Repeat,
    Selection,
    Trigger,
    Triggered,
    Until,
)
from edge_llm.errors import GrammarError, GrammarTooLargeError
from edge_llm.prompt.tokenizer import Tokenizer, TokenKind

MAX_PARTS = 20_000
MAX_DEPTH = 50
MAX_CHARACTERS = 1 << 18
"""Of all texts, patterns and Lark grammars together; schemas have a bound of their own."""

_JSON_IN_LARK = re.compile(r"%json\s*(?=\{)")
_ANY = "/(?s:.*)/"

SchemaOf = Callable[[JsonSchema], Mapping[str, Any]]
"""What the library is given for a schema."""


def write_grammar(grammar: Grammar, tokenizer: Tokenizer, schema_of: SchemaOf) -> str:
    """The grammar in the library's format, for this vocabulary.

    Raises:
        GrammarError: a text cannot be encoded, or a part is no grammar.
        GrammarTooLargeError: it has too many parts.
    """
    writer = _Writer(tokenizer, schema_of)
    start = writer.part(grammar, 0)
    text = "\n".join([f"start: {start}", *writer.rules, ""])
    return json.dumps({"grammars": [{"name": "answer", "lark_grammar": text}, *writer.grammars]})


class _Writer:
    """One grammar being written: the rules and the grammars beside it that `start` needs."""

    def __init__(self, tokenizer: Tokenizer, schema_of: SchemaOf) -> None:
        self._schema_of = schema_of
        self._tokens = {
            token.text: token.id
            for token in tokenizer.special_tokens
            if token.kind is not TokenKind.UNKNOWN
        }
        self._free = {
            token.id for token in tokenizer.special_tokens if token.kind is TokenKind.CONTROL
        } - {*tokenizer.eog_ids, tokenizer.bos_id}
        self._num_parts = 0
        self._num_characters = 0
        self.rules: list[str] = []
        self.grammars: list[dict[str, Any]] = []

    def part(self, part: Part, depth: int) -> str:
        """A part as it stands in a rule."""
        self._num_parts += 1
        if self._num_parts > MAX_PARTS or depth > MAX_DEPTH:
            raise GrammarTooLargeError("the grammar has too many parts")
        match part:
            case str():
                return self._literal(part)
            case JsonSchema() | JsonObject() | Lark():
                return self._beside(part)
            case Regex():
                return self._terminal(f"/{_between_slashes(self._text(part.pattern))}/")
            case Choice():
                return self._choice(part)
            case Marker():
                return self._marker(part)
            case FreeText():
                return self._free_text(part.without)
            case Until():
                return self._until(part.end)
            case Concat() | Either() | Repeat() | Selection() | Triggered():
                return self._composed(part, depth + 1)
        raise GrammarError(f"{type(part).__name__} is no part of a grammar")

    def _composed(self, part: Concat | Either | Repeat | Selection | Triggered, depth: int) -> str:
        match part:
            case Concat():
                return self._group(" ".join(self.part(one, depth) for one in part.parts) or '""')
            case Either():
                if not part.options:
                    raise GrammarError("a choice between no parts")
                return self._group(" | ".join(self.part(one, depth) for one in part.options))
            case Repeat():
                return self._repeat(part, depth)
            case Selection():
                return self._selection(part, depth)
        return self._triggered(part, depth)

    def _group(self, text: str) -> str:
        # A rule of its own keeps lines short and nesting shallow for the library's parser.
        return self._rule(text)

    def _rule(self, text: str, options: str = "") -> str:
        name = f"r{len(self.rules)}"
        self.rules.append(f"{name}{options}: {text}")
        return name

    def _terminal(self, text: str) -> str:
        name = f"T{len(self.rules)}"
        self.rules.append(f"{name}: {text}")
        return name

    def _text(self, text: str) -> str:
        self._num_characters += len(text)
        if self._num_characters > MAX_CHARACTERS:
            raise GrammarTooLargeError(f"the grammar has more than {MAX_CHARACTERS} characters")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise GrammarError("a text of the grammar has half a surrogate pair") from None
        return text

    def _literal(self, text: str) -> str:
        return json.dumps(self._text(text), ensure_ascii=False)

    def _beside(self, part: JsonSchema | JsonObject | Lark) -> str:
        name = f"g{len(self.grammars)}"
        content: dict[str, Any]
        match part:
            case Lark():
                content = {"lark_grammar": self._with_our_json(self._text(part.text))}
            case JsonSchema():
                content = {"json_schema": _spaced(self._schema_of(part), part.white_space)}
            case JsonObject():
                content = {"json_schema": _spaced({"type": "object"}, part.white_space)}
        self.grammars.append({"name": name, **content})
        return f"@{name}"

    def _with_our_json(self, lark: str) -> str:
        """The text with every `%json` schema prepared and compact, as schemas are elsewhere."""
        out: list[str] = []
        position = 0
        for found in _JSON_IN_LARK.finditer(lark):
            if found.start() < position:
                continue
            try:
                schema, end = json.JSONDecoder().raw_decode(lark, found.end())
            except (ValueError, RecursionError) as exc:
                raise GrammarError(f"a schema inside the Lark grammar is no JSON: {exc}") from exc
            options = schema.pop("x-guidance", {"whitespace_flexible": False})
            prepared = {**self._schema_of(JsonSchema(schema)), "x-guidance": options}
            out += [lark[position : found.end()], json.dumps(prepared)]
            position = end
        return "".join(out) + lark[position:]

    def _choice(self, part: Choice) -> str:
        options = list(dict.fromkeys(part.options))
        if not options:
            raise GrammarError("a choice between no texts")
        if len(options) > MAX_PARTS:
            raise GrammarTooLargeError(f"a choice between more than {MAX_PARTS} texts")
        texts = [self._literal(one) for one in options if one]
        if not texts:
            return '""'
        name = self._terminal(" | ".join(texts))
        return name if "" not in options else self._rule(f"{name}?")

    def _marker(self, marker: Marker) -> str:
        token_id = self._tokens.get(marker.text)
        return self._literal(marker.text) if token_id is None else f"<[{token_id}]>"

    def _repeat(self, part: Repeat, depth: int) -> str:
        low, high = part.at_least, part.at_most
        _check_counts(low, high)
        if high == 0:
            return '""'
        one = self.part(part.part, depth)
        more = self._rule(f"{self._literal(part.separator)} {one}") if part.separator else one
        if high == 1:
            return one if low else self._rule(f"{one}?")
        # The first stands alone, so that the separator only comes between.
        rest = f"{more}{_count(max(0, low - 1), None if high is None else high - 1)}"
        whole = self._rule(f"{one} {rest}")
        return whole if low > 0 else self._rule(f"{whole}?")

    def _selection(self, part: Selection, depth: int) -> str:
        """As many rules as parts, twice: what may come first, and what after that."""
        separator = self._literal(part.separator) if part.separator else ""
        first = after = '""'
        for one, is_required in reversed(list(zip(part.parts, part.required, strict=True))):
            name = self._group(self.part(one, depth))
            begun = f"{name} {after}"
            first = self._rule(begun if is_required else f"{begun} | {first}")
            later = self._rule(f"{separator} {name}")
            after = self._rule(f"{later}{'' if is_required else '?'} {after}")
        return first

    def _until(self, end: str | Marker) -> str:
        if isinstance(end, Marker) and end.text in self._tokens:
            gap, text = self._gap((end,))
            return self._rule(f"{gap} {text}? {self._marker(end)}")
        return self._rule(f"{_ANY} {self._literal(_spelling(end))}", "[lazy]")

    def _free_text(self, without: Iterable[str | Marker]) -> str:
        gap, text = self._gap(without)
        return self._rule(f"{gap} {text}?")

    def _gap(self, without: Iterable[str | Marker]) -> tuple[str, str]:
        """Rules for text with control tokens up to the last of these, and for the text after it."""
        ends = list(without)
        for one in ends:
            if not _spelling(one):
                raise GrammarError("free text cannot be without the empty text")
        spelled = [f"~({_ANY} {self._literal(_spelling(one))} {_ANY})" for one in ends]
        text = self._terminal(" & ".join(["/(?s:.+)/", *spelled]))
        ids = self._free - {self._tokens.get(_spelling(one)) for one in ends}
        if not ids:
            return '""', text
        return self._rule(f"({text}? <[{_ranges(ids)}]>)*"), text

    def _triggered(self, part: Triggered, depth: int) -> str:
        low, high = part.at_least, part.at_most
        _check_counts(low, high)
        gap, text = self._gap([trigger.begin for trigger in part.triggers])
        free = f"{gap} {text}?"
        if high == 0 or not part.triggers:
            return self._rule(free)
        calls = " | ".join(self._call(one, text, depth) for one in part.triggers)
        more = self._rule(f"{gap} {self._rule(calls)}")
        if not part.ends_after or high is None:
            return self._rule(f"{more}{_count(low, high)} {free}")
        last = self._rule(f"{more}{_count(high, high)}")
        if low == high:
            return last
        fewer = f"{more}{_count(low, high - 1)}" if high > 1 else ""
        return self._rule(f"{last} | {fewer} {free}")

    def _call(self, trigger: Trigger, text: str, depth: int) -> str:
        begin, body = trigger.begin, self.part(trigger.body, depth)
        if isinstance(begin, Marker) and begin.text in self._tokens:
            return self._rule(f"{text}? {self._marker(begin)} {body}")
        head = self._rule(f"{_ANY} {self._literal(_spelling(begin))}", "[lazy]")
        return self._rule(f"{head} {body}")


def _spaced(schema: Mapping[str, Any], white_space: bool) -> dict[str, Any]:
    return {
        **schema,
        "x-guidance": {"whitespace_flexible": white_space, **schema.get("x-guidance", {})},
    }


def _spelling(end: str | Marker) -> str:
    return end.text if isinstance(end, Marker) else end


def _check_counts(low: int, high: int | None) -> None:
    if low < 0 or (high is not None and high < low):
        raise GrammarError(f"a part cannot come at least {low} and at most {high} times")
    if max(low, high or 0) > MAX_PARTS:
        raise GrammarTooLargeError(f"a part cannot be counted to more than {MAX_PARTS}")


def _count(low: int, high: int | None) -> str:
    if high is None:
        return {0: "*", 1: "+"}.get(low, f"{{{low},}}")
    return f"{{{low},{high}}}"


def _ranges(ids: Iterable[int]) -> str:
    """Token ids as `1,4-6`."""
    ranges: list[list[int]] = []
    for token_id in sorted(ids):
        if ranges and token_id == ranges[-1][1] + 1:
            ranges[-1][1] = token_id
        else:
            ranges.append([token_id, token_id])
    return ",".join(f"{low}-{high}" if low != high else f"{low}" for low, high in ranges)


def _between_slashes(pattern: str) -> str:
    """The pattern with its own slashes and line breaks escaped."""
    out: list[str] = []
    escaped = False
    for character in pattern:
        if character == "/" and not escaped:
            out.append("\\")
        if character == "\n":
            out.append("n" if escaped else "\\n")
        else:
            out.append(character)
        escaped = character == "\\" and not escaped
    return "".join(out)
