"""The contract between the runtime and one served model, in this process or in another.

Imports neither a backend nor numpy: a process that only supervises a worker needs no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from edge_llm.config import EdgeConfig
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.hub.resolve import ModelLocation
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.types import SamplingParams

Listener: TypeAlias = Callable[[SequenceEvent], None]
"""Called on a thread of the host; must return at once and not raise."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Which model to serve and how."""

    reference: ModelLocation
    config: EdgeConfig
    template: str | None = None
    """Jinja source in place of the model's own chat template."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the runtime has to know of a loaded model."""

    name: str
    """What answers are labelled with."""
    file_format: str
    """`gguf` or `onnx`."""
    architecture: str
    max_model_len: int
    """Tokens that one sequence can hold."""
    sampling: SamplingParams
    """Our defaults with what the model's makers recommend put over them."""
    thinking_close: tuple[int, ...] | None
    """Tokens that end the thoughts of a reasoning model; None when it is none."""
    memory: MemoryEstimate | None
    """What it was estimated to need before it was loaded; None where nobody estimated."""
    eog_ids: frozenset[int]
    """Every token that ends an answer."""
    visible_tokens: frozenset[int]
    """Control tokens whose spelling belongs in the text, such as `<tool_call>`."""
    supports_tools: bool = False
    """Whether its chat template has a place for tools."""
    unsure_token_id: int | None = None
    """A token by which the model says, before it answers, that it does not know; None: it has none.
    It does not show in the text; what the model says after it does."""
    template_sha256: str = ""
    """Of the chat template in use, 64 hexadecimal digits: prompts made otherwise change answers."""


class RequestHandle(Protocol):
    """One request under way. Each method may be called from any thread, and after its end too."""

    def abort(self) -> None:
        """Stop it; its listener hears `RequestAbortedError` unless it ended before."""
        ...

    def park(self) -> None:
        """Set it aside, with its KV state while there is room."""
        ...

    def resume(self) -> None:
        """Go on with it after `park`."""
        ...


class ModelHost(ABC):
    """One model that is served. Safe to use from any thread."""

    @property
    @abstractmethod
    def facts(self) -> ModelFacts:
        """What is known of the model as it was last loaded."""

    @property
    @abstractmethod
    def is_loaded(self) -> bool:
        """Whether a call would be served at once; else it blocks until the model is there."""

    @abstractmethod
    def encode(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> EncodedPrompt:
        """The prompt that asks the model for the next answer; blocks.

        Raises:
            RequestError: see `PromptEncoder.encode`.
            BackendError: the engine could not be reached.
            RuntimeClosedError: the host was closed.
        """

    @abstractmethod
    def submit(self, request: EngineRequest, listener: Listener) -> RequestHandle:
        """Start a request; `listener` hears everything about it, refusals too.

        Raises:
            RuntimeClosedError: the host was closed.
        """

    @abstractmethod
    def close(self) -> None:
        """End what runs with `RuntimeClosedError` and free the model. Repeating it is harmless."""
