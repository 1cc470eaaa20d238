"""What goes into an engine and what comes out: plain values, which may cross a process border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from edge_llm.errors import EdgeLLMError
from edge_llm.types import FinishReason, SamplingParams, TokenStatistics


class ConstraintState(Protocol):
    """Steers one sequence; mutable, lives and ends with it."""

    def advance(self, token_id: int, text: str) -> Sequence[int]:
        """Told each token in turn with the text it completed; returns tokens that must follow."""
        ...


class Constraint(Protocol):
    """What a request wants its answer to keep to: a frozen description."""

    def start(self) -> ConstraintState:
        """The state for a sequence that begins now."""
        ...


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What `Engine.add_request` takes."""

    token_ids: tuple[int, ...]
    params: SamplingParams
    constraint: Constraint | None = None
    deadline_s: float | None = None
    """Point on `time.monotonic` at which the sequence is given up."""
    visible_tokens: frozenset[int] = frozenset()
    """Control tokens whose spelling belongs in the text, such as `<tool_call>`."""
    prefill_only: bool = False
    """Compute the prompt and end: it is wanted in the prefix cache, not answered."""
    pinned: bool = False
    """With `prefill_only`: never evict it from the prefix cache."""
    statistics: int | None = None
    """How many most likely tokens to report with each token; None reports no statistics."""
    watched_ids: tuple[int, ...] = ()
    """Tokens whose log-probability the statistics name each time, however unlikely they are."""
    self_certainty: bool = False
    """Whether the statistics say it: one more sum over the vocabulary for each token."""
    spells: bool = False
    """Send the bytes of every token that the statistics name."""


@dataclass(frozen=True, slots=True)
class SequenceEvent:
    """What one step did to one sequence. The last one has a `finish_reason` or an `error`."""

    request_id: int
    token_ids: tuple[int, ...] = ()
    text: str = ""
    """Text that is certain now: whole characters, no part of a stop string."""
    finish_reason: FinishReason | None = None
    error: EdgeLLMError | None = None
    num_cached_tokens: int | None = None
    """On the last event: prompt tokens whose KV state was reused instead of computed."""
    statistics: tuple[TokenStatistics | None, ...] = ()
    """One for each of `token_ids` where the request asked for them, else empty.

    None for a token that the constraint forced: no logits were computed for it.
    """
    spellings: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """The bytes of these token ids and of those in the statistics, where the request asked."""

    @property
    def is_last(self) -> bool:
        """Whether nothing more comes for this request."""
        return self.finish_reason is not None or self.error is not None
