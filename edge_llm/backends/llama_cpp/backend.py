"""`Backend` over a llama.cpp context with one unified KV cache shared by all sequences.

Every argument that would make llama.cpp abort the process is checked here first.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import (
    Backend,
    BatchItem,
    Capabilities,
    ForwardInterruptedError,
    Interrupt,
    KVCacheFullError,
    ModelInfo,
)
from edge_llm.backends.llama_cpp.batch import TokenBatch
from edge_llm.backends.llama_cpp.native import load_library
from edge_llm.backends.llama_cpp.tokenizer import LlamaTokenizer
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus
from edge_llm.device.memory import available_memory_bytes, describe_bytes
from edge_llm.errors import BackendError, InsufficientMemoryError, ModelFormatError
from edge_llm.hub.fingerprint import (
    SnapshotSettings,
    content_fingerprint,
    snapshot_fingerprint,
)
from edge_llm.hub.gguf import GGUFFile, check_loadable, read_gguf

_NO_KV_SLOT, _ABORTED = 1, 2
"""Source: llama.h, the return values of `llama_decode`."""

DEFAULT_MAX_CONTEXT = 4096
"""Context when none is asked for: what models allow can be 128k, and its KV cache gigabytes."""

SMALL_MODEL_BYTES = 32 << 20
"""Below this a token takes less time than its barriers between threads do: one thread is faster."""

MAX_BATCHED_TOKENS = 512
"""Tokens per forward: llama.cpp's own default for a physical batch."""


def load_llama_cpp(path: Path, config: EdgeConfig) -> LlamaCppBackend:
    """Check the file in Python, check the memory, then load it.

    Raises:
        ModelFormatError: damaged, or not runnable by this llama.cpp.
        InsufficientMemoryError: it would not fit in what is free.
    """
    file = read_gguf(path)
    check_loadable(file)
    context_size = config.context_size or min(file.info.context_length, DEFAULT_MAX_CONTEXT)
    _require_memory(file, context_size)
    return LlamaCppBackend(
        file,
        context_size=context_size,
        max_num_seqs=config.max_num_seqs,
        prefix_slots=config.prefix_slots,
        threads=config.threads or default_threads(file.info.weight_bytes),
        # Reading the weights for it takes a while, and only the cache on disk asks.
        state_fingerprint=fingerprint_states(path) if config.cache_max_mb else None,
    )


def fingerprint_states(path: Path) -> str:
    """What the KV states of this file, computed by this build of the library, are known by."""
    library = load_library()
    built = [
        (lib.name, lib.stat().st_size, lib.stat().st_mtime_ns)
        for lib in sorted((Path(str(library.__file__)).parent / "lib").glob("lib*"))
    ]
    settings = SnapshotSettings(
        model=content_fingerprint(path), library=f"llama.cpp {library.__version__} {built}"
    )
    return snapshot_fingerprint(settings)


def default_threads(weight_bytes: int) -> int:
    """Compute threads for a model: all usable processors, or one where there is little to share."""
    return 1 if weight_bytes < SMALL_MODEL_BYTES else usable_cpus()


def _require_memory(file: GGUFFile, context_size: int) -> None:
    needed = file.info.estimate_memory_bytes(context_size)
    free = available_memory_bytes()
    if needed > free:
        raise InsufficientMemoryError(
            f"{file.path.name} needs about {describe_bytes(needed)} with a context of"
            f" {context_size}, and {describe_bytes(free)} are free",
            hint="close other programs, lower context_size, or take a smaller quantisation",
        )


