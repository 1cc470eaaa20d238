"""Every error that `edge_llm` raises on purpose: one tree, each with what a border reports.

```
EdgeLLMError
├─ ConfigError
│   ├─ UnknownOptionError          also a TypeError: an option name nobody knows
│   ├─ DeviceUnavailableError      no such device or execution provider here
│   └─ PrivacyRuleError            a rule of redaction that cannot be used
├─ ModelError
│   ├─ ModelNotFoundError          404
│   │   └─ ModelNotInstalledError   it exists elsewhere; `edge-llm pull` fetches it
│   ├─ ModelReferenceError         400, what names no model of any kind
│   ├─ ModelDownloadError          502, the hub or the way there failed
│   │   ├─ HubBusyError             503, the hub asks to be asked again later
│   │   ├─ ModelAccessError         401, the hub wants a token or an accepted licence
│   │   ├─ ModelRangeError          the server gives whole files only
│   │   ├─ ModelIntegrityError      what arrived, or lies here, is not what was promised
│   │   └─ HubOfflineError          403, nothing may be fetched
│   ├─ ModelStoreError             507, the disk is full, read-only or not ours
│   ├─ ModelFormatError            the file is not what it claims to be
│   │   ├─ NotGGUFError
│   │   ├─ TruncatedModelError
│   │   └─ UnsupportedModelError   a sound file that this build cannot run
│   │       └─ DevicePlacementError the chosen device cannot run all of it
│   ├─ QuantizationRefusedError    the result is no longer the same model, or no smaller
│   └─ InsufficientMemoryError
├─ RequestError                    400
│   ├─ InvalidParameterError       also a ValueError: a known option with a bad value
│   ├─ UnsupportedParameterError   the loaded model cannot do what was asked
│   ├─ ChatTemplateError           the model's chat template refused the messages
│   ├─ ContextLengthExceededError
│   ├─ GrammarError                a constraint on the answer that cannot be kept to
│   │   ├─ UnsupportedSchemaError   a keyword that no grammar expresses; `path` names it
│   │   └─ GrammarTooLargeError     it would take too much time or memory
│   └─ RefusedRequestError         it ended the engine's process twice
├─ BackendError                    500, the native library failed
│   └─ EngineCrashedError          503, the engine's process died
├─ CloudError                      502, an endpoint elsewhere; `endpoint` names it
│   ├─ CloudUnavailableError       503, refused, unresolved, reset, 5xx
│   │   └─ CircuitOpenError        it failed too often, and is left alone for a while
│   ├─ CloudTimeoutError           504, to connect, between two pieces, or in all
│   ├─ CloudRateLimitError         429
│   │   └─ CloudQuotaError         nothing left to spend there
│   ├─ CloudAuthError              it does not accept the key
│   ├─ CloudResponseError          what came back is no answer
│   │   └─ CloudTruncatedError     the answer stopped half-way
│   ├─ CloudRequestError           it refuses the request
│   │   ├─ CloudModelNotFoundError
│   │   ├─ CloudContextLengthError
│   │   └─ CloudContentFilterError
│   └─ CloudForbiddenError         403, refused at our own door; nothing was sent
│       ├─ OfflineError            EDGE_LLM_OFFLINE=1
│       └─ PrivacyError            the label does not let it pass
│           └─ RedactionError      what may not leave as it is could not be redacted
├─ RoutingError
│   ├─ NoRouteError                503, every tier was refused, each for its reason
│   ├─ AnswerRejectedError         502, no tier gave an answer that validates
│   │   ├─ InvalidAnswerError       it breaks its schema, grammar or tool; `path` says where
│   │   └─ TruncatedAnswerError     422, it was cut off before it was whole
│   ├─ AnswerDeferredError         503, stored until the cloud can answer; `request_id` names it
│   └─ BudgetExceededError         429, a limit in USD or bytes would be passed
├─ StoreError                      a file of SQLite cannot be used
│   ├─ StoreBusyError              503, another process holds it
│   ├─ StoreFullError              507, no room on the disk
│   ├─ StoreCorruptedError         it is damaged
│   └─ StoreVersionError           a newer edge-llm wrote it, or something else
├─ DeferredError                   409, the deferred request is not in a state that allows it
│   ├─ DeferredNotFoundError       404
│   ├─ DeferredQueueFullError      503
│   └─ LeaseLostError              somebody else works on it by now
├─ ToolError                       a source of tools cannot be used
│   └─ ToolServerError            502, an MCP server that does not start, answer or live
├─ RunLimitExceededError           429, a loop of tool calls came to one of its limits; `result`
├─ RequestAbortedError             the request was cancelled, by its caller or by `close`
│   └─ DeadlineExceededError       504
├─ NotRemoteError                  what only the process with the model can do
└─ RuntimeClosedError
    └─ RuntimeForkedError          used in a child process after fork()
```
"""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING

