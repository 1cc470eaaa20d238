"""Where a `$ref` leads inside its own document; nothing outside is ever looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from edge_llm.constrain import keywords
from edge_llm.errors import GrammarError


class References:
    """The targets in one document."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._anchors: dict[str, str] | None = None

    def resolve(self, reference: object, path: str) -> str:
        """The JSON pointer that a reference at `path` stands for, `#` for the whole document.

        Raises:
            GrammarError: it is no reference, or leads out of the document.
        """
        if not isinstance(reference, str):
            raise GrammarError(f"the reference at {path} is no text")
        base, _, fragment = reference.partition("#")
        if base and base != self._own_id:
            if base in self._named:
                return self._named[base] + (unquote(fragment) if fragment else "")
            raise GrammarError(
                f"the reference at {path} leads to another document, {reference[:80]!r}",
                hint="nothing is fetched: put what it names under $defs",
            )
        if fragment and not fragment.startswith("/"):
            if fragment not in self._named:
                raise GrammarError(f"the reference {reference[:80]!r} at {path} leads nowhere")
            return self._named[fragment]
        return "#" + unquote(fragment)

    def target(self, pointer: str, path: str) -> Any:
        """The schema at a pointer that `resolve` gave for the reference at `path`.

        Raises:
            GrammarError: there is none.
        """
        found = self._document
        for raw in pointer[1:].split("/")[1:]:
            key = raw.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (LookupError, ValueError, TypeError):
                raise GrammarError(
                    f"the reference to {pointer[:80]!r} at {path} leads nowhere"
                ) from None
        return found

    @property
    def _own_id(self) -> object:
        document = self._document
        return document.get("$id", document.get("id")) if isinstance(document, Mapping) else None

    @property
    def _named(self) -> Mapping[str, str]:
        """Pointers to what has a name of its own: anchors, and schemas with an `$id`."""
        if self._anchors is None:
            self._anchors = dict(_named_schemas(self._document))
        return self._anchors


MAX_SEARCHED = 100_000


def _named_schemas(document: Any) -> Iterator[tuple[str, str]]:
    """Every name in the document with the pointer to its schema; stops at `MAX_SEARCHED` nodes."""
    waiting: list[tuple[str, Any]] = [("#", document)]
    for _ in range(MAX_SEARCHED):
        if not waiting:
            return
        pointer, node = waiting.pop()
        if isinstance(node, Mapping):
            for name in ("$anchor", "$dynamicAnchor", "$id", "id"):
                if isinstance(name_of := node.get(name), str):
                    yield name_of.removeprefix("#"), pointer
            waiting += [(f"{pointer}/{escape(str(key))}", one) for key, one in node.items()]
        elif isinstance(node, (list, tuple)):
            waiting += [(f"{pointer}/{index}", one) for index, one in enumerate(node)]


def escape(key: str) -> str:
    """A key as it stands in a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def refuse_empty_cycles(schemas: Mapping[str, Any]) -> None:
    """Return when no schema leads back to itself without a step into the value.

    Args:
        schemas: The definitions by name; references are `#/$defs/<name>`.

    Raises:
        GrammarError: one does, so that it says nothing.
    """
    is_done: dict[str, bool] = {}
    for start in schemas:
        waiting = [(start, False)]
        while waiting:
            name, leaves = waiting.pop()
            if leaves:
                is_done[name] = True
            elif name not in is_done:
                is_done[name] = False
                waiting.append((name, True))
                waiting += [(other, False) for other in set(_same_place(schemas[name]))]
            elif not is_done[name]:
                raise GrammarError("the schema refers to itself without getting anywhere")


def _same_place(schema: Any) -> Iterator[str]:
    """Names of the definitions that apply to the same value as the schema."""
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    for keyword in keywords.IN_PLACE:
        for one in schema.get(keyword, ()):
            yield from _same_place(one)
