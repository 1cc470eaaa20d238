"""From a file or folder to a running `OnnxBackend`, checked before native code sees it."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_llm.backends.base import Capabilities, ModelInfo, ThreadPlan
from edge_llm.backends.onnx.backend import OnnxBackend
from edge_llm.backends.onnx.fit import OnnxFit, fit_memory
from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.native import CPU, SessionSettings, load_library, open_session
from edge_llm.backends.onnx.opening import OpenedModel, Opener, open_store
from edge_llm.backends.onnx.providers import ON_CPU, Target
from edge_llm.backends.onnx.store import KVStore
from edge_llm.backends.onnx.threads import SessionThreads, Trial, plan_threads
from edge_llm.backends.threads.plan import PlannedModel
from edge_llm.config import EdgeConfig
from edge_llm.device.free_cores import FreeCores
from edge_llm.device.memory import available_memory_bytes
from edge_llm.device.topology import read_topology
from edge_llm.device.usage import OthersMeter
from edge_llm.hub.fingerprint import SnapshotSettings, content_fingerprint, snapshot_fingerprint
from edge_llm.hub.onnx import (
    DecoderInterface,
    OnnxConfig,
    OnnxFile,
    OnnxFolder,
    check_runnable,
    find_model,
    quantization,
    read_config,
    read_decoder,
    read_onnx,
)
from edge_llm.hub.onnx_folder import TOKENIZER
from edge_llm.prompt.hf_tokenizer import HFTokenizer, TokenizerHints

logger = logging.getLogger(__name__)

MAX_BATCHED_TOKENS = 512

_COPY_BYTES_PER_S = 4e9
"""How fast a row is copied: within a factor of two on every machine that was looked at."""


def load_onnx(path: Path, config: EdgeConfig) -> OnnxBackend:
    """Check the files in Python, check the memory, then load the model.

    Raises:
        ModelNotFoundError: the graph, its weights or its tokenizer are missing.
        ModelFormatError: damaged, or not runnable by this onnxruntime.
        InsufficientMemoryError: it would not fit in what is free.
        ConfigError: a longer context than the model has positions for, or no such device.
        DevicePlacementError: the chosen device cannot run all of it.
    """
    folder = find_model(path)
    if path.is_dir() and folder.others:
        others = ", ".join(folder.others)
        logger.info("%s: taking %s, not %s", path, folder.model.name, others)
    file = read_onnx(folder.model)
    check_runnable(file)
    interface = read_decoder(file)
    facts = read_config(folder)
    tokenizer = open_tokenizer(folder, facts, interface.vocab_size)
    loader = _Loader(file, interface, facts, config)
    opened = Opener(file, interface, config, loader.fit, loader.threads).open()
    if tokenizer.vocab_size != opened.graph.vocab_size:  # the graph did not say before it ran
        tokenizer = open_tokenizer(folder, facts, opened.graph.vocab_size)
    return OnnxBackend(
        opened.graph,
        opened.store,
        tokenizer=tokenizer,
        info=loader.info(folder, opened),
        capabilities=_capabilities(config, interface, opened.fit),
    )


def _capabilities(config: EdgeConfig, interface: DecoderInterface, fit: OnnxFit) -> Capabilities:
    return Capabilities(
        max_model_len=fit.context_size,
        max_num_seqs=config.max_num_seqs,
        num_seq_ids=fit.num_rows,
        num_kv_cells=fit.num_rows * fit.context_size,
        max_num_batched_tokens=min(MAX_BATCHED_TOKENS, fit.context_size),
        can_share_prefix=False,
        can_truncate=True,
        can_snapshot=True,
        row_copy_cost=interface.cache_bytes_per_token / _COPY_BYTES_PER_S,
    )


def planned_model(file: OnnxFile, facts: OnnxConfig) -> PlannedModel:
    """What the number of threads for a file depends on."""
    return PlannedModel(
        f"{facts.architecture} {quantization(file)}",
        file.weight_bytes,
        f"onnxruntime {load_library().__version__}",
    )


def open_tokenizer(
    folder: OnnxFolder, facts: OnnxConfig, vocab_size: int | None = None
) -> HFTokenizer:
    """The vocabulary beside a graph; `vocab_size` is how many logits it gives, where known.

    Raises:
        ModelError: it is missing, damaged or of an unknown kind.
    """
    hints = TokenizerHints(
        eos_ids=facts.eos_ids,
        bos_token=facts.bos_token,
        eos_token=facts.eos_token,
        add_bos=facts.add_bos,
        vocab_size=vocab_size,
    )
    return HFTokenizer(folder.root / TOKENIZER, hints)


class _Loader:
    """Decides for one model what depends on the device that it runs on."""

    def __init__(
        self, file: OnnxFile, interface: DecoderInterface, facts: OnnxConfig, config: EdgeConfig
    ) -> None:
        self._file = file
        self._interface = interface
        self._facts = facts
        self._config = config
        # Begins to watch now, so that the time of loading tells how busy the machine is.
        self._meter = OthersMeter()
        self._plan: ThreadPlan | None = None

    def fit(self, target: Target) -> OnnxFit:
        """The context and rows that fit; fixed sizes need two sessions, each with all weights."""
        return fit_memory(
            self._file,
            self._interface,
            self._facts,
            self._config,
            available_memory_bytes(),
            num_sessions=2 if target.fixed_shapes else 1,
        )

    def threads(self, target: Target, fit: OnnxFit) -> SessionThreads:
        """The CPU's threads; on other devices they have little to do, and nothing is timed."""
        topology = read_topology()
        model = planned_model(self._file, self._facts)

        def open_trial(threads: int) -> Trial | None:
            on_cpu = target.provider == CPU
            return _Trial(self._file, self._interface, fit, threads) if on_cpu else None

        free = FreeCores(topology.num_cpus, self._meter)
        planned = plan_threads(self._config, model, topology, free, open_trial)
        self._plan = planned.plan
        return planned

    def info(self, folder: OnnxFolder, opened: OpenedModel) -> ModelInfo:
        """What is known of the model now that it runs."""
        states = None
        if self._config.cache_max_mb:
            # Reading the weights for it takes a while, and only the cache on disk asks.
            states = fingerprint_states(self._file, self._interface, opened.target)
        return ModelInfo(
            file_format="onnx",
            name=folder.name,
            architecture=self._facts.architecture,
            chat_template=self._facts.chat_template,
            sampling=self._facts.sampling,
            state_fingerprint=states,
            threads=self._plan,
            memory=opened.fit.estimate,
            placement=opened.placement,
            unsure_token=self._facts.unsure_token,
        )


