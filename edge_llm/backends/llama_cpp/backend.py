"""`Backend` over a llama.cpp context with one unified KV cache shared by all sequences.

Every argument that would make llama.cpp abort the process is checked here first.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
    ThreadPlan,
)
from edge_llm.backends.llama_cpp.batch import TokenBatch
from edge_llm.backends.llama_cpp.fit import fit_memory
from edge_llm.backends.llama_cpp.native import LLAMA_CPP_PYTHON_VERSION, load_library
from edge_llm.backends.llama_cpp.tokenizer import LlamaTokenizer
from edge_llm.backends.threads.active import ActiveThreads
from edge_llm.backends.threads.memory import ThreadMemory
from edge_llm.backends.threads.plan import PlannedModel, ThreadPlanner, Timings, cores_for
from edge_llm.backends.threads.timing import time_threads
from edge_llm.config import EdgeConfig, KVCacheType, cache_folder
from edge_llm.device.free_cores import FreeCores
from edge_llm.device.memory import available_memory_bytes
from edge_llm.device.topology import read_topology
from edge_llm.device.usage import OthersMeter
from edge_llm.errors import (
    BackendError,
    DeviceUnavailableError,
    InsufficientMemoryError,
    ModelFormatError,
)
from edge_llm.hub.fingerprint import (
    SnapshotSettings,
    content_fingerprint,
    snapshot_fingerprint,
)
from edge_llm.hub.gguf import GGUFFile, check_loadable, read_gguf
from edge_llm.hub.gguf_memory import ContextShape

_NO_KV_SLOT, _ABORTED = 1, 2
"""Source: llama.h, the return values of `llama_decode`."""

# Source: llama.h, `enum llama_flash_attn_type`; ggml.h, `enum ggml_type`.
_FLASH_ATTENTION_ON = 1
_GGML_TYPES = {"f16": 1, "q8_0": 8}


def load_llama_cpp(path: Path, config: EdgeConfig) -> LlamaCppBackend:
    """Check the file in Python, check the memory, then load it.

    Raises:
        ModelFormatError: damaged, or not runnable by this llama.cpp.
        InsufficientMemoryError: it would not fit in what is free.
        DeviceUnavailableError: another device than the CPU was chosen.
    """
    _check_device(config)
    # Begins to watch now, so that the time of loading tells how busy the machine is.
    meter = OthersMeter()
    file = read_gguf(path)
    check_loadable(file)
    shape, estimate = fit_memory(file, config, available_memory_bytes())
    topology = read_topology()
    cores = cores_for(config, topology)
    free = FreeCores(topology.num_cpus, meter)
    backend = LlamaCppBackend(
        file,
        shape,
        max_num_seqs=config.max_num_seqs,
        threads=cores.candidates()[0],
        # Reading the weights for it takes a while, and only the cache on disk asks.
        state_fingerprint=(
            fingerprint_states(path, config.kv_cache_type) if config.cache_max_mb else None
        ),
    )
    backend.info = replace(backend.info, memory=estimate)
    planner = ThreadPlanner(config, cores, free, ThreadMemory(cache_folder(config)))
    try:
        backend.use_threads(planner.plan(planned_model(file), backend.time_threads), free)
    except BaseException:
        backend.close()
        raise
    return backend


def planned_model(file: GGUFFile) -> PlannedModel:
    """What the number of threads for a file depends on."""
    return PlannedModel(
        f"{file.info.architecture} {file.info.quantization}",
        file.info.weight_bytes,
        f"llama-cpp-python {LLAMA_CPP_PYTHON_VERSION}",
    )


def _check_device(config: EdgeConfig) -> None:
    if config.device in ("npu", "gpu") or config.provider is not None:
        chosen = config.provider or config.device.upper()
        raise DeviceUnavailableError(
            f"GGUF models run on the CPU here, not on {chosen}",
            hint="leave device and provider out, or take the model as ONNX",
        )


def fingerprint_states(path: Path, kv_cache_type: KVCacheType = "f16") -> str:
    """What the KV states of this file, computed by this build of the library, are known by."""
    library = load_library()
    built = [
        (lib.name, lib.stat().st_size, lib.stat().st_mtime_ns)
        for lib in sorted((Path(str(library.__file__)).parent / "lib").glob("lib*"))
    ]
    settings = SnapshotSettings(
        model=content_fingerprint(path),
        library=f"llama.cpp {library.__version__} {built}",
        type_k=kv_cache_type,
        type_v=kv_cache_type,
        flash_attention="auto" if kv_cache_type == "f16" else "on",
    )
    return snapshot_fingerprint(settings)


class LlamaCppBackend(Backend):
    """Owns one llama.cpp model and one context on it."""

    def __init__(
        self,
        file: GGUFFile,
        shape: ContextShape,
        *,
        max_num_seqs: int,
        threads: int,
        state_fingerprint: str | None = None,
    ) -> None:
        self._lib = load_library()
        self._model: Any = None
        self._context: Any = None
        self._vocabulary: LlamaTokenizer | None = None
        try:
            self._model = self._load_model(file)
            self._context = self._open_context(file, self._context_params(shape, threads))
            self._vocabulary = LlamaTokenizer(self._lib.llama_model_get_vocab(self._model))
        except BaseException:
            self.close()
            raise
        self.tokenizer = self._vocabulary
        self._memory = self._lib.llama_get_memory(self._context)
        self._never_abort = self._lib.ggml_abort_callback()  # a null pointer
        self.info = ModelInfo(
            file_format="gguf",
            name=file.info.name or file.path.stem,
            architecture=file.info.architecture,
            chat_template=file.info.chat_template,
            sampling=file.info.sampling,
            state_fingerprint=state_fingerprint,
            unsure_token=file.info.unsure_token,
        )
        self.capabilities = self._measure(max_num_seqs, shape.num_seq_ids)
        self._batch = TokenBatch(self._lib, self.capabilities.max_num_batched_tokens)
        self._views: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._threads: ActiveThreads | None = None

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

    def _context_params(self, shape: ContextShape, threads: int) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = shape.context_size
        params.n_batch = min(shape.max_batched_tokens, shape.context_size)
        params.n_ubatch = params.n_batch
        params.n_seq_max = shape.num_seq_ids
        params.kv_unified = True
        params.n_threads = threads
        params.n_threads_batch = threads
        params.no_perf = True
        params.type_k = params.type_v = _GGML_TYPES[shape.kv_cache_type]
        if shape.kv_cache_type != "f16":
            # Quantised values are stored for flash attention only; "auto" could decide otherwise.
            params.flash_attn_type = _FLASH_ATTENTION_ON
        return params

    def _open_context(self, file: GGUFFile, params: Any) -> Any:
        context = self._lib.llama_init_from_model(self._model, params)
        if not context:
            raise InsufficientMemoryError(
                f"llama.cpp could not make a context of {params.n_ctx} for {file.path.name}",
                hint="lower context_size, or leave kv_cache_type at 'f16'; its own words are on the"
                " logger 'edge_llm.llama_cpp'",
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

    def use_threads(self, plan: ThreadPlan, free: FreeCores) -> None:
        """Compute with the threads of `plan`, and with fewer while `free` says so."""
        self.info = replace(self.info, threads=plan)
        self._threads = ActiveThreads(plan, free, self._set_threads)

    def stop_adapting(self) -> None:
        """Keep the present number of threads whatever others do; for benchmarks."""
        self._threads = None

    def time_threads(self, candidates: Sequence[int]) -> Timings | None:
        """Times numbers of threads on this context; leaves it empty."""
        try:
            return time_threads(self._run_tokens, candidates)
        finally:
            self.free(0)

    def _set_threads(self, decode: int, prefill: int) -> None:
        self._lib.llama_set_n_threads(self._context, decode, prefill)

    def _run_tokens(self, count: int, threads: int, interrupt: Interrupt | None) -> None:
        """Compute `count` tokens, no two alike, from nothing."""
        self.free(0)
        self._set_threads(threads, threads)
        count = min(count, self.capabilities.max_num_batched_tokens)
        # Experts are chosen by token: equal ones would read too little of the weights.
        ids = [i * 7919 % self.tokenizer.vocab_size for i in range(count)]
        self.forward([BatchItem(0, 0, ids, 1)], interrupt)

    def forward(
        self, batch: Sequence[BatchItem], interrupt: Interrupt | None = None
    ) -> NDArray[np.float32]:
        """See `Backend.forward`; the rows are llama.cpp's own output buffer."""
        num_outputs = self._batch.fill(batch)
        if self._threads is not None:
            self._threads.begin()
        with self._interruptible(interrupt):
            status = self._lib.llama_decode(self._context, self._batch.struct)
        if self._threads is not None:
            self._threads.end()
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
