"""Whether two answers say the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edge_llm.types import ToolCall

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
MAX_CHARS = 8192


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as far as it can be compared."""

    text: str
    calls: tuple[ToolCall, ...] = ()


def agreement(one: Said, other: Said) -> float:
    """How far two answers agree, in [0, 1].

    Calls: all or nothing. Texts: 1 with the same words; else, where both end in a number, whether
    it is the same; else twice the words in common by the words of both (F1).
    Source: Rajpurkar et al., "SQuAD", arXiv:1606.05250, for F1 over words.
    """
    if one.calls or other.calls:
        return float(_calls(one.calls) == _calls(other.calls))
    words = [_WORD.findall(said.text[:MAX_CHARS].lower()) for said in (one, other)]
    if words[0] == words[1]:
        return 1.0
    numbers = [_last_number(said.text[-MAX_CHARS:]) for said in (one, other)]
    if numbers[0] is not None and numbers[1] is not None:
        return float(numbers[0] == numbers[1])
    common = sum((Counter(words[0]) & Counter(words[1])).values())
    return 2.0 * common / (len(words[0]) + len(words[1]))


def loss(kept: Said, other: Said) -> float | None:
    """What is surely lost with an answer if the other one is right: 0 or 1; None: nobody can tell.

    Calls, last numbers and single words can be compared. Free words say one thing in many ways:
    that they differ proves nothing.
    """
    agreed = agreement(kept, other)
    if agreed in (0.0, 1.0) and (agreed == 1.0 or _can_differ(kept, other)):
        return 1.0 - agreed
    return None


def _can_differ(one: Said, other: Said) -> bool:
    if one.calls or other.calls:
        return True
    if all(_last_number(said.text[-MAX_CHARS:]) is not None for said in (one, other)):
        return True
    return all(len(_WORD.findall(said.text[:MAX_CHARS])) == 1 for said in (one, other))


def mean_agreement(answer: Said, others: Sequence[Said]) -> float | None:
    """With each of the others, on average; None without any."""
    return sum(agreement(answer, one) for one in others) / len(others) if others else None


def _calls(calls: tuple[ToolCall, ...]) -> list[tuple[str, object]]:
    return [(call.name, dict(call.arguments)) for call in calls]


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found and len(found[-1]) < 16 else None
