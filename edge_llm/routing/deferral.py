"""When a draft is given up: pure rules over what it looks like at a checkpoint or at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from edge_llm.routing.base import EscalationReason, Refusal
from edge_llm.routing.loops import is_looping
from edge_llm.types import FinishReason

CHECKPOINTS = (1, 8, 16, 32, 64, 128)
"""After so many tokens of the answer a draft is looked at, and at its end."""

LATER_CHECKPOINTS = 128
"""And every so many tokens after the last of them."""


@dataclass(frozen=True, slots=True)
class DraftFacts:
    """A draft as it stands."""

    text: str = field(default="", repr=False)
    num_tokens: int = 0
    """Of the answer, thoughts not counted."""
    has_calls: bool = False
    finish_reason: FinishReason | None = None
    """None: it goes on."""
    score: float | None = None
    threshold: float | None = None
    signal: str | None = None
    checkpoint: str | None = None
    """Where `score` was measured."""
    said_unsure: bool = False
    """Whether `signal` is the model's own word instead of our reading of it."""
    is_valid: bool = True
    """What the caller's validator says of the whole answer."""
    expected_s: float | None = None
    """How much longer it may take at the speed so far."""
    time_left_s: float | None = None


def is_checkpoint(before: int, now: int) -> bool:
    """Whether a checkpoint lies in the step from `before` to `now` tokens."""
    if any(before < checkpoint <= now for checkpoint in CHECKPOINTS):
        return True
    return now > CHECKPOINTS[-1] and before // LATER_CHECKPOINTS < now // LATER_CHECKPOINTS


def low_confidence(draft: DraftFacts) -> Refusal | None:
    """Give up what the signal puts below its threshold."""
    if draft.score is None or draft.threshold is None or draft.score >= draft.threshold:
        return None
    reason = EscalationReason.UNSURE if draft.said_unsure else EscalationReason.LOW_CONFIDENCE
    return Refusal(reason, draft.score, draft.threshold, draft.signal, checkpoint=draft.checkpoint)


def empty(draft: DraftFacts) -> Refusal | None:
    """Give up an answer of nothing."""
    if draft.finish_reason is None or draft.text.strip() or draft.has_calls:
        return None
    return Refusal(EscalationReason.EMPTY, 0, 1, "characters")


def truncated(draft: DraftFacts) -> Refusal | None:
    """Give up an answer that did not come to its end."""
    if draft.finish_reason != "length":
        return None
    return Refusal(EscalationReason.TRUNCATED, draft.num_tokens, None, "tokens")


def loop(draft: DraftFacts) -> Refusal | None:
    """Give up a text that goes round in circles."""
    return Refusal(EscalationReason.LOOP) if is_looping(draft.text) else None


def validator(draft: DraftFacts) -> Refusal | None:
    """Give up what does not validate."""
    return None if draft.is_valid else Refusal(EscalationReason.VALIDATOR)


def deadline(draft: DraftFacts) -> Refusal | None:
    """Give up what will not be ready in time."""
    expected_s, left_s = draft.expected_s, draft.time_left_s
    if expected_s is None or left_s is None or expected_s <= left_s:
        return None
    return Refusal(EscalationReason.DEADLINE, expected_s, left_s, "seconds")


DeferralRule: TypeAlias = Callable[[DraftFacts], Refusal | None]

RULES: Mapping[str, DeferralRule] = MappingProxyType(
    {
        "confidence": low_confidence,
        "empty": empty,
        "loop": loop,
        "truncated": truncated,
        "validator": validator,
        "deadline": deadline,
    }
)
"""By name, in the order in which they are asked unless the configuration says otherwise."""


def judge(draft: DraftFacts, rules: Sequence[str] = tuple(RULES)) -> Refusal | None:
    """Why the draft is to be given up, by the first rule that says so; None keeps it."""
    for name in rules:
        refusal = RULES[name](draft)
        if refusal is not None:
            return refusal
    return None
