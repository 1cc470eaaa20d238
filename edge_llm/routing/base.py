"""The words of routing: facts about a request and its tiers in, a decision with its reason out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal, Protocol, TypeAlias

Need: TypeAlias = str
"""What a request needs of a tier: `tools`, `vision`, `json_schema`, `logprobs`, `language:de`."""

Label: TypeAlias = Literal["local_only", "redact", "allow"]
"""What may leave the device: nothing, what is left after redaction, or everything."""

Trust: TypeAlias = Literal["device", "lan", "cloud"]
"""Whose machine a tier runs on: this one, another one of the owner, or anybody's."""


class EscalationReason(StrEnum):
    """Why a request did not stay with the first tier."""

    CONTEXT_LENGTH = "context_length"
    CAPABILITY = "capability"
    PRIVACY = "privacy"
    BUDGET = "budget"
    HEALTH = "health"
    TASK = "task"
    MODEL_ROUTER = "model_router"
    OFFLINE = "offline"
    UNAVAILABLE = "unavailable"
    """Every endpoint of the tier has failed lately: its circuit breakers are open."""
    DEADLINE = "deadline"
    UNSURE = "unsure"
    """The model itself said so before it began to answer."""
    LOW_CONFIDENCE = "low_confidence"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    LOOP = "loop"
    VALIDATOR = "validator"
    """The caller's own check, or that of JSON and tool calls, refused the answer."""
    VERIFIER = "verifier"
    """The cloud model, asked to judge the draft, refused it."""
    TIER_ERROR = "tier_error"
    """The model or endpoint of the tier failed."""


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """How the device is; None where it cannot be measured here."""

    available_memory_bytes: int | None = None
    memory_pressure: float | None = None
    """Share of the last 10 s in which some task waited for memory, in [0, 1] (PSI)."""
    temperature_c: float | None = None
    is_throttled: bool | None = None
    """Whether the clock is held down for heat or for lack of power."""


@dataclass(frozen=True, slots=True)
class TierFacts:
    """What one tier can do, and what this request would take of it."""

    name: str
    trust: Trust = "device"
    is_local: bool = True
    """Whether the model runs in this program's own engine."""
    prompt_tokens: int = 0
    """Counted with the tier's own template and tokenizer, or else with those of a local tier."""
    context_length: int | None = None
    """Tokens of prompt and answer together; None where nobody said."""
    capabilities: frozenset[Need] = frozenset()
    languages: frozenset[str] | None = None
    """Languages it answers in; None takes all."""
    is_available: bool = True
    """False while every endpoint's circuit breaker is open."""
    needs_network: bool = False
    """Whether it is reached through anything but the loopback interface."""
    estimated_usd: float = 0.0
    """What the request may cost there at most."""
    estimated_bytes: int = 0
    """What would be sent there."""
    expected_s: float | None = None
    """How long it would take at least, from what was measured before; None: unknown."""


@dataclass(frozen=True, slots=True)
class RoutingFacts:
    """What is known of one request before anything is generated."""

    max_tokens: int
    """Room that the answer needs."""
    needs: frozenset[Need] = frozenset()
    label: Label = "local_only"
    text: str = field(default="", repr=False)
    """What the user said last, for rules that look at it."""
    tags: frozenset[str] = frozenset()
    budget_left_usd: float | None = None
    """None: no limit."""
    budget_left_bytes: int | None = None
    health: HealthFacts = HealthFacts()
    is_offline: bool = False
    time_left_s: float | None = None
    """Until the deadline; None: no deadline."""
    hardness: float | None = None
    """The local model's own estimate that a larger one is needed, in [0, 1]; None: not asked."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a tier shall not have the request."""

    reason: EscalationReason
    score: float | None = None
    threshold: float | None = None
    signal: str | None = None
    """What `score` measures."""
    is_hard: bool = True
    """The tier cannot or may not have it; otherwise it may where no other tier can."""
    checkpoint: str | None = None
    """How far a draft was when it was refused; None: it was not the draft."""


@dataclass(frozen=True, slots=True)
class TierRefusal:
    """A refusal, of which tier, by which policy."""

    tier: str
    policy: str
    refusal: Refusal


class RoutingPolicy(Protocol):
    """One rule. Frozen: what it compares with is configuration."""

    name: ClassVar[str]

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Why this tier shall not have this request; None leaves it to the other policies."""
        ...


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Where a request goes, and what kept it from the tiers before."""

    tier: str | None
    """None: no tier may have it."""
    reason: EscalationReason | None = None
    """Why it left the first tier; None when it did not."""
    score: float | None = None
    threshold: float | None = None
    signal: str | None = None
    policy: str | None = None
    is_second_best: bool = False
    """Whether every tier was refused, and this one only softly."""
    refusals: tuple[TierRefusal, ...] = ()
    """The first refusal of each tier that was looked at, in order."""
