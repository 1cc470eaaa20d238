"""The contract of a grader: a reference read once, then answers in and grades out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from edge_llm.types import Answer

Call = tuple[str, Mapping[str, Any]]
"""Name and arguments of a tool call."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What of an answer is graded."""

    text: str
    calls: tuple[Call, ...] = ()

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """What an answer of the runtime says."""
        return cls(answer.text, tuple((call.name, call.arguments) for call in answer.tool_calls))


class Grader(Protocol):
    """Holds an answer against one reference."""

    name: ClassVar[str]
    """Of the column that holds references for it."""
    expects: ClassVar[str]
    """What a reference must look like, for messages to people."""

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """The grader for one reference.

        Raises:
            ValueError: the reference or an option is not what is expected.
        """
        ...

    def grade(self, reply: Reply) -> float:
        """How right the answer is, in [0, 1]; never raises, whatever the answer says."""
        ...


def refuse_unknown_options(options: Mapping[str, Any], *known: str) -> None:
    """Raise ValueError for an option that the grader does not have."""
    unknown = sorted(options.keys() - set(known))
    if unknown:
        has = ", ".join(known) or "none"
        raise ValueError(f"an unknown option {unknown[0]!r}; there are: {has}")


def flag(options: Mapping[str, Any], name: str, default: bool) -> bool:
    """An option that is true or false.

    Raises:
        ValueError: it is something else.
    """
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def one_of(options: Mapping[str, Any], name: str, *known: str) -> str:
    """An option that is one of some words, the first where it is not given.

    Raises:
        ValueError: it is something else.
    """
    value = options.get(name, known[0])
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    return str(value)
