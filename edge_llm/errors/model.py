"""Models that cannot be found, fetched, read or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_llm.errors.base import EdgeLLMError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
