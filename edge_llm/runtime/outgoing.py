"""From a chat request to what may leave for one tier: labelled, redacted, paid for beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_llm.cloud.budget import Budget, Reservation
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.pricing import estimate_prompt_tokens, worst_case_usd
from edge_llm.cloud.types import CloudRequest
from edge_llm.privacy import Passage, PrivacyLabel, Redactor, passage
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import Outgoing
from edge_llm.runtime.tiers import MAX_ANSWER_TOKENS, estimate_bytes
from edge_llm.types import Message

_SAME_NAMES = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")


@dataclass(frozen=True, slots=True)
class Extra:
    """What one attempt sends beside the conversation; roles of their own, nobody's text changed."""

    messages: Sequence[Message] = ()
    """After those of the caller."""
    continue_prefix: bool = False
    """The last of them is the beginning of the answer."""
    max_tokens: int | None = None
    """In place of the caller's own."""
    is_plain: bool = False
    """Neither tools nor a response format: the answer is a word for us, not for the caller."""


NOTHING_MORE = Extra()


@dataclass(frozen=True, slots=True)
class Door:
    """What decides about requests on their way out."""

    create_redactor: Callable[[], Redactor]
    """Gives the same one each time; not called before something is to be redacted."""
    budget: Budget | None
    """None: no limit was set."""
    lan_is_local: bool = False

    def outgoing(
        self, cloud: CloudTier, request: ChatRequest, prompt_tokens: int, extra: Extra
    ) -> Outgoing:
        """The request as it may leave; blocks.

        Raises:
            RedactionError: it could not be redacted, so that it may not leave.
            BudgetExceededError: there is no room for it.
            StoreError: the account cannot be read; then nothing may be spent.
        """
        messages = [*request.messages, *extra.messages]
        if extra.messages:
            prompt_tokens += estimate_prompt_tokens(
                CloudRequest(extra.messages, str(request.label))
            )
        form = None if extra.is_plain else request.form
        sampling: dict[str, Any] = {name: request.sampling.get(name) for name in _SAME_NAMES}
        out = CloudRequest(
            messages=messages,
            label=str(request.label),
            max_tokens=extra.max_tokens or request.max_tokens,
            stop=_stop(request.sampling.get("stop")),
            tools=None if extra.is_plain else request.tools or None,
            tool_choice=request.calls.choice if request.tools and not extra.is_plain else None,
            parallel_tool_calls=(
                request.calls.parallel if request.tools and not extra.is_plain else None
            ),
            response_format=None if form is None else form.response_format,
            structured_outputs=None if form is None else form.structured_outputs,
            top_logprobs=None if extra.is_plain else request.top_logprobs,
            continue_prefix=extra.continue_prefix,
            prompt_tokens=prompt_tokens or None,
            **sampling,
        )
        sent = self._redacted(out) if self._must_redact(cloud, request.label) else Outgoing(out)
        return replace(sent, reservation=self._reserve(cloud, request, prompt_tokens, extra))

    def _redacted(self, out: CloudRequest) -> Outgoing:
        # A schema is searched as the tools are, whose descriptions it resembles.
        schema = () if out.response_format is None else (out.response_format,)
        redactor = self.create_redactor()
        found = redactor.redact(out.messages, tools=[*(out.tools or ()), *schema])
        tools = list(found.tools or ())
        changed = replace(
            out,
            messages=found.messages,
            redacted=True,
            response_format=tools.pop() if schema else None,
            tools=tools or None,
            stop=[s for s in out.stop if redactor.redact_text(s, found.redactions)[0] == s],
        )
        return Outgoing(changed, found.redactions, found.counts)

    def _must_redact(self, cloud: CloudTier, label: PrivacyLabel) -> bool:
        """Whether any endpoint of the tier may have the request only redacted."""
        trusts = {client.endpoint.trust for client in cloud.clients}
        return any(
            passage(label, trust, lan_is_local=self.lan_is_local) is Passage.REDACT
            for trust in trusts
        )

    def _reserve(
        self, cloud: CloudTier, request: ChatRequest, prompt_tokens: int, extra: Extra
    ) -> Reservation | None:
        if self.budget is None:
            return None
        most = request.max_tokens or MAX_ANSWER_TOKENS
        costs = [
            worst_case_usd(client.endpoint.prices, prompt_tokens, most) or 0.0
            for client in cloud.clients
        ]
        return self.budget.reserve(max(costs), estimate_bytes(request, extra.messages))


def _stop(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) else tuple(value or ())
