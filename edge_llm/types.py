"""The values that cross rooms: what a caller sends, what comes back, how tokens are chosen.

Everything here is frozen. No module of the house is imported, so every room may speak these words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict

Message: TypeAlias = Mapping[str, Any]
"""One OpenAI-style message: `role`, `content`, and for calls `tool_calls` or `tool_call_id`."""

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]
"""Why an answer ended: by itself, at `max_tokens`, or by calling tools."""

Overflow: TypeAlias = Literal["error", "drop_oldest", "summarise", "passages"]
"""What happens to a conversation that no longer fits in the context: a larger tier gets it, or an
error; or first its oldest turns go, are summarised, or its longest texts keep relevant passages."""

Validator: TypeAlias = Callable[[str], object]
"""Told the whole text of an answer; a false result, or ValueError, refuses it."""

RANDOM_SEED_BITS = 64

MAX_TOP_LOGPROBS = 20
"""As many as the OpenAI API gives."""


class SamplingOptions(TypedDict, total=False):
    """The keyword options of `chat` and `stream`; each overrides the model's own recommendation."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    penalty_window: int
    seed: int | None
    max_tokens: int | None
    stop: str | tuple[str, ...] | list[str]
    logit_bias: Mapping[int, float]


class RequestOptions(SamplingOptions, total=False):
    """The keyword options of one request."""

    system: str | None
    """A system message to put before the conversation."""
    tools: Sequence[Mapping[str, Any]] | None
    """OpenAI-style tool definitions; refused by models whose template has no place for them."""
    top_logprobs: int | None
    """Report the log-probability of each token and of so many most likely ones, 0 to 20."""
    overflow: Overflow | None
    """What to do when the conversation does not fit; None takes the runtime's setting."""
    privacy: str | None
    """`local_only`, `redact` or `allow`; the configuration can only make it stricter."""
    deadline_s: float | None
    """Seconds that the answer may take in all."""
    hold: str | None
    """What a stream keeps back until it is certain: `none`, `window(n)`, `sentence` or `full`."""
    on_doubt: str | None
    """What a doubtful draft leads to: `defer`, `race`, `draft_and_refine`, `verify`, `continue`."""
    tags: Sequence[str] | None
    """Names of the task, for rules that give it a tier."""
    language: str | None
    """What the answer is to be in, as `de`; tiers that do not speak it are left out."""
    response_format: Mapping[str, Any] | None
    """As in the OpenAI API: `{"type": "json_object"}`, or a JSON schema."""
    validator: Validator | None
    """Refuses answers; then the next tier is asked."""
    deferred: bool | None
    """Where only the cloud could answer and cannot: keep the request until it can."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen and when to stop.

    The order is that of Hugging Face and vLLM: penalties, bias, temperature, then `top_k`, `top_p`
    and `min_p` on the tempered distribution.
    """

    temperature: float = 0.8
    """0 always takes the most likely token."""
    top_k: int = 40
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 0.95
    """Keep the smallest set of tokens with this much probability; 1 keeps all."""
    min_p: float = 0.05
    """Drop tokens less likely than this share of the most likely one; 0 keeps all."""
    repetition_penalty: float = 1.0
    """Divides the positive and multiplies the negative logits of tokens seen; 1 is off."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of each token generated so far (OpenAI)."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit for each time it was generated (OpenAI)."""
    penalty_window: int = 64
    """How many of the last tokens, the prompt's included, `repetition_penalty` looks at."""
    seed: int | None = None
    """The same seed gives the same answer; None draws one."""
    max_tokens: int | None = None
    """At most this many tokens are generated; None means as many as the context holds."""
    stop: tuple[str, ...] = ()
    """Generation ends before any of these strings."""
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the logits of these token ids (OpenAI: -100 to 100)."""

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0.0 or self.top_k == 1

    @property
    def filters(self) -> bool:
        """Whether any token is left out for being unlikely."""
        return bool(self.top_k or self.top_p < 1.0 or self.min_p)

    @property
    def penalises(self) -> bool:
        """Whether any penalty looks at the tokens so far."""
        return bool(
            self.repetition_penalty != 1.0 or self.presence_penalty or self.frequency_penalty
        )

    def problems(self) -> list[str]:
        """One sentence for each value outside its range; empty when all is well."""
        return [
            f"{name} must be {allowed}, not {getattr(self, name)!r}"
            for name, allowed, ok in _RANGES
            if not ok(getattr(self, name))
        ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31


def _is_bias(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        _is_count(token) and _is_number(bias) and abs(bias) <= 100 for token, bias in value.items()
    )


def _is_stop(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(s, str) and s for s in value)


_RANGES: tuple[tuple[str, str, Any], ...] = (
    ("temperature", "a number from 0 to 100", lambda v: _is_number(v) and 0 <= v <= 100),
    ("top_k", "a whole number, 0 or more", _is_count),
    ("top_p", "a number above 0 and at most 1", lambda v: _is_number(v) and 0 < v <= 1),
    ("min_p", "a number from 0 to 1", lambda v: _is_number(v) and 0 <= v <= 1),
    ("repetition_penalty", "a number above 0, at most 10", lambda v: _is_number(v) and 0 < v <= 10),
    ("presence_penalty", "a number from -2 to 2", lambda v: _is_number(v) and abs(v) <= 2),
    ("frequency_penalty", "a number from -2 to 2", lambda v: _is_number(v) and abs(v) <= 2),
    ("penalty_window", "a whole number, 0 or more", _is_count),
    (
        "seed",
        "None or a whole number from 0 to 2**64 - 1",
        lambda v: (
            v is None
            or (isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**RANDOM_SEED_BITS)
        ),
    ),
    ("max_tokens", "None or a whole number, 1 or more", lambda v: v is None or _is_count(v, 1)),
    ("stop", "non-empty strings", _is_stop),
    ("logit_bias", "token ids with numbers from -100 to 100", _is_bias),
)


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """What the model itself thought of one token that was chosen from its logits.

    From the raw logits z of the whole vocabulary: before penalties, bias, temperature, filters and
    masks. Logarithms are natural, so that log-probabilities and entropy are in nats.
    """

    token_id: int
    """The token that was chosen, not always the most likely one."""
    logprob: float
    """Of the chosen token: z[token_id] - logsumexp."""
    logsumexp: float
    """log(sum(exp(z))): turns any logit of this step into a log-probability."""
    top_ids: tuple[int, ...]
    """The k most likely tokens, most likely first, equal ones by the smaller id.

    Shorter when fewer tokens are possible at all: k is larger than the vocabulary, or the model
    itself gave the rest a logit of -inf.
    """
    top_logprobs: tuple[float, ...]
    """Log-probabilities of `top_ids`, over the whole vocabulary."""
    margin: float
    """Probability of the most likely token less that of the second, in [0, 1]."""
    entropy: float
    """-sum(q * log(q)) over `top_ids`, where q are their probabilities divided by their sum.

    From 0 to log(k); 0 for fewer than two tokens.
    """
    rank: int
    """How many tokens come before the chosen one in the order of `top_ids`; 0 is most likely."""
    time_s: float = field(compare=False)
    """When it was chosen, on `time.monotonic`."""
    watched_logprobs: tuple[float, ...] = ()
    """Log-probabilities, over the whole vocabulary, of the tokens that the request watches."""
    masked_mass: float = 0.0
    """Probability, in [0, 1], that the model itself gave to tokens which the grammar forbade."""
    self_certainty: float | None = None
    """KL divergence in nats from the uniform distribution to the model's; None: not asked for."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token and how likely the model itself found it, under the names of the OpenAI API."""

    token: str
    """Its text; U+FFFD where its bytes are only part of a character."""
    bytes: bytes
    logprob: float | None
    """In nats, from the raw logits: before penalties, temperature and filters.

    None for a token that was forced, so that no logits were computed for it.
    """
    top_logprobs: tuple[TokenLogprob, ...] = ()
    """The most likely tokens in its place, most likely first; theirs are empty."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: bytes as a list of numbers."""
        return {
            "token": self.token,
            "bytes": list(self.bytes),
            "logprob": self.logprob,
            "top_logprobs": [one.to_dict() for one in self.top_logprobs],
        }


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model decided on; making it happen is the application's part."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, summed over all attempts."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Prompt tokens whose KV state was reused instead of computed."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one answer went."""

    ttft_s: float
    """Seconds from the request to the first generated token."""
    tpot_s: float | None
    """Seconds per output token after the first; None when there was only one."""
    e2e_s: float
    """Seconds from the request to the end of the answer."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one tier did for one answer."""

    tier: str
    """Its configured name; of several endpoints, with the endpoint's: `cloud/backup`."""
    route: str
    """`local` or `cloud`."""
    model: str
    outcome: str
    """`answered`, `deferred`, `lost` (a race), `cancelled`, `judged`, `looked` (a second look),
    or the `code` of an error."""
    reason: str | None = None
    """Why it was deferred."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    """From its start to its end, the time it was parked included."""
    cost_usd: float | None = 0.0
    """None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished answer and the record of how it came about; None where nothing measured it."""

    text: str
    """What to show or speak. Never empty when there are tool calls."""
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    model: str
    """The model that wrote the answer."""
    route: str
    """`local` or `cloud`."""
    reason: str | None
    """Why the request left the first tier; None when it did not."""
    score: float | None
    """What the confidence signal measured."""
    signal: str | None
    """Which signal `score` comes from."""
    threshold: float | None
    confidence: float | None
    """Calibrated probability that the answer is good; None until a calibration is bound."""
    calibrated: bool
    usage: Usage
    timings: Timings
    cost_usd: float
    attempts: tuple[Attempt, ...]
    """What each tier did for it, in order."""
    degraded: bool
    """Whether a better tier was wanted and could not be had."""
    cached: bool
    """Whether the whole answer came from the response cache."""
    trace_id: str
    reasoning: str | None = None
    """What a reasoning model thought before it answered."""
    dropped_messages: int = 0
    """Old messages left out under `overflow="drop_oldest"`."""
    logprobs: tuple[TokenLogprob, ...] | None = None
    """Of every token but the one that ends the answer; None unless `top_logprobs` was given."""
    tier: str = "local"
    """The configured name of the tier that answered."""
    policy: str | None = None
    """Which rule sent it on."""
    wasted_tokens: int = 0
    """Tokens of local drafts that the caller never saw."""
    redactions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many pieces of each kind were replaced before the request left the device."""
    hold_s: float = 0.0
    """Seconds from the first token of the answer to the first that the caller saw."""
    compressed_tokens: int = 0
    """How many tokens shorter the conversation was made so that it fitted."""
    uncalibrated_because: str | None = None
    """Why no calibration judged the local draft; None where one did, or nothing did."""
    checkpoint: str | None = None
    """How far the draft was when `score` was measured: `first`, a number of tokens, `end`."""
    arm: str | None = None
    """Which variant of a comparison the request was given to; None: nothing is compared."""

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values, under the same names everywhere."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        record["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}
            for call in self.tool_calls
        ]
        if self.logprobs is not None:
            record["logprobs"] = [one.to_dict() for one in self.logprobs]
        record["attempts"] = [asdict(one) for one in self.attempts]
        record["redactions"] = dict(self.redactions)
        record["usage"] = asdict(self.usage)
        record["timings"] = asdict(self.timings)
        return record


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer; the last one carries the finished `answer`."""

    text: str = ""
    reasoning: str = ""
    tool_call: ToolCall | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens that came since the last chunk, where they were asked for."""
    answer: Answer | None = None
