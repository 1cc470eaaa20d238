"""Making a conversation fit: nothing is ever cut in the middle, and what is dropped is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.errors import ContextLengthExceededError
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.types import Message, Overflow

Encode = Callable[[Sequence[Message]], EncodedPrompt]


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt that leaves room for an answer."""

    prompt: EncodedPrompt
    dropped_messages: int


def fit_conversation(
    messages: Sequence[Message],
    encode: Encode,
    *,
    max_tokens: int | None,
    max_model_len: int,
    overflow: Overflow,
) -> FittedPrompt:
    """Encode the conversation, leaving out its oldest turns where that is allowed and needed.

    System messages stay, the last user turn stays, and a turn goes with all its tool exchanges.

    Raises:
        ContextLengthExceededError: it does not fit, or not even after dropping all that may go.
    """
    prompt = encode(messages)
    if _fits(prompt, max_tokens or 1, max_model_len):
        return FittedPrompt(prompt, 0)
    if overflow != "drop_oldest":
        raise _too_long(prompt, max_tokens or 1, max_model_len)
    reserve = max_tokens or default_reserve(max_model_len)
    turns = split_turns(messages)
    for num_dropped in range(1, len(turns.later)):
        kept = [*turns.system, *(m for turn in turns.later[num_dropped:] for m in turn)]
        prompt = encode(kept)
        if _fits(prompt, reserve, max_model_len):
            return FittedPrompt(prompt, len(messages) - len(kept))
    raise _too_long(prompt, max_tokens or 1, max_model_len)


def default_reserve(max_model_len: int) -> int:
    """Tokens kept free for an answer of unstated length when turns are dropped."""
    return min(512, max(1, max_model_len // 4))


@dataclass(frozen=True, slots=True)
class Turns:
    """A conversation in pieces that may only go whole."""

    system: list[Message]
    later: list[list[Message]]


def split_turns(messages: Sequence[Message]) -> Turns:
    """System messages apart; the rest in turns, each from one user message to before the next."""
    system = [m for m in messages if _is_system(m)]
    later: list[list[Message]] = []
    for message in messages:
        if _is_system(message):
            continue
        if message.get("role") == "user" or not later:
            later.append([])
        later[-1].append(message)
    return Turns(system, later)


def _is_system(message: Mapping[str, Any]) -> bool:
    return message.get("role") in ("system", "developer")


def _fits(prompt: EncodedPrompt, max_tokens: int, max_model_len: int) -> bool:
    return len(prompt.token_ids) + max_tokens <= max_model_len


def _too_long(
    prompt: EncodedPrompt, max_tokens: int, max_model_len: int
) -> ContextLengthExceededError:
    return ContextLengthExceededError(
        prompt_tokens=len(prompt.token_ids), max_tokens=max_tokens, max_model_len=max_model_len
    )
