"""An answer that must be, or contain, certain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from edge_llm.evaluate.graders.base import Reply, one_of, refuse_unknown_options

MAX_TEXT = 200_000
MAX_STARTS = 200
"""Places in an answer where JSON may begin that are tried."""


@dataclass(frozen=True, slots=True)
class JsonValue:
    """Right when the answer's JSON is the reference; with `match: subset`, when it holds all of it.

    The JSON may stand alone, in a code block or among words; the first value that parses counts,
    objects and lists before bare numbers and texts.
    """

    name: ClassVar[str] = "json"
    expects: ClassVar[str] = "a JSON value"
    value: Any
    match: str = "equal"

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """See `Grader.parse`."""
        refuse_unknown_options(options, "match")
        return cls(reference, one_of(options, "match", "equal", "subset"))

    def grade(self, reply: Reply) -> float:
        """1 where a value of the answer fits, else 0."""
        found = next(find_values(reply.text), _NOTHING)
        return float(matches(found, self.value, self.match == "subset"))


_NOTHING = object()


def find_values(text: str) -> Iterator[Any]:
    """The JSON values in a text: the whole of it, else the first object or list in it."""
    text = text[:MAX_TEXT].strip()
    decoder = json.JSONDecoder()
    try:
        yield decoder.decode(text)
        return
    except (ValueError, RecursionError):
        pass
    starts = [index for index, letter in enumerate(text) if letter in "{["][:MAX_STARTS]
    for start in starts:
        try:
            yield decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
        return


def matches(found: Any, wanted: Any, is_subset: bool) -> bool:
    """Whether a value is the wanted one; as a subset, objects may have further keys.

    1 and 1.0 are one number; true is none. A list has its length and order.
    """
    try:
        return _matches(found, wanted, is_subset)
    except RecursionError:
        return False


def _matches(found: Any, wanted: Any, is_subset: bool) -> bool:
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or wanted.keys() - found.keys():
            return False
        if not is_subset and found.keys() - wanted.keys():
            return False
        return all(_matches(found[key], value, is_subset) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return False
        return all(_matches(*pair, is_subset) for pair in zip(found, wanted, strict=True))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    return bool(found == wanted)
