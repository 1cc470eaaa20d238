"""Keeping a reasoning model's thoughts from eating the whole answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_llm.prompt.calls.reasoning import THINK
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.literals import Partitioner
from edge_llm.prompt.tokenizer import SpecialToken

_CLOSING_WORDS = "\n\nThat is enough thinking; now the answer.\n"


@dataclass(frozen=True, slots=True)
class ThinkingBudget:
    """Closes the thoughts of one answer after `max_tokens` of them, so that an answer follows."""

    max_tokens: int
    closing_ids: tuple[int, ...]
    starts_in_thinking: bool
    open: str = THINK.open
    """The marker before thoughts."""
    close: str = THINK.close

    def start(self) -> ThinkingWatch:
        """The state for an answer that begins now."""
        return ThinkingWatch(self)


class ThinkingWatch:
    """Follows one answer; the engine asks it after every token which tokens must come next."""

    def __init__(self, budget: ThinkingBudget) -> None:
        self._left = budget.max_tokens
        self._closing_ids = budget.closing_ids
        self._open = budget.open
        self._close = budget.close
        self._thinking = budget.starts_in_thinking
        self._closed = False
        self._tail = ""

    def advance(self, token_id: int, text: str) -> Sequence[int]:
        """Tokens that must follow; none while the budget lasts or the thoughts are over."""
        if self._closed:
            return ()
        self._watch(text)
        if not self._thinking:
            return ()
        self._left -= 1
        if self._left > 0:
            return ()
        self._closed = True
        return self._closing_ids

    def _watch(self, text: str) -> None:
        # The longest marker may begin in one token and end in another.
        longest = max(len(self._open), len(self._close))
        self._tail = (self._tail + text)[-(len(text) + longest) :]
        opened, closed = self._tail.rfind(self._open), self._tail.rfind(self._close)
        if opened == closed:  # neither is there
            return
        self._thinking = opened > closed
        self._tail = ""


def thinking_close(encoder: PromptEncoder) -> tuple[int, ...] | None:
    """Tokens that end the thoughts of a reasoning model; None when the model is none."""
    tokenizer = encoder.tokenizer
    reasoning = encoder.reasoning
    partitioner = Partitioner(tokenizer.special_tokens)
    marker = partitioner.split(reasoning.close)
    has_token = len(marker) == 1 and isinstance(marker[0], SpecialToken)
    if reasoning.mark not in encoder.template.source and not (has_token and reasoning is THINK):
        return None
    ids = tokenizer.encode_inner(_CLOSING_WORDS)
    for part in partitioner.split(reasoning.close) + partitioner.split(reasoning.after):
        ids += [part.id] if isinstance(part, SpecialToken) else tokenizer.encode_inner(part)
    return tuple(ids)


def thinking_share(max_tokens: int, num_closing: int) -> int:
    """How many of `max_tokens` may be thoughts when closing them takes `num_closing`.

    A quarter is kept for the answer, at least 16 tokens and at most 1024.
    """
    kept = min(max(16, max_tokens // 4), 1024)
    return max(1, max_tokens - kept - num_closing)