from edge_llm.errors.base import EdgeLLMError as EdgeLLMError
from edge_llm.errors.cloud import (
    CircuitOpenError as CircuitOpenError,
)
from edge_llm.errors.cloud import (
    CloudAuthError as CloudAuthError,
)
from edge_llm.errors.cloud import (
    CloudContentFilterError as CloudContentFilterError,
)
from edge_llm.errors.cloud import (
    CloudContextLengthError as CloudContextLengthError,
)
from edge_llm.errors.cloud import (
    CloudError as CloudError,
)
from edge_llm.errors.cloud import (
    CloudForbiddenError as CloudForbiddenError,
)
from edge_llm.errors.cloud import (
    CloudModelNotFoundError as CloudModelNotFoundError,
)
from edge_llm.errors.cloud import (
    CloudQuotaError as CloudQuotaError,
)
from edge_llm.errors.cloud import (
    CloudRateLimitError as CloudRateLimitError,
)
from edge_llm.errors.cloud import (
    CloudRequestError as CloudRequestError,
)
from edge_llm.errors.cloud import (
    CloudResponseError as CloudResponseError,
)
from edge_llm.errors.cloud import (
    CloudTimeoutError as CloudTimeoutError,
)
from edge_llm.errors.cloud import (
    CloudTruncatedError as CloudTruncatedError,
)
from edge_llm.errors.cloud import (
    CloudUnavailableError as CloudUnavailableError,
)
from edge_llm.errors.cloud import (
    OfflineError as OfflineError,
)
from edge_llm.errors.cloud import (
    PrivacyError as PrivacyError,
)
from edge_llm.errors.cloud import (
    RedactionError as RedactionError,
)
from edge_llm.errors.model import (
    DevicePlacementError as DevicePlacementError,
)
from edge_llm.errors.model import (
    HubBusyError as HubBusyError,
)
from edge_llm.errors.model import (
    HubOfflineError as HubOfflineError,
)
from edge_llm.errors.model import (
    InsufficientMemoryError as InsufficientMemoryError,
)
from edge_llm.errors.model import (
    ModelAccessError as ModelAccessError,
)
from edge_llm.errors.model import (
    ModelDownloadError as ModelDownloadError,
)
from edge_llm.errors.model import (
    ModelError as ModelError,
)
from edge_llm.errors.model import (
    ModelFormatError as ModelFormatError,
)
from edge_llm.errors.model import (
    ModelIntegrityError as ModelIntegrityError,
)
from edge_llm.errors.model import (
    ModelNotFoundError as ModelNotFoundError,
)
from edge_llm.errors.model import (
    ModelNotInstalledError as ModelNotInstalledError,
)
from edge_llm.errors.model import (
    ModelRangeError as ModelRangeError,
)
from edge_llm.errors.model import (
    ModelReferenceError as ModelReferenceError,
)
from edge_llm.errors.model import (
    ModelStoreError as ModelStoreError,
)
from edge_llm.errors.model import (
    NotGGUFError as NotGGUFError,
)
from edge_llm.errors.model import (
    QuantizationRefusedError as QuantizationRefusedError,
)
from edge_llm.errors.model import (
    TruncatedModelError as TruncatedModelError,
)
from edge_llm.errors.model import (
    UnsupportedModelError as UnsupportedModelError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConfigError(EdgeLLMError):
    """The configuration cannot be used."""

    code = "config_error"


class UnknownOptionError(ConfigError, TypeError):
    """An option name that does not exist."""

    code = "unknown_option"
    status_code = 400


class DeviceUnavailableError(ConfigError):
    """The chosen device or execution provider is not here, or does not start."""

    code = "device_unavailable"


class PrivacyRuleError(ConfigError):
    """A rule of redaction that cannot be used: nothing leaves while it stands."""

    code = "privacy_rule"


class RequestError(EdgeLLMError):
    """The request itself cannot be served as it is."""

    code = "invalid_request"
    status_code = 400


class InvalidParameterError(RequestError, ValueError):
    """A known parameter with a value outside its range."""

    code = "invalid_parameter"


class UnsupportedParameterError(RequestError):
    """The loaded model cannot do what the parameter asks for."""

    code = "unsupported_parameter"


class ChatTemplateError(RequestError):
    """The chat template does not parse, or it refused the messages."""

    code = "chat_template"


class ContextLengthExceededError(RequestError):
    """Prompt and answer together do not fit in the context; nothing was truncated."""

    code = "context_length_exceeded"

    def __init__(self, *, prompt_tokens: int, max_tokens: int, max_model_len: int) -> None:
        super().__init__(
            f"the prompt has {prompt_tokens} tokens; with {max_tokens} for the answer that is more"
            f" than the context of {max_model_len}",
            hint="shorten the conversation, lower max_tokens, raise context_size, or pass"
            " overflow='drop_oldest'",
        )
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.max_model_len = max_model_len


class GrammarError(RequestError):
    """A constraint on the answer is no grammar, or one that no text satisfies."""

    code = "invalid_grammar"


class UnsupportedSchemaError(GrammarError):
    """A strict JSON schema uses a keyword that cannot be enforced while an answer is written."""

    code = "unsupported_schema"

    def __init__(self, path: str, keyword: str, why: str | None = None) -> None:
        """`path` is the JSON pointer of the keyword, such as `#/properties/a/not`."""
        reason = f": {why}" if why else ""
        super().__init__(
            f"the schema's {keyword!r} at {path} cannot be enforced{reason}",
            hint="leave it out, or pass strict=False and check the answer afterwards",
        )
        self.path = path
        self.keyword = keyword


class GrammarTooLargeError(GrammarError):
    """A constraint is too large, or would take too long or too much memory to keep to."""

    code = "grammar_too_large"


class RefusedRequestError(RequestError):
    """The same request ended the engine's process twice; it is not tried again for a while."""

    code = "request_refused"
    status_code = 422


class BackendError(EdgeLLMError):
    """The native library failed while running the model."""

    code = "backend_error"
    retryable = True


class EngineCrashedError(BackendError):
    """The process that the engine runs in died; another one is started."""

    code = "engine_crashed"
    status_code = 503


class RoutingError(EdgeLLMError):
    """No tier may have the request."""

    code = "routing_error"
    status_code = 503


class NoRouteError(RoutingError):
    """Every tier was refused: forbidden, out of reach, or not able to."""

    code = "no_route"


class AnswerRejectedError(RoutingError):
    """No tier gave an answer that validates, and one that does not is not passed on."""

    code = "answer_rejected"
    status_code = 502
    retryable = True


class InvalidAnswerError(AnswerRejectedError):
    """The answer, or a call in it, breaks the schema, grammar or choice that was asked for."""

    code = "answer_invalid"

    def __init__(
        self, message: str, *, hint: str | None = None, path: str = "$", keyword: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        """Where in the answer, as `$.ingredients[2].grams`; a call begins with its tool's name."""
        self.keyword = keyword
        """What was broken there: a keyword of JSON Schema, `json`, `regex`, `choice`, `type` …"""


class TruncatedAnswerError(AnswerRejectedError):
    """The answer was cut off, by `max_tokens` or the end of the context, before it was whole."""

    code = "answer_truncated"
    status_code = 422
    retryable = False


class AnswerDeferredError(RoutingError):
    """Only the cloud could answer, and cannot now: the request is stored until it can."""

    code = "answer_deferred"
    status_code = 503

    def __init__(self, message: str, *, hint: str | None = None, request_id: str = "") -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id


class BudgetExceededError(RoutingError):
    """The request would pass a limit in USD or in bytes sent; nothing was reserved."""

    code = "budget_exceeded"
    status_code = 429

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        allowed: float,
        spent: float,
        requested: float,
        resets_at: float | None,
    ) -> None:
        hint = None if resets_at is None else f"the limit resets at {_utc(resets_at)}"
        super().__init__(message, hint=hint or f"no reset helps; raise {limit}")
        self.limit = limit
        """`daily_usd`, `monthly_usd`, `daily_bytes` or `monthly_bytes`."""
        self.allowed = allowed
        """Of that limit, in USD or bytes."""
        self.spent = spent
        """Reservations included."""
        self.requested = requested
        self.resets_at = resets_at
        """Seconds since the epoch; None when the request alone is more than the limit."""


class StoreError(EdgeLLMError):
    """A file of SQLite cannot be opened, read or written."""

    code = "store_error"


class StoreBusyError(StoreError):
    """Another process held the file for too long; nothing was written."""

    code = "store_busy"
    status_code = 503
    retryable = True


class StoreFullError(StoreError):
    """The disk has no room; nothing was written."""

    code = "store_full"
    status_code = 507


class StoreCorruptedError(StoreError):
    """The file is damaged, or is no database."""

    code = "store_corrupted"


class StoreVersionError(StoreError):
    """A newer version wrote the file, or it belongs to another part or program."""

    code = "store_version"


class DeferredError(EdgeLLMError):
    """The deferred request is not in a state that allows what was asked."""

    code = "deferred_state"
    status_code = 409


class DeferredNotFoundError(DeferredError):
    """There is no deferred request with this id, or it was forgotten."""

    code = "deferred_not_found"
    status_code = 404


class DeferredQueueFullError(DeferredError):
    """As many requests wait as may; this one was not stored."""

    code = "deferred_queue_full"
    status_code = 503
    retryable = True


class LeaseLostError(DeferredError):
    """The lease ran out or the request was cancelled meanwhile; the answer was not stored."""

    code = "deferred_lease_lost"


class ToolError(EdgeLLMError):
    """A function or server cannot be offered as tools. A call that fails is no error of a run."""

    code = "tool_error"
    status_code = 400


class ToolServerError(ToolError):
    """An MCP server does not start, does not answer, or has died."""

    code = "tool_server"
    status_code = 502
    retryable = True


class RunLimitExceededError(EdgeLLMError):
    """A run came to a limit before its model had answered; what was done until then is kept."""

    code = "run_limit"
    status_code = 429

    def __init__(
        self, message: str, *, hint: str | None = None, limit: str = "", result: object = None
    ) -> None:
        wider = f"raise {limit}, or look at `result` for what was done"
        super().__init__(message, hint=hint or wider)
        self.limit = limit
        """`max_turns`, `max_total_tokens`, `max_usd` or `deadline_s`."""
        self.result = result
        """The `RunResult` so far: its calls have been executed."""


class RequestAbortedError(EdgeLLMError):
    """The request was cancelled before it finished."""

    code = "request_aborted"
    status_code = 499


class DeadlineExceededError(RequestAbortedError):
    """The request was not finished by its deadline."""

    code = "deadline_exceeded"
    status_code = 504
    retryable = True


class NotRemoteError(EdgeLLMError):
    """Only the process that has the model can do this, not a connection to it."""

    code = "not_remote"
    status_code = 400


class RuntimeClosedError(EdgeLLMError):
    """The runtime was closed; it answers no more requests."""

    code = "runtime_closed"
    status_code = 503


class RuntimeForkedError(RuntimeClosedError):
    """The runtime was created in another process; threads and models do not survive fork()."""

    code = "runtime_forked"


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known names, or lists them all when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "known: " + ", ".join(names)
