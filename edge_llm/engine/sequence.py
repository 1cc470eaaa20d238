"""One running generation: its tokens, how far they are computed, and what watches over it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum, auto

from edge_llm.constrain.grammar import begins_freely
from edge_llm.engine.guide import Guide
from edge_llm.engine.prefix_cache import PrefixMatch
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.sampler import Sampler
from edge_llm.engine.stop import StopStrings
from edge_llm.prompt.detokenize import Detokenizer
from edge_llm.prompt.tokenizer import Tokenizer

MAX_SPOKEN = 32
"""A run of forced tokens up to this length counts as speaking, and so waits for no prompt."""


class SequenceStatus(Enum):
    """Where a sequence stands in the scheduler."""

    WAITING = auto()
    RUNNING = auto()
    PARKED = auto()
    FINISHED = auto()


@dataclass(eq=False, slots=True)
class Sequence:
    """Mutable state of one request inside the engine."""

    request_id: int
    request: EngineRequest
    sampler: Sampler
    detokenizer: Detokenizer
    stop: StopStrings
    guide: Guide
    max_len: int
    """Tokens, prompt included, at which it ends by `length`."""
    token_ids: list[int] = field(default_factory=list)
    num_opening: int = 0
    """How many tokens its grammar forced right after the prompt."""
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
        """Whether its next token is further away than one token, or a short run of forced ones."""
        speaks = self.num_computed >= self.num_prompt_tokens
        return self.num_uncomputed > (MAX_SPOKEN if speaks else 1)

    @property
    def is_expired(self) -> bool:
        """Whether its deadline has passed."""
        return self.request.deadline_s is not None and time.monotonic() > self.request.deadline_s


def create_sequence(
    request_id: int, request: EngineRequest, guide: Guide, tokenizer: Tokenizer, max_model_len: int
) -> Sequence:
    """A waiting sequence with its own sampler, detokenizer and stop strings."""
    num_prompt = len(request.token_ids)
    max_tokens = request.params.max_tokens
    room = max_model_len - num_prompt
    return Sequence(
        request_id=request_id,
        request=request,
        sampler=Sampler(request.params, request.token_ids),
        detokenizer=Detokenizer(
            tokenizer,
            keep=request.visible_tokens,
            drops_space=request.grammar is None or begins_freely(request.grammar),
        ),
        stop=StopStrings(request.params.stop),
        guide=guide,
        max_len=num_prompt + (room if max_tokens is None else min(max_tokens, room)),
        token_ids=list(request.token_ids),
    )