class _Trial:
    """The graph, opened with a number of threads to be timed."""

    def __init__(
        self, file: OnnxFile, interface: DecoderInterface, fit: OnnxFit, threads: int
    ) -> None:
        session = open_session(file.path, SessionSettings(threads=threads))
        self._graph = DecoderGraph(session, interface)
        self._store: KVStore = open_store(self._graph, fit._replace(num_rows=1))

    def run(self, num_tokens: int) -> None:
        """See `Trial.run`; no two tokens are alike."""
        vocab = self._graph.vocab_size
        ids = [i * 7919 % vocab for i in range(min(num_tokens, self._graph.max_chunk))]
        self._store.extend(0, ids, 1, self._graph.run_options())
        self._store.free(0)

    def close(self) -> None:
        """See `Trial.close`."""
        self._store.close()
        self._graph.close()


def fingerprint_states(file: OnnxFile, interface: DecoderInterface, target: Target = ON_CPU) -> str:
    """What the KV states of this graph, computed by this onnxruntime, are known by."""
    library = load_library()
    where = "" if target.provider == CPU else f" {target.provider} {sorted(target.options.items())}"
    settings = SnapshotSettings(
        model=content_fingerprint(file.path),
        library=f"onnxruntime {library.__version__} {library.get_build_info()}{where}",
        type_k=interface.cache_dtype,
        type_v=interface.cache_dtype,
        flash_attention="grouped" if interface.shares_buffer else "growing",
        extra={"layout": "parts of (heads, tokens, head_size)"},
    )
    return snapshot_fingerprint(settings)
