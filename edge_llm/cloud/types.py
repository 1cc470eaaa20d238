"""What a cloud tier is made of, what is asked of it and what comes back. No I/O here.

Keys are never held: an endpoint knows where its key is. Texts of the conversation stay out of
every `repr`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from edge_llm.privacy.labels import Trust as Trust
from edge_llm.types import FinishReason, Message, TokenLogprob

TRUSTS: tuple[Trust, ...] = ("device", "lan", "cloud")
"""From the most trusted to the least."""

PrefixStyle: TypeAlias = Literal["trailing", "prefix", "vllm"]
"""How an endpoint is told to go on with an assistant message: by its place at the end alone
(llama-server, Anthropic), by `prefix: true` in it (DeepSeek, Mistral), or by vLLM's two flags."""

MaxTokensName: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the key is read, anew for each request, so that a rotated key is used at once."""

    env: str | None = None
    """Name of an environment variable."""
    file: str | None = None
    """Path of a file whose first line is the key; `~` is the home folder."""
    header: str = "Authorization"
    """`Authorization` sends `Bearer KEY`; any other, such as Azure's `api-key`, the bare key."""


@dataclass(frozen=True, slots=True)
class EndpointCapabilities:
    """What an endpoint's model can do, as its owner declares; nothing is probed."""

    tools: bool = True
    json_schema: bool = True
    vision: bool = False
    logprobs: bool = False
    grammar: bool = False
    """Whether it takes vLLM's `structured_outputs`: a regex, a choice or a grammar."""
    continue_prefix: bool = False
    """Whether it goes on with a given beginning of an answer instead of starting anew."""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None
    """For prompt tokens that the endpoint found in its cache; None charges them as input."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each part of one attempt may take; the caller's deadline bounds all of them."""

    connect_s: float = 5.0
    """To a connection, name resolution and TLS included."""
    read_s: float = 30.0
    """Between two pieces of an answer; comments that keep a connection alive do not count."""
    total_s: float = 120.0
    """From the start of the attempt to the end of the answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model behind an OpenAI-compatible address."""

    name: str
    """What records, errors and the breaker call it."""
    base_url: str
    """Up to but without `/chat/completions`, such as `https://api.openai.com/v1`."""
    model: str
    key: KeySource | None = None
    """None sends no key."""
    trust: Trust = "cloud"
    prices: Prices | None = None
    """None where it costs nothing, or nobody said what it costs."""
    context_length: int | None = None
    """Tokens of prompt and answer together; None where nobody said."""
    max_output_tokens: int | None = None
    capabilities: EndpointCapabilities = EndpointCapabilities()
    organization: str | None = None
    project: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Sent with every request. No place for keys, but kept out of `repr` all the same."""
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Appended to the address, such as Azure's `api-version`."""
    body: Mapping[str, Any] = field(default_factory=lambda: _EMPTY, repr=False)
    """Put into every request as it is, such as OpenRouter's `provider`."""
    timeouts: Timeouts = Timeouts()
    max_retries: int = 2
    """Further attempts at this endpoint after the first, while the deadline allows."""
    max_tokens_name: MaxTokensName | None = None
    """How it calls the longest answer; None takes `max_completion_tokens` for OpenAI and Azure
    and `max_tokens` for everybody else."""
    omit: tuple[str, ...] = ()
    """Parameters that its model refuses, such as `temperature`; they are left out."""
    usage_in_stream: bool = True
    """Whether it understands `stream_options.include_usage`."""
    prefix_style: PrefixStyle = "trailing"
    ours: bool = False
    """One of our own servers, reached by its owner: its errors are told in its own words."""
    ca_file: str | None = None
    """Certificates to trust in place of the system's; else `SSL_CERT_FILE` and `SSL_CERT_DIR`."""


@dataclass(frozen=True, slots=True)
class CloudRequest:
    """One conversation on its way out, with the privacy label that the door checks.

    Roles leave as they are; nothing is added to any text.
    """

    messages: Sequence[Message] = field(repr=False)
    label: str
    """`local_only`, `redact` or `allow`; anything else counts as `local_only`."""
    redacted: bool = False
    """Whether a redactor has replaced what it found; `redact` leaves no trusted place without."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: Sequence[str] = field(default=(), repr=False)
    tools: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    tool_choice: str | Mapping[str, Any] | None = field(default=None, repr=False)
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Any] | None = field(default=None, repr=False)
    structured_outputs: Mapping[str, Any] | None = field(default=None, repr=False)
    """`regex`, `choice` or `grammar`, for endpoints that take them."""
    top_logprobs: int | None = None
    """As in `RequestOptions`; None asks for no log-probabilities."""
    continue_prefix: bool = False
    """The last message is the beginning of the answer, to be continued and not repeated."""
    prompt_tokens: int | None = None
    """Counted by whoever knows better than an estimate; used where the endpoint reports none."""
    trace_id: str | None = None
    body: Mapping[str, Any] = field(default_factory=lambda: _EMPTY, repr=False)
    """Further members of the JSON body, over those of the endpoint."""


@dataclass(frozen=True, slots=True)
class CloudUsage:
    """Tokens of one attempt."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    estimated: bool = False
    """The endpoint reported nothing; these are counted from the texts, rather too high."""


@dataclass(frozen=True, slots=True)
class CloudText:
    """A piece of the answer's text."""

    text: str = field(repr=False)
    logprobs: tuple[TokenLogprob, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class CloudReasoning:
    """A piece of what the model thought first (`reasoning_content` or `reasoning`)."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CloudToolCall:
    """A piece of one tool call; pieces with the same index belong together.

    Indices count 0, 1, 2 … in the order of first appearance, whatever numbers the endpoint uses.
    """

    index: int
    id: str = ""
    """Only in the first piece of a call; made up where the endpoint gave none."""
    name: str = ""
    """Only in the first piece of a call, whole."""
    arguments: str = field(default="", repr=False)
    """The next piece of its JSON text."""


@dataclass(frozen=True, slots=True)
class CloudFinish:
    """The end of a complete answer; always the last event, never missing, never twice."""

    finish_reason: FinishReason
    usage: CloudUsage
    cost_usd: float | None
    """What the endpoint reported, else by its prices; None where neither is known."""
    model: str
    """The model that says it answered, which may be more exact than the one asked for."""
    ttft_s: float | None
    """Seconds from sending the request to the first piece."""
    e2e_s: float
    record: Mapping[str, Any] | None = field(default=None, repr=False)
    """The `edge_llm` object of an answer by one of our own servers."""


CloudEvent: TypeAlias = CloudText | CloudReasoning | CloudToolCall | CloudFinish


@dataclass(frozen=True, slots=True)
class CloudAttempt:
    """One attempt at one endpoint, whatever became of it: told to `on_attempt` exactly once.

    Also for one that was cancelled or failed half-way, because tokens already made cost money.
    """

    endpoint: str
    model: str
    outcome: str
    """`ok`, `cancelled`, or the `code` of the error."""
    usage: CloudUsage
    """Estimated from what was sent and received, unless the endpoint reported it."""
    cost_usd: float | None
    sent_bytes: int
    """Size of the request's body; 0 if nothing was sent."""
    ttft_s: float | None
    e2e_s: float
    status: int | None = None
    """HTTP status, where one came."""
    retry_after_s: float | None = None
