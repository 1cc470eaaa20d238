"""Every error that `edge_llm` raises on purpose: one tree, each with what a border reports.

```
EdgeLLMError
├─ ConfigError
│   ├─ UnknownOptionError          also a TypeError: an option name nobody knows
│   ├─ DeviceUnavailableError      no such device or execution provider here
│   ├─ PrivacyRuleError            a rule of redaction that cannot be used
│   └─ DataSetError                a line of a data set that cannot be read
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
│   ├─ AnswerDeferredError         503, stored until the cloud can answer; `request_id` names it
│   └─ BudgetExceededError         429, a limit in USD or bytes would be passed
├─ CalibrationError                a calibration cannot be fitted, read, written or used
│   ├─ CalibrationDataError        the outcomes do not fit together, or are too few
│   ├─ CalibrationInfeasibleError  no threshold keeps the goal
│   ├─ CalibrationNotFoundError    404
│   ├─ CalibrationFormatError      the file is damaged, or something else
│   │   └─ CalibrationVersionError a newer edge-llm wrote it
│   └─ CalibrationMismatchError    it is for another model, quantisation, template or task
├─ StoreError                      a file of SQLite cannot be used
│   ├─ StoreBusyError              503, another process holds it
│   ├─ StoreFullError              507, no room on the disk
│   ├─ StoreCorruptedError         it is damaged
│   └─ StoreVersionError           a newer edge-llm wrote it, or something else
├─ DeferredError                   409, the deferred request is not in a state that allows it
│   ├─ DeferredNotFoundError       404
│   ├─ DeferredQueueFullError      503
│   └─ LeaseLostError              somebody else works on it by now
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
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class EdgeLLMError(Exception):
    """Base of every error raised by `edge_llm`; its text says what happened, `hint` what to do."""

    code: ClassVar[str] = "edge_llm_error"
    """Machine-readable name, used as `error.code` by the HTTP server."""
    status_code: ClassVar[int] = 500
    """HTTP status."""
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without any change."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


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


class DataSetError(ConfigError):
    """A data set cannot be read; the text names the file, the line and the column."""

    code = "data_set"


class ModelError(EdgeLLMError):
    """A model cannot be found, read or run."""

    code = "model_error"


class ModelNotFoundError(ModelError):
    """No model answers to this reference."""

    code = "model_not_found"
    status_code = 404


class ModelNotInstalledError(ModelNotFoundError):
    """The model is known, or may be on the hub, but is not on this machine."""

    code = "model_not_installed"

    def __init__(
        self, message: str, *, hint: str | None = None, pull_command: str | None = None
    ) -> None:
        super().__init__(message, hint=hint or f"fetch it with: {pull_command}")
        self.pull_command = pull_command
        """The shell command that fetches it."""


class ModelReferenceError(ModelError):
    """The text cannot name a model."""

    code = "model_reference"
    status_code = 400


class ModelDownloadError(ModelError):
    """The hub, or the way to it, failed."""

    code = "model_download"
    status_code = 502
    retryable = True


class HubBusyError(ModelDownloadError):
    """The hub asks to be asked again later."""

    code = "hub_busy"
    status_code = 503

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        """Seconds that the hub wants to be left alone; None where it does not say."""


class ModelAccessError(ModelDownloadError):
    """The hub wants a token, or a licence to be accepted."""

    code = "model_access"
    status_code = 401
    retryable = False


class ModelRangeError(ModelDownloadError):
    """The server cannot give parts of files: reading one would mean fetching all of it."""

    code = "model_range"
    retryable = False


class ModelIntegrityError(ModelDownloadError):
    """Bytes that arrived, or that lie on the disk, are not the ones that were promised."""

    code = "model_integrity"


class HubOfflineError(ModelDownloadError):
    """`EDGE_LLM_OFFLINE=1`: nothing may be fetched from another machine."""

    code = "hub_offline"
    status_code = 403
    retryable = False


class ModelStoreError(ModelError):
    """The folder of models cannot be written: full, read-only or somebody else's."""

    code = "model_store"
    status_code = 507


class ModelFormatError(ModelError):
    """The model file is damaged or inconsistent."""

    code = "model_format"


class NotGGUFError(ModelFormatError):
    """The file does not begin as a GGUF file does."""

    code = "not_gguf"


class TruncatedModelError(ModelFormatError):
    """The file ends before the data that its header promises."""

    code = "model_truncated"


class UnsupportedModelError(ModelFormatError):
    """The file is sound, but this build of the native library cannot run it."""

    code = "model_unsupported"


