"""What a caller asks for, checked before any work is done for it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from edge_llm.config import EdgeConfig, EscalationConfig, checked_overflow, merge_sampling
from edge_llm.config.escalation import OnDoubt
from edge_llm.errors import InvalidParameterError
from edge_llm.privacy import PrivacyLabel, effective_label
from edge_llm.prompt.messages import messages_from
from edge_llm.routing.base import Need
from edge_llm.routing.capability import LANGUAGE
from edge_llm.runtime.call_options import NO_CALLS, CallOptions, parse_call_options
from edge_llm.runtime.hold import NO_HOLD, Hold, parse_hold
from edge_llm.runtime.structured.form import Form, parse_form
from edge_llm.types import (
    MAX_TOP_LOGPROBS,
    Message,
    Overflow,
    SamplingParams,
    Validator,
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One conversation and what is wanted of its answer."""

    messages: Sequence[Message] = field(repr=False)
    sampling: Mapping[str, Any]
    """Options of `SamplingOptions` that the caller set; the rest is each model's own."""
    tools: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    calls: CallOptions = field(default=NO_CALLS, repr=False)
    """The same tools, checked, and whether they may or must be called."""
    thinking_budget: int | None = None
    """How many tokens a reasoning model may think; None: as long as an answer has room."""
    top_logprobs: int | None = None
    overflow: Overflow = "error"
    label: PrivacyLabel = PrivacyLabel.LOCAL_ONLY
    deadline_s: float | None = None
    """Moment on `time.monotonic`; None: none."""
    hold: Hold = NO_HOLD
    on_doubt: OnDoubt = "defer"
    tags: frozenset[str] = frozenset()
    language: str | None = None
    form: Form | None = None
    """What the answer is to look like; None: any text."""
    validator: Validator | None = None
    deferred: bool = False

    @property
    def max_tokens(self) -> int | None:
        """The longest answer that the caller wants; None: as long as it gets."""
        value = self.sampling.get("max_tokens")
        return value if isinstance(value, int) else None

    @property
    def has_form(self) -> bool:
        """Whether an answer counts only when it is whole and looks as it was asked for."""
        return self.form is not None

    @property
    def last_user_text(self) -> str:
        """What the user said last."""
        said = (m for m in reversed(self.messages) if m.get("role") == "user")
        return text_of(next(said, {}))

    @property
    def needs(self) -> frozenset[Need]:
        """What a tier must be able to do for it."""
        needs = set()
        if self.tools:
            needs.add("tools")
        if any(_has_media(message) for message in self.messages):
            needs.add("vision")
        if self.form is not None and self.form.need is not None:
            needs.add(self.form.need)
        if self.top_logprobs is not None:
            needs.add("logprobs")
        if self.language is not None:
            needs.add(LANGUAGE + self.language)
        return frozenset(needs)

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed; None without one."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - time.monotonic())


def parse_request(
    messages: str | Sequence[Message], options: Mapping[str, Any], config: EdgeConfig
) -> ChatRequest:
    """The request that prompt and options mean under a configuration.

    Raises:
        RequestError: an option is unknown or outside its range, or there is no prompt.
    """
    rest = dict(options)
    escalation = config.escalation

    def pop(name: str, default: Any = None) -> Any:
        value = rest.pop(name, None)
        return default if value is None else value

    tools = pop("tools")
    calls = parse_call_options(tools, pop("tool_choice"), rest.pop("parallel_tool_calls", None))
    request = ChatRequest(
        messages=_with_system(messages, pop("system"), config.system_prompt),
        tools=tools,
        calls=calls,
        thinking_budget=_checked_budget(pop("thinking_budget")),
        top_logprobs=_checked_top_logprobs(pop("top_logprobs")),
        overflow=checked_overflow(pop("overflow"), config.overflow),
        label=_label(pop("privacy"), config),
        deadline_s=_deadline(pop("deadline_s", escalation.deadline_s)),
        form=parse_form(rest),
        validator=_checked_validator(pop("validator")),
        tags=_checked_tags(pop("tags", ())),
        language=_checked_text("language", pop("language")),
        deferred=bool(pop("deferred", False)),
        on_doubt=_checked_doubt(pop("on_doubt", escalation.on_doubt)),
        hold=_hold(pop("hold"), escalation, config),
        sampling=rest,
    )
    merge_sampling(SamplingParams(), rest)
    return request


def has_tiers(config: EdgeConfig) -> bool:
    """Whether more than the one local model is configured."""
    return bool(config.tiers) or config.cloud_url is not None


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, of all its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _has_media(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list | tuple) else ()
    return any(isinstance(part, Mapping) and part.get("type", "text") != "text" for part in parts)


def _with_system(
    messages: str | Sequence[Message], system: str | None, default: str | None
) -> Sequence[Message]:
    """The conversation with its system message: the request's own, else the configured one."""
    if messages == "":
        raise InvalidParameterError("the prompt is empty", hint="say something")
    conversation = messages_from(messages, system)
    if default is None or any(m.get("role") in ("system", "developer") for m in conversation):
        return conversation
    return messages_from(conversation, default)


def _label(label: object, config: EdgeConfig) -> PrivacyLabel:
    """The strictest of what is said; without further tiers nothing leaves anyway."""
    if not has_tiers(config):
        return PrivacyLabel.LOCAL_ONLY
    return effective_label(label, config.privacy.label)


def _hold(given: object, escalation: EscalationConfig, config: EdgeConfig) -> Hold:
    if given is None and not has_tiers(config):
        return NO_HOLD
    return parse_hold(escalation.hold if given is None else given)


def _deadline(seconds: object) -> float | None:
    if seconds is None:
        return None
    if (
        not isinstance(seconds, int | float)
        or isinstance(seconds, bool)
        or not (math.isfinite(seconds) and seconds > 0)
    ):
        raise InvalidParameterError(f"deadline_s must be seconds above 0, not {seconds!r}")
    return time.monotonic() + seconds


def _checked_top_logprobs(top_logprobs: object) -> int | None:
    if top_logprobs is None:
        return None
    if (
        not isinstance(top_logprobs, int)
        or isinstance(top_logprobs, bool)
        or not 0 <= top_logprobs <= MAX_TOP_LOGPROBS
    ):
        raise InvalidParameterError(
            f"top_logprobs must be None or 0 to {MAX_TOP_LOGPROBS}, not {top_logprobs!r}"
        )
    return top_logprobs


def _checked_budget(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise InvalidParameterError(f"thinking_budget must be 0 or more tokens, not {value!r}")


def _checked_validator(value: object) -> Validator | None:
    if value is None or callable(value):
        return value
    raise InvalidParameterError("validator must be callable: text in, true or false out")


def _checked_tags(value: object) -> frozenset[str]:
    if isinstance(value, Sequence | frozenset | set) and not isinstance(value, str):
        tags = list(value)
        if all(isinstance(tag, str) for tag in tags):
            return frozenset(tags)
    raise InvalidParameterError(f"tags must be a list of texts, not {value!r}")


def _checked_text(name: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InvalidParameterError(f"{name} must be text, not {value!r}")


def _checked_doubt(value: object) -> OnDoubt:
    for known in get_args(OnDoubt):
        if value == known:
            return known  # type: ignore[no-any-return]
    allowed = ", ".join(get_args(OnDoubt))
    raise InvalidParameterError(f"on_doubt must be one of {allowed}, not {value!r}")
