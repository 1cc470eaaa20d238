"""A chat request as one local model's engine takes it; blocks while the prompt is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_llm.confidence.features import NUM_TOP
from edge_llm.config import merge_sampling
from edge_llm.engine.host import ModelFacts
from edge_llm.engine.request import EngineRequest
from edge_llm.errors import ContextLengthExceededError
from edge_llm.prompt.thinking import ThinkingBudget, thinking_share
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.conversation import FittedPrompt, fit_conversation
from edge_llm.runtime.local import LocalModel
from edge_llm.runtime.passages import shorten
from edge_llm.types import Message, SamplingParams


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `LocalAttempt` needs."""

    request: EngineRequest
    fitted: FittedPrompt
    compressed_tokens: int = 0
    """How many tokens shorter the conversation was made."""


def prepare(
    model: LocalModel,
    request: ChatRequest,
    messages: Sequence[Message] | None = None,
    *,
    measures: bool = False,
) -> Prepared:
    """The request for this model's engine; `messages` stand in for the request's own.

    `measures` asks for statistics of each token.

    Raises:
        ContextLengthExceededError: it does not fit.
        RequestError: it cannot be put to this model.
    """
    facts = model.facts
    params = merge_sampling(facts.sampling, request.sampling)
    fitted = fit_conversation(
        request.messages if messages is None else messages,
        lambda kept: model.encode(kept, request.tools),
        max_tokens=params.max_tokens,
        max_model_len=facts.max_model_len,
        overflow=request.overflow,
    )
    plain = _engine_request(facts, fitted, params)
    return Prepared(_with_statistics(plain, facts, request.top_logprobs, measures), fitted)


def prepare_passages(
    model: LocalModel, request: ChatRequest, error: ContextLengthExceededError, *, measures: bool
) -> Prepared:
    """The request with the passages of its long texts that matter most, as many as fit.

    Raises:
        ContextLengthExceededError: `error`, where not even the rest fits.
    """
    for share in _SHARES:
        kept = shorten(request.messages, share)
        try:
            found = prepare(model, request, kept, measures=measures)
        except ContextLengthExceededError:
            continue
        saved = error.prompt_tokens - len(found.request.token_ids)
        return replace(found, compressed_tokens=saved)
    raise error


_SHARES = (0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05, 0.0)
"""Parts of what may go that are kept, tried in turn."""


def _engine_request(
    facts: ModelFacts, fitted: FittedPrompt, params: SamplingParams
) -> EngineRequest:
    prompt = fitted.prompt
    room = facts.max_model_len - len(prompt.token_ids)
    max_tokens = min(params.max_tokens or room, room)
    closing_ids = facts.thinking_close
    constraint = None
    if closing_ids is not None:
        constraint = ThinkingBudget(
            max_tokens=thinking_share(max_tokens, len(closing_ids)),
            closing_ids=closing_ids,
            starts_in_thinking=prompt.opens_thinking,
        )
    return EngineRequest(
        token_ids=tuple(prompt.token_ids),
        params=replace(params, max_tokens=max_tokens),
        constraint=constraint,
        visible_tokens=facts.visible_tokens,
    )


def _with_statistics(
    request: EngineRequest, facts: ModelFacts, top_logprobs: int | None, measures: bool
) -> EngineRequest:
    watched = () if facts.unsure_token_id is None else (facts.unsure_token_id,)
    wanted = measures or bool(watched)
    return replace(
        request,
        # More than the caller sees: signals compare numbers of that many tokens, whoever asks.
        statistics=max(NUM_TOP, top_logprobs or 0) if wanted else top_logprobs,
        watched_ids=watched,
        spells=top_logprobs is not None,
    )