class DevicePlacementError(UnsupportedModelError):
    """The chosen device cannot run the whole graph, and nothing may run elsewhere unsaid."""

    code = "device_placement"

    def __init__(
        self, message: str, *, hint: str | None = None, elsewhere: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.elsewhere = dict(elsewhere or {})
        """Number of nodes that would have run elsewhere, by operator."""


class QuantizationRefusedError(ModelError):
    """A quantised model is too far from its original, or no smaller; nothing was written."""

    code = "quantization_refused"


class InsufficientMemoryError(ModelError):
    """The model would not fit in the memory that is free now."""

    code = "insufficient_memory"
    status_code = 503
    retryable = True


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


class CloudError(EdgeLLMError):
    """An endpoint elsewhere did not answer the request. Never quotes a body, a prompt or a key."""

    code = "cloud_error"
    status_code = 502

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        endpoint: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.endpoint = endpoint
        """Its configured name."""
        self.status = status
        """The HTTP status it sent, where it sent one."""
        self.retry_after_s = retry_after_s
        """How long it asks to be left alone."""
        self.own_words: Mapping[str, Any] | None = None
        """What one of our own servers said; never set for anybody else's."""


class CloudUnavailableError(CloudError):
    """The endpoint cannot be reached, or says that it cannot answer now."""

    code = "cloud_unavailable"
    status_code = 503
    retryable = True


class CircuitOpenError(CloudUnavailableError):
    """The endpoint failed too often, or refused the key; nothing was sent."""

    code = "cloud_circuit_open"


class CloudTimeoutError(CloudError):
    """The endpoint took too long; `phase` says for what: `connect`, `read` or `total`."""

    code = "cloud_timeout"
    status_code = 504
    retryable = True

    def __init__(self, message: str, *, phase: str, endpoint: str = "") -> None:
        super().__init__(message, endpoint=endpoint)
        self.phase = phase


class CloudRateLimitError(CloudError):
    """Too many requests; `retry_after_s` says when to come back, where the endpoint said it."""

    code = "cloud_rate_limit"
    status_code = 429
    retryable = True


class CloudQuotaError(CloudRateLimitError):
    """The account has nothing left to spend; waiting does not help."""

    code = "cloud_quota"
    retryable = False


class CloudAuthError(CloudError):
    """The endpoint does not accept the key (401, 403), or the key cannot be read."""

    code = "cloud_auth"


class CloudResponseError(CloudError):
    """What came back is no answer: bad JSON, another content type, too much of it."""

    code = "cloud_bad_response"
    retryable = True


class CloudTruncatedError(CloudResponseError):
    """The stream ended before the answer did."""

    code = "cloud_truncated"


class CloudRequestError(CloudError):
    """The endpoint refuses the request as it is; asking again does not help."""

    code = "cloud_request"


class CloudModelNotFoundError(CloudRequestError):
    """The endpoint has no such model, or not for this key."""

    code = "cloud_model_not_found"


class CloudContextLengthError(CloudRequestError):
    """The conversation is too long for the endpoint's model."""

    code = "cloud_context_length"


class CloudContentFilterError(CloudRequestError):
    """The endpoint's content filter stopped the request or the answer."""

    code = "cloud_content_filter"


class CloudForbiddenError(CloudError):
    """Our own door refuses to send the request there; not a byte has left."""

    code = "cloud_forbidden"
    status_code = 403


class OfflineError(CloudForbiddenError):
    """`EDGE_LLM_OFFLINE=1`: only this machine may be asked."""

    code = "offline"


class PrivacyError(CloudForbiddenError):
    """The request's privacy label does not let it go to an endpoint of this trust."""

    code = "privacy"


class RedactionError(PrivacyError):
    """A part of the request could not be redacted, so that none of it may leave.

    Never quotes the text, nor chains an exception that may.
    """

    code = "redaction_failed"


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


class CalibrationError(EdgeLLMError):
    """A calibration cannot be fitted, read, written or used."""

    code = "calibration_error"


class CalibrationDataError(CalibrationError):
    """The outcomes do not fit together, or are too few."""

    code = "calibration_data"
    status_code = 400


class CalibrationInfeasibleError(CalibrationError):
    """No threshold keeps what was to be promised; `hint` says what would help."""

    code = "calibration_infeasible"


class CalibrationNotFoundError(CalibrationError):
    """There is no such file."""

    code = "calibration_not_found"
    status_code = 404


class CalibrationFormatError(CalibrationError):
    """The file is damaged, or is no calibration."""

    code = "calibration_format"


class CalibrationVersionError(CalibrationFormatError):
    """A newer edge-llm wrote the file."""

    code = "calibration_version"


class CalibrationMismatchError(CalibrationError):
    """The calibration is for another model, quantisation, template or task."""

    code = "calibration_mismatch"


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
