"""The tiers of a loaded runtime, and what routing has to know of each for one request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from edge_llm.cloud.breaker import BreakerState
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.gate import host_of
from edge_llm.cloud.pricing import estimate_prompt_tokens, worst_case_usd
from edge_llm.cloud.types import TRUSTS, CloudRequest, Endpoint
from edge_llm.errors import ContextLengthExceededError
from edge_llm.routing.base import Need, TierFacts
from edge_llm.routing.capability import LANGUAGE
from edge_llm.runtime.adapting import Adapting
from edge_llm.runtime.calibrations import NOT_CALIBRATED, FoundCalibration
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.local import LocalModel
from edge_llm.runtime.prepare import Prepared, prepare, prepare_passages
from edge_llm.types import Message

LOCAL_CAPABILITIES = frozenset({"logprobs", "json_schema", "grammar", "tools"})

MAX_ANSWER_TOKENS = 4096
"""Reserved for an answer whose length nobody bounded."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalTier:
    """A model of this program's own engine."""

    name: str
    model: LocalModel
    languages: frozenset[str] | None = None
    calibration: FoundCalibration = NOT_CALIBRATED
    adapting: Adapting | None = None
    """What is learned of its calibration in use."""
    self_certainty: bool = False
    """Whether its calibration, or the configuration, asks for that measure."""


@dataclass(frozen=True, slots=True, eq=False)
class RemoteTier:
    """Endpoints elsewhere."""

    name: str
    cloud: CloudTier
    languages: frozenset[str] | None = None

    @property
    def can_continue(self) -> bool:
        """Whether an endpoint declares that it goes on with the beginning of an answer."""
        return any(c.endpoint.capabilities.continue_prefix for c in self.cloud.clients)


Tier: TypeAlias = LocalTier | RemoteTier


