"""The contract between the engine and one loaded model.

A backend owns weights, KV state and a vocabulary, and knows nothing of requests, sampling or text.
Not thread-safe: only the engine thread calls it, except for `tokenizer`, which anyone may use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.prompt.tokenizer import Tokenizer

Interrupt: TypeAlias = Callable[[], bool]
"""Asked now and then from whatever thread computes; True asks for the end of the computation."""


class ForwardInterruptedError(Exception):
    """A forward was ended early, as asked.

    Its sequences hold what they held before, and perhaps some of the new tokens. Never leaves the
    engine.
    """


class KVCacheFullError(Exception):
    """The batch needs more KV cells than are free; nothing was computed, nothing changed.

    Never leaves the engine: the scheduler preempts a sequence and tries again.
    """


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """How many threads compute, and how that was decided. While others take cores, fewer run."""

    decode: int
    """Threads that write tokens, one for each sequence in a step."""
    prefill: int
    """Threads that read prompts, many tokens in a step."""
    origin: Literal["configured", "measured", "remembered", "assumed"]
    """Set by the user, timed just now, timed by an earlier load, or taken from the core counts."""
    reason: str
    """One clause for people."""

    def because(self, more: str) -> ThreadPlan:
        """The same plan with a further clause."""
        return replace(self, reason=f"{self.reason}; {more}")


DeviceKind: TypeAlias = Literal["cpu", "gpu", "npu"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the nodes of a graph run, as the library itself reports it."""

    device: DeviceKind
    provider: str
    """The execution provider that was chosen."""
    nodes: Mapping[str, int]
    """Number of nodes by execution provider."""
    note: str = ""
    """Why not elsewhere, where that was wanted; one clause for people."""

    @property
    def num_elsewhere(self) -> int:
        """Nodes that another provider than the chosen one runs."""
        return sum(count for name, count in self.nodes.items() if name != self.provider)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the files say about the model."""

    name: str
    architecture: str
    chat_template: str | None = None
    """Jinja source; None where the files bring none."""
    sampling: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Sampling options that the model's makers recommend, under the names of `SamplingParams`."""
    state_fingerprint: str | None = None
    """Equal exactly for backends that can import each other's states; None where none is known."""
    threads: ThreadPlan | None = None
    """How many threads compute; None where the backend has no say in it."""
    memory: MemoryEstimate | None = None
    """What the model was estimated to need before it was loaded; None where nobody estimated."""
    placement: Placement | None = None
    """What runs where; None where the backend knows only one place."""
    file_format: str = ""
    """`gguf` or `onnx`."""
    unsure_token: str | None = None
    """Spelling of the token by which the model says that it does not know; None: it has none."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the loaded model can hold and what its KV state can do."""

    max_model_len: int
    """Tokens that one sequence can hold."""
    max_num_seqs: int
    """Sequences that run at the same time."""
    num_seq_ids: int
    """Sequence ids are `range(num_seq_ids)`: those that run, and those kept as cached prefixes."""
    num_kv_cells: int
    """Tokens that all sequences can hold together, shared ones counted once.

    Where `fork` copies, every sequence id has room for `max_model_len` of its own, and this is
    their sum.
    """
    max_num_batched_tokens: int
    """Tokens in one `forward` at most."""
    can_share_prefix: bool
    """`fork` shares the source's cells instead of copying them."""
    can_truncate: bool
    """`truncate` can shorten a sequence; recurrent state cannot be rolled back."""
    can_snapshot: bool
    """`export` and `import_` work."""
    has_embeddings: bool = False
    row_copy_cost: float = 0.0
    """Seconds that `fork` takes per token copied; 0 where cells are shared."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A run of consecutive tokens of one sequence: one token when decoding, a chunk in prefill."""

    seq_id: int
    position: int
    """Where the run starts: how many tokens of the sequence are in the KV cache already."""
    token_ids: Sequence[int]
    num_outputs: int
    """How many of its last tokens need logits: 0 in the middle of a prefill, else usually 1."""


class Backend(ABC):
    """One loaded model."""

    info: ModelInfo
    capabilities: Capabilities
    tokenizer: Tokenizer

    @abstractmethod
    def forward(
        self, batch: Sequence[BatchItem], interrupt: Interrupt | None = None
    ) -> NDArray[np.float32]:
        """Logits of the tokens that ask for them, in batch order: (num_outputs, vocab_size).

        A view that the next `forward` overwrites.

        Raises:
            KVCacheFullError: no room; the KV state is as it was.
            ForwardInterruptedError: `interrupt` said so.
            BackendError: the library failed; the sequences in the batch are in an unknown state.
            ValueError: more outputs than tokens; nothing was computed.
        """

    @abstractmethod
    def fork(self, source: int, target: int, length: int | None = None) -> None:
        """Make the empty sequence `target` continue from what `source` holds.

        With a `length` from its first tokens alone, where that saves copying the rest: a backend
        that shares cells may take them all.
        """

    @abstractmethod
    def truncate(self, seq_id: int, length: int) -> bool:
        """Keep the first `length` tokens; False, with nothing changed, where that is impossible."""

    @abstractmethod
    def export(self, seq_id: int) -> bytes:
        """The KV state of one sequence."""

    @abstractmethod
    def import_(self, seq_id: int, state: bytes) -> None:
        """Restore what `export` gave, from this backend and settings, into an empty sequence.

        Raises:
            BackendError: the state does not fit this backend.
        """

    @abstractmethod
    def length(self, seq_id: int) -> int:
        """How many tokens of the sequence the KV cache holds."""

    @abstractmethod
    def free(self, seq_id: int) -> None:
        """Forget a sequence; free when it is empty already."""

    @abstractmethod
    def close(self) -> None:
        """Give weights and KV memory back. A second call does nothing."""
