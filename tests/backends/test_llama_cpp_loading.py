"""What loading decides, on a real context: threads, memory, and how the KV cache is stored."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.llama_cpp.backend import LlamaCppBackend, fingerprint_states
from edge_llm.backends.threads.memory import FILE_NAME
from edge_llm.config import EdgeConfig, KVCacheType, cache_folder, load_config
from edge_llm.device.free_cores import FreeCores
from edge_llm.engine.snapshot_folder import SnapshotFolder
from edge_llm.engine.snapshot_report import clear, inspect
from edge_llm.errors import BackendError
from tests.support.gguf_files import write_tiny_model

pytest.importorskip("llama_cpp")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "m.gguf", width=128, heads=4, context=512)


def load(path: Path, **options: object) -> LlamaCppBackend:
    backend = load_backend(path, load_config(options))
    assert isinstance(backend, LlamaCppBackend)
    return backend


def set_threads(backend: LlamaCppBackend) -> tuple[int, int]:
    lib, context = backend.raw
    return lib.llama_n_threads(context), lib.llama_n_threads_batch(context)


def test_threads_that_are_set_are_taken(model: Path) -> None:
    backend = load(model, threads=2, prefill_threads=3)

    assert set_threads(backend) == (2, 3)
    plan = backend.info.threads
    assert plan is not None
    assert (plan.decode, plan.prefill, plan.origin) == (2, 3, "configured")
    backend.close()


def test_what_was_decided_is_told(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edge_llm.backends"):
        backend = load(model)

    assert backend.info.threads is not None
    assert backend.info.memory is not None
    assert backend.info.memory.weights < backend.info.memory.total
    text = "\n".join(caplog.messages)
    assert "1 threads decode, 1 prefill (assumed: a small model" in text
    assert "m.gguf needs about" in text
    backend.close()


def test_timing_leaves_the_context_as_it_was(model: Path) -> None:
    backend = load(model, threads=1)
    before = backend.forward([BatchItem(0, 0, [1, 2, 3], 1)]).copy()
    backend.free(0)

    timings = backend.time_threads((2, 1))

    # None on a machine that is too busy.
    assert timings is None or timings.decode.keys() == {1, 2}
    assert backend.length(0) == 0
    after = backend.forward([BatchItem(0, 0, [1, 2, 3], 1)])
    np.testing.assert_allclose(before, after, atol=1e-3)
    backend.close()


class Crowd:
    """Others that begin to use two cores."""

    others = 0.0

    def elapsed_s(self) -> float:
        return 1.0

    def sample(self) -> float:
        return self.others


def test_a_running_context_gives_cores_up_to_others(model: Path) -> None:
    backend = load(model, threads=2)
    assert backend.info.threads is not None
    crowd = Crowd()
    backend.use_threads(backend.info.threads, FreeCores(2, crowd))
    found = []
    for position, others in enumerate((0.0, 1.0, 0.0, 0.0, 0.0)):
        crowd.others = others
        backend.forward([BatchItem(0, position, [1], 1)])
        found.append(set_threads(backend)[0])

    assert found == [2, 1, 1, 1, 2]
    backend.close()


def test_the_file_of_threads_and_the_prefixes_leave_each_other_alone(model: Path) -> None:
    folder = cache_folder(load_config())
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_text("{}")
    store = SnapshotFolder(folder)

    assert inspect(store).snapshots == ()
    assert clear(store).num_files == 0
    assert (folder / FILE_NAME).exists()


def logits_of(backend: Backend) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    backend.forward([BatchItem(0, 0, list(range(40)), 0)])
    return backend.forward([BatchItem(0, 40, [1], 1)]).copy()


def test_a_quantised_kv_cache_computes_nearly_the_same(model: Path) -> None:
    exact, compact = load(model), load(model, kv_cache_type="q8_0")
    left, right = logits_of(exact), logits_of(compact)

    scale = float(np.abs(left).max())
    assert float(np.abs(left - right).max()) < 0.05 * scale
    assert exact.info.memory is not None
    assert compact.info.memory is not None
    assert compact.info.memory.kv_cache < 0.6 * exact.info.memory.kv_cache
    exact.close()
    compact.close()


def test_states_of_one_type_are_not_taken_for_the_other(model: Path) -> None:
    types: tuple[KVCacheType, ...] = ("f16", "q8_0")

    assert len({fingerprint_states(model, kind) for kind in types}) == 2
    exact, compact = load(model), load(model, kv_cache_type="q8_0")
    assert exact.info.state_fingerprint != compact.info.state_fingerprint
    exact.forward([BatchItem(0, 0, list(range(8)), 0)])
    with pytest.raises(BackendError, match="does not fit"):
        compact.import_(0, exact.export(0))
    exact.close()
    compact.close()


def test_auto_is_the_context_of_the_model_where_memory_is_plenty(model: Path) -> None:
    backend = load(model, context_size="auto")

    assert backend.capabilities.max_model_len == 512
    assert EdgeConfig().context_size is None
    backend.close()
