"""An answer that must call certain tools with certain arguments, or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from edge_llm.evaluate.graders.base import Call, Reply, flag, one_of, refuse_unknown_options
from edge_llm.evaluate.graders.json_value import matches


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Right when every expected call is made, and no other; an empty list expects none.

    In any order unless `ordered`. With `match: subset` a call may have further arguments.
    """

    name: ClassVar[str] = "tool_calls"
    expects: ClassVar[str] = 'a call {"name": "f", "arguments": {"a": 1}}, or a list of them'
    calls: tuple[Call, ...]
    ordered: bool = False
    match: str = "equal"

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """See `Grader.parse`."""
        refuse_unknown_options(options, "ordered", "match")
        records = [reference] if isinstance(reference, Mapping) else reference
        if not isinstance(records, list):
            raise ValueError(f"{cls.expects}, not {reference!r}")
        calls = tuple(cls._call(record) for record in records)
        match = one_of(options, "match", "equal", "subset")
        return cls(calls, flag(options, "ordered", False), match)

    @classmethod
    def _call(cls, record: Any) -> Call:
        if isinstance(record, Mapping) and isinstance(record.get("function"), Mapping):
            record = record["function"]  # as the OpenAI API nests it
        is_call = isinstance(record, Mapping) and isinstance(record.get("name"), str)
        arguments = record.get("arguments", {}) if is_call else None
        if not isinstance(arguments, Mapping):
            raise ValueError(f"{cls.expects}, not {record!r}")
        return str(record["name"]), arguments

    def grade(self, reply: Reply) -> float:
        """1 where the calls are the expected ones, else 0."""
        if len(reply.calls) != len(self.calls):
            return 0.0
        if self.ordered:
            pairs = zip(reply.calls, self.calls, strict=True)
            return float(all(self._fits(found, wanted) for found, wanted in pairs))
        return float(_can_pair([[self._fits(f, w) for f in reply.calls] for w in self.calls]))

    def _fits(self, found: Call, wanted: Call) -> bool:
        subset = self.match == "subset"
        return found[0] == wanted[0] and matches(dict(found[1]), dict(wanted[1]), subset)


def _can_pair(fits: list[list[bool]]) -> bool:
    """Whether every wanted call has a made call of its own: a perfect matching.

    Source: Kuhn 1955, by augmenting paths; O(n^3).
    """
    owner: dict[int, int] = {}

    def claim(wanted: int, seen: set[int]) -> bool:
        for made, fit in enumerate(fits[wanted]):
            if fit and made not in seen:
                seen.add(made)
                if made not in owner or claim(owner[made], seen):
                    owner[made] = wanted
                    return True
        return False

    return all(claim(wanted, set()) for wanted in range(len(fits)))
