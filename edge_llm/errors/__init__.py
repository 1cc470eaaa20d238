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
from typing import TYPE_CHECKING

from edge_llm.errors.base import (
    EdgeLLMError,
)
from edge_llm.errors.cloud import (
    CircuitOpenError,
    CloudAuthError,
    CloudContentFilterError,
    CloudContextLengthError,
    CloudError,
    CloudForbiddenError,
    CloudModelNotFoundError,
    CloudQuotaError,
    CloudRateLimitError,
    CloudRequestError,
    CloudResponseError,
    CloudTimeoutError,
    CloudTruncatedError,
    CloudUnavailableError,
    OfflineError,
    PrivacyError,
    RedactionError,
)
from edge_llm.errors.model import (
    DevicePlacementError,
    HubBusyError,
    HubOfflineError,
    InsufficientMemoryError,
    ModelAccessError,
    ModelDownloadError,
    ModelError,
    ModelFormatError,
    ModelIntegrityError,
    ModelNotFoundError,
    ModelNotInstalledError,
    ModelRangeError,
    ModelReferenceError,
    ModelStoreError,
    NotGGUFError,
    QuantizationRefusedError,
    TruncatedModelError,
    UnsupportedModelError,
)
from edge_llm.errors.request import (
    ChatTemplateError,
    ContextLengthExceededError,
    GrammarError,
    GrammarTooLargeError,
    InvalidParameterError,
    RefusedRequestError,
    RequestError,
    UnsupportedParameterError,
    UnsupportedSchemaError,
)
from edge_llm.errors.routing import (
    AnswerDeferredError,
    AnswerRejectedError,
    BudgetExceededError,
    InvalidAnswerError,
    NoRouteError,
    RoutingError,
    TruncatedAnswerError,
)
from edge_llm.errors.store import (
    DeferredError,
    DeferredNotFoundError,
    DeferredQueueFullError,
    LeaseLostError,
    StoreBusyError,
    StoreCorruptedError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)
from edge_llm.errors.tools import (
    RunLimitExceededError,
    ToolError,
    ToolServerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = [
    "AnswerDeferredError",
    "AnswerRejectedError",
    "BackendError",
    "BudgetExceededError",
    "ChatTemplateError",
    "CircuitOpenError",
    "CloudAuthError",
    "CloudContentFilterError",
    "CloudContextLengthError",
    "CloudError",
    "CloudForbiddenError",
    "CloudModelNotFoundError",
    "CloudQuotaError",
    "CloudRateLimitError",
    "CloudRequestError",
    "CloudResponseError",
    "CloudTimeoutError",
    "CloudTruncatedError",
    "CloudUnavailableError",
    "ConfigError",
    "ContextLengthExceededError",
    "DeadlineExceededError",
    "DeferredError",
    "DeferredNotFoundError",
    "DeferredQueueFullError",
    "DevicePlacementError",
    "DeviceUnavailableError",
    "EdgeLLMError",
    "EngineCrashedError",
    "GrammarError",
    "GrammarTooLargeError",
    "HubBusyError",
    "HubOfflineError",
    "InsufficientMemoryError",
    "InvalidAnswerError",
    "InvalidParameterError",
    "LeaseLostError",
    "ModelAccessError",
    "ModelDownloadError",
    "ModelError",
    "ModelFormatError",
    "ModelIntegrityError",
    "ModelNotFoundError",
    "ModelNotInstalledError",
    "ModelRangeError",
    "ModelReferenceError",
    "ModelStoreError",
    "NoRouteError",
    "NotGGUFError",
    "NotRemoteError",
    "OfflineError",
    "PrivacyError",
    "PrivacyRuleError",
    "QuantizationRefusedError",
    "RedactionError",
    "RefusedRequestError",
    "RequestAbortedError",
    "RequestError",
    "RoutingError",
    "RunLimitExceededError",
    "RuntimeClosedError",
    "RuntimeForkedError",
    "StoreBusyError",
    "StoreCorruptedError",
    "StoreError",
    "StoreFullError",
    "StoreVersionError",
    "ToolError",
    "ToolServerError",
    "TruncatedAnswerError",
    "TruncatedModelError",
    "UnknownOptionError",
    "UnsupportedModelError",
    "UnsupportedParameterError",
    "UnsupportedSchemaError",
    "did_you_mean",
]


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


class BackendError(EdgeLLMError):
    """The native library failed while running the model."""

    code = "backend_error"
    retryable = True


class EngineCrashedError(BackendError):
    """The process that the engine runs in died; another one is started."""

    code = "engine_crashed"
    status_code = 503


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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known names, or lists them all when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "known: " + ", ".join(names)
