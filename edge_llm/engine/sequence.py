"""One running generation: its tokens, how far they are computed, and what watches over it."""

from __future__ import annotations

import time
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from edge_llm.engine.prefix_cache import PrefixMatch
from edge_llm.engine.sampler import Sampler
from edge_llm.engine.stop import StopStrings
from edge_llm.errors import EdgeLLMError
from edge_llm.prompt.detokenize import Detokenizer
from edge_llm.prompt.tokenizer import Tokenizer
from edge_llm.types import FinishReason, SamplingParams, TokenStatistics


class Constraint(Protocol):
    """Something that steers one sequence; stateful, one per request."""

    def advance(self, token_id: int, text: str) -> Items[int]:
        """Told each token in turn with the text it completed; returns tokens that must follow."""
        ...


class SequenceStatus(Enum):
    """Where a sequence stands in the scheduler."""

    WAITING = auto()
    RUNNING = auto()
    PARKED = auto()
    FINISHED = auto()


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

    @property
    def is_last(self) -> bool:
        """Whether nothing more comes for this request."""
        return self.finish_reason is not None or self.error is not None


@dataclass(eq=False, slots=True)
class Sequence:
    """Mutable state of one request inside the engine."""

    request_id: int
    request: EngineRequest
    sampler: Sampler
    detokenizer: Detokenizer
    stop: StopStrings
    max_len: int
    """Tokens, prompt included, at which it ends by `length`."""
    token_ids: list[int] = field(default_factory=list)
    num_computed: int = 0
    """How many of `token_ids` are in the KV cache."""
    seq_id: int | None = None
    """The backend's id while RUNNING."""
    num_shared: int = 0
    """How many of the computed tokens are in cells that belong to the prefix cache."""
    match: PrefixMatch | None = None
    """The lock on those cells."""
    may_share: bool = True
    """Unset when sharing left too little room."""
    num_cached_tokens: int | None = None
    """Tokens found in the prefix cache when it first ran."""
    status: SequenceStatus = SequenceStatus.WAITING

    @property
    def num_prompt_tokens(self) -> int:
        """Length of the prompt in tokens."""
        return len(self.request.token_ids)

    @property
    def num_uncomputed(self) -> int:
        """Tokens still to go through the model before the next can be chosen; at least 1."""
        return len(self.token_ids) - self.num_computed

    @property
    def is_prefilling(self) -> bool:
        """Whether its next token is more than one token of computing away."""
        return self.num_uncomputed > 1

    @property
    def is_expired(self) -> bool:
        """Whether its deadline has passed."""
        return self.request.deadline_s is not None and time.monotonic() > self.request.deadline_s


def create_sequence(
    request_id: int, request: EngineRequest, tokenizer: Tokenizer, max_model_len: int
) -> Sequence:
    """A waiting sequence with its own sampler, detokenizer and stop strings."""
    num_prompt = len(request.token_ids)
    max_tokens = request.params.max_tokens
    room = max_model_len - num_prompt
    return Sequence(
        request_id=request_id,
        request=request,
        sampler=Sampler(request.params, request.token_ids),
        detokenizer=Detokenizer(tokenizer, keep=request.visible_tokens),
        stop=StopStrings(request.params.stop),
        max_len=num_prompt + (room if max_tokens is None else min(max_tokens, room)),
        token_ids=list(request.token_ids),
    )