class TierBook:
    """What is known of the tiers for one request; counts tokens once per tier. Blocks."""

    def __init__(
        self, request: ChatRequest, expected_s: Mapping[str, float], *, measures: bool = False
    ) -> None:
        """`measures`: local drafts are to come with statistics of each token."""
        self._request = request
        self._measures = measures
        self._expected_s = expected_s
        self._full_count: int | None = None
        """Tokens of the caller's own conversation, where a shorter one stands in for it."""
        self._prepared: dict[str, Prepared | ContextLengthExceededError] = {}

    def prepared(self, tier: LocalTier) -> Prepared:
        """The request as the tier's engine takes it.

        Raises:
            ContextLengthExceededError: it does not fit there.
            RequestError: it cannot be put to this model.
        """
        if tier.name not in self._prepared:
            try:
                self._prepared[tier.name] = prepare(
                    tier.model, self._request, measures=self._measures
                )
            except ContextLengthExceededError as error:
                self._prepared[tier.name] = self._shortened(tier, error)
        found = self._prepared[tier.name]
        if isinstance(found, ContextLengthExceededError):
            raise found
        if tier.self_certainty and found.request.statistics is not None:
            return replace(found, request=replace(found.request, self_certainty=True))
        return found

    def _shortened(
        self, tier: LocalTier, error: ContextLengthExceededError
    ) -> Prepared | ContextLengthExceededError:
        if self._request.overflow != "passages":
            return error
        try:
            return prepare_passages(tier.model, self._request, error, measures=self._measures)
        except ContextLengthExceededError:
            return error

    def replace(self, tier: LocalTier, messages: Sequence[Message]) -> None:
        """Let a tier have a shorter conversation than the caller's.

        Raises:
            ContextLengthExceededError: that does not fit either.
        """
        before = self._prepared.get(tier.name)
        found = prepare(tier.model, self._request, messages, measures=self._measures)
        if isinstance(before, ContextLengthExceededError):
            saved = before.prompt_tokens - len(found.request.token_ids)
            self._full_count = before.prompt_tokens
            found = replace(found, compressed_tokens=saved)
        self._prepared[tier.name] = found

    def facts(self, tier: Tier) -> TierFacts:
        """The tier as routing sees it.

        Raises:
            RequestError: the request is malformed.
        """
        expected_s = self._expected_s.get(tier.name)
        if isinstance(tier, RemoteTier):
            return self._remote_facts(tier, expected_s)
        return TierFacts(
            tier.name,
            prompt_tokens=self._count(tier),
            context_length=tier.model.facts.max_model_len,
            capabilities=LOCAL_CAPABILITIES,
            poor_at=frozenset() if tier.model.facts.supports_tools else frozenset({"tools"}),
            lacks=self._lacks,
            languages=tier.languages,
            expected_s=expected_s,
        )

    @cached_property
    def _lacks(self) -> Mapping[Need, str]:
        """What no local model can do for this request, and why."""
        form, lacks = self._request.form, dict[Need, str]()
        if form is not None and form.need is not None and (objection := form.objection()):
            lacks[form.need] = objection.message
        if objection := self._request.calls.objection():
            lacks["tools"] = objection.message
        return lacks

    def _count(self, tier: LocalTier) -> int:
        if self._lacks or not _can(self._request.needs):
            return 0  # it cannot do what is asked; another rule refuses it
        try:
            return len(self.prepared(tier).request.token_ids)
        except ContextLengthExceededError as error:
            return error.prompt_tokens

    def _remote_facts(self, tier: RemoteTier, expected_s: float | None) -> TierFacts:
        endpoints = [client.endpoint for client in tier.cloud.clients]
        prompt_tokens = self.known_count()
        most = self._request.max_tokens or MAX_ANSWER_TOKENS
        usd = [worst_case_usd(one.prices, prompt_tokens, most) or 0.0 for one in endpoints]
        return TierFacts(
            tier.name,
            trust=min((one.trust for one in endpoints), key=TRUSTS.index),
            is_local=False,
            prompt_tokens=prompt_tokens,
            context_length=_longest(endpoints),
            capabilities=frozenset(need for one in endpoints for need in capabilities(one)),
            languages=tier.languages,
            is_available=any(is_available(client.breaker_state) for client in tier.cloud.clients),
            needs_network=not all(is_loopback(one) for one in endpoints),
            estimated_usd=max(usd),
            estimated_bytes=estimate_bytes(self._request),
            expected_s=expected_s,
        )

    def known_count(self) -> int:
        """Tokens by a local tier's count where there is one, else estimated from the texts."""
        if self._full_count is not None:
            return self._full_count
        for found in self._prepared.values():
            if isinstance(found, ContextLengthExceededError):
                return found.prompt_tokens
            if not found.fitted.dropped_messages:
                return len(found.request.token_ids) + found.compressed_tokens
        request = self._request
        return estimate_prompt_tokens(
            CloudRequest(request.messages, request.label, tools=request.tools)
        )


def capabilities(endpoint: Endpoint) -> Iterator[Need]:
    """What an endpoint's model can do, as its owner declared."""
    for need in ("tools", "json_schema", "grammar", "vision", "logprobs"):
        if getattr(endpoint.capabilities, need):
            yield need


def is_available(state: BreakerState) -> bool:
    """Whether a breaker would let a request through now."""
    return state.phase != "open"


def is_loopback(endpoint: Endpoint) -> bool:
    """Whether the endpoint is on this machine, as far as its address says."""
    host = host_of(endpoint)
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")


def estimate_bytes(request: ChatRequest, more: Sequence[Message] = ()) -> int:
    """About what would be sent, `more` after it, and rather more: escaped as ASCII."""
    parts = {"messages": [*request.messages, *more], "tools": list(request.tools or ())}
    return len(json.dumps(parts, default=str)) + 512


def _can(needs: frozenset[Need]) -> bool:
    return all(need in LOCAL_CAPABILITIES or need.startswith(LANGUAGE) for need in needs)


def _longest(endpoints: Sequence[Endpoint]) -> int | None:
    lengths = [one.context_length for one in endpoints]
    return None if None in lengths else max(length for length in lengths if length is not None)