class LlamaCppBackend(Backend):
    """Owns one llama.cpp model and one context on it."""

    def __init__(
        self,
        file: GGUFFile,
        *,
        context_size: int,
        max_num_seqs: int,
        prefix_slots: int,
        threads: int,
        state_fingerprint: str | None = None,
    ) -> None:
        self._lib = load_library()
        self._model: Any = None
        self._context: Any = None
        self._vocabulary: LlamaTokenizer | None = None
        try:
            self._model = self._load_model(file)
            self._context = self._open_context(
                file, context_size, max_num_seqs + prefix_slots, threads
            )
            self._vocabulary = LlamaTokenizer(self._lib.llama_model_get_vocab(self._model))
        except BaseException:
            self.close()
            raise
        self.tokenizer = self._vocabulary
        self._memory = self._lib.llama_get_memory(self._context)
        self._never_abort = self._lib.ggml_abort_callback()  # a null pointer
        self.info = ModelInfo(
            name=file.info.name or file.path.stem,
            architecture=file.info.architecture,
            chat_template=file.info.chat_template,
            sampling=file.info.sampling,
            state_fingerprint=state_fingerprint,
        )
        self.capabilities = self._measure(max_num_seqs, max_num_seqs + prefix_slots)
        self._batch = TokenBatch(self._lib, self.capabilities.max_num_batched_tokens)
        self._views: dict[tuple[int, int], NDArray[np.float32]] = {}

    def _load_model(self, file: GGUFFile) -> Any:
        model = self._lib.llama_model_load_from_file(
            os.fsencode(file.path), self._lib.llama_model_default_params()
        )
        if not model:
            raise ModelFormatError(
                f"llama.cpp could not load {str(file.path)!r}",
                hint="the file may be damaged; llama.cpp's own words are in the log (--verbose)",
            )
        return model

    def _open_context(
        self, file: GGUFFile, context_size: int, num_seq_ids: int, threads: int
    ) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = context_size
        params.n_batch = min(MAX_BATCHED_TOKENS, context_size)
        params.n_ubatch = params.n_batch
        params.n_seq_max = num_seq_ids
        params.kv_unified = True
        params.n_threads = threads
        params.n_threads_batch = threads
        params.no_perf = True
        context = self._lib.llama_init_from_model(self._model, params)
        if not context:
            raise InsufficientMemoryError(
                f"llama.cpp could not make a context of {context_size} for {file.path.name}",
                hint="lower context_size; its own words are on the logger 'edge_llm.llama_cpp'",
            )
        return context

    def _measure(self, max_num_seqs: int, num_seq_ids: int) -> Capabilities:
        lib = self._lib
        rolls_back = not (
            lib.llama_model_is_recurrent(self._model) or lib.llama_model_is_hybrid(self._model)
        )
        num_cells = int(lib.llama_n_ctx(self._context))
        return Capabilities(
            max_model_len=int(lib.llama_n_ctx_seq(self._context)),
            max_num_seqs=max_num_seqs,
            num_seq_ids=num_seq_ids,
            num_kv_cells=num_cells,
            max_num_batched_tokens=int(lib.llama_n_batch(self._context)),
            can_share_prefix=rolls_back,
            can_truncate=rolls_back,
            can_snapshot=True,
        )

    @property
    def raw(self) -> tuple[ModuleType, Any]:
        """The library and the context, for benchmarks that time llama.cpp alone."""
        return self._lib, self._context

    def forward(
        self, batch: Sequence[BatchItem], interrupt: Interrupt | None = None
    ) -> NDArray[np.float32]:
        """See `Backend.forward`; the rows are llama.cpp's own output buffer."""
        num_outputs = self._batch.fill(batch)
        with self._interruptible(interrupt):
            status = self._lib.llama_decode(self._context, self._batch.struct)
        if status == _NO_KV_SLOT:
            raise KVCacheFullError
        if status == _ABORTED:
            raise ForwardInterruptedError
        if status != 0:
            raise BackendError(f"llama_decode failed with status {status}")
        return self._logits(num_outputs)

    @contextmanager
    def _interruptible(self, interrupt: Interrupt | None) -> Iterator[None]:
        """Let llama.cpp ask `interrupt` before each operation; costs dozens of calls a step."""
        if interrupt is None:
            yield
            return
        callback = self._lib.ggml_abort_callback(lambda _: interrupt())
        self._lib.llama_set_abort_callback(self._context, callback, None)
        try:
            yield
        finally:
            self._lib.llama_set_abort_callback(self._context, self._never_abort, None)

    def _logits(self, num_outputs: int) -> NDArray[np.float32]:
        if num_outputs == 0:
            return np.empty((0, self.tokenizer.vocab_size), np.float32)
        pointer = self._lib.llama_get_logits(self._context)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        if address is None:
            raise BackendError("llama.cpp gave no logits")
        # The buffer moves when more rows are asked for than ever before, so the key is its address.
        view = self._views.get((address, num_outputs))
        if view is None:
            view = self._map(address, num_outputs)
            self._views = {key: v for key, v in self._views.items() if key[0] == address}
            self._views[address, num_outputs] = view
        return view

    def _map(self, address: int, num_outputs: int) -> NDArray[np.float32]:
        shape = (num_outputs, self.tokenizer.vocab_size)
        buffer = (ctypes.c_float * (shape[0] * shape[1])).from_address(address)
        return np.ctypeslib.as_array(buffer).reshape(shape)

    def fork(self, source: int, target: int, length: int | None = None) -> None:
        """See `Backend.fork`; all cells are shared, nothing is copied."""
        self._lib.llama_memory_seq_cp(
            self._memory, self._checked(source), self._checked(target), -1, -1
        )

    def truncate(self, seq_id: int, length: int) -> bool:
        """See `Backend.truncate`."""
        if length >= self.length(seq_id):
            return True
        return bool(
            self._lib.llama_memory_seq_rm(self._memory, self._checked(seq_id), max(0, length), -1)
        )

    def export(self, seq_id: int) -> bytes:
        """See `Backend.export`."""
        size = self._lib.llama_state_seq_get_size(self._context, self._checked(seq_id))
        buffer = (ctypes.c_uint8 * size)()
        written = self._lib.llama_state_seq_get_data(self._context, buffer, size, seq_id)
        if written != size:
            raise BackendError(f"llama.cpp wrote {written} of {size} bytes of sequence state")
        return bytes(buffer)

    def import_(self, seq_id: int, state: bytes) -> None:
        """See `Backend.import_`."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        read = self._lib.llama_state_seq_set_data(
            self._context, buffer, len(state), self._checked(seq_id)
        )
        if read != len(state) or not state:
            self.free(seq_id)
            raise BackendError("the sequence state does not fit this model and its settings")

    def length(self, seq_id: int) -> int:
        """See `Backend.length`."""
        return int(self._lib.llama_memory_seq_pos_max(self._memory, self._checked(seq_id))) + 1

    def free(self, seq_id: int) -> None:
        """See `Backend.free`."""
        self._lib.llama_memory_seq_rm(self._memory, self._checked(seq_id), -1, -1)

    def close(self) -> None:
        """See `Backend.close`."""
        # The views point into memory that goes away with the context.
        self._views = {}
        if self._vocabulary is not None:  # other threads may be tokenising
            self._vocabulary.close()
        context, self._context = self._context, None
        model, self._model = self._model, None
        _free(self._lib.llama_free, context)
        _free(self._lib.llama_model_free, model)

    def _checked(self, seq_id: int) -> int:
        if not 0 <= seq_id < self.capabilities.num_seq_ids:
            raise ValueError(f"sequence id {seq_id} is outside 0..num_seq_ids")
        return seq_id


def _free(release: Callable[[Any], None], pointer: Any) -> None:
    if pointer:
        release(pointer)
