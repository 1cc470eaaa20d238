"""How many threads an ONNX session gets, when they spin, and what it takes of memory."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.onnx import load as onnx_load
from edge_llm.backends.onnx import native
from edge_llm.backends.onnx import threads as onnx_threads
from edge_llm.backends.onnx.fit import fit_memory
from edge_llm.backends.onnx.native import SessionSettings
from edge_llm.backends.onnx.threads import SLOW_OPEN_S, TOTAL_S, time_sessions, why_not_to_spin
from edge_llm.backends.threads import plan as thread_plan
from edge_llm.backends.threads.plan import Timings, best_threads
from edge_llm.config import EdgeConfig
from edge_llm.device.free_cores import FreeCores
from edge_llm.device.memory import reserve_bytes
from edge_llm.device.topology import Cluster, Topology
from edge_llm.errors import ConfigError, InsufficientMemoryError
from edge_llm.hub.onnx import find_model, read_config, read_decoder, read_onnx
from tests.support.onnx_files import write_folder


class Meter:
    """Others that use a number of cores, always."""

    def __init__(self, others: float = 0.0) -> None:
        self.others = others

    def elapsed_s(self) -> float:
        return 0.5

    def sample(self) -> float:
        return self.others


@pytest.mark.parametrize("spins", [True, False])
def test_a_session_spins_only_when_it_may(spins: bool) -> None:
    library = native.load_library()
    options = native._options(library, SessionSettings(threads=2, spins=spins))
    key = "session.intra_op.allow_spinning"

    if spins:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(key)
    else:
        assert options.get_session_config_entry(key) == "0"


@pytest.mark.parametrize(
    ("others", "quota", "battery", "words"),
    [
        (0.0, None, False, None),
        (1.0, None, False, "others"),
        (0.0, 1.5, False, "limited"),
        (0.0, None, True, "battery"),
    ],
)
def test_threads_sleep_where_cores_or_power_are_scarce(
    monkeypatch: pytest.MonkeyPatch,
    others: float,
    quota: float | None,
    battery: bool,
    words: str | None,
) -> None:
    monkeypatch.setattr(onnx_threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(onnx_threads, "on_battery", lambda: battery)

    reason = why_not_to_spin(FreeCores(4, Meter(others)))

    assert reason is None if words is None else reason is not None and words in reason


class FakeTrial:
    """A session that takes time on a clock of the test's own."""

    def __init__(self, bench: Bench, threads: int) -> None:
        self.bench, self.threads = bench, threads
        bench.now += bench.open_s
        bench.num_open += 1

    def run(self, num_tokens: int) -> None:
        useful = self.threads if num_tokens > 1 else min(self.threads, 2)
        self.bench.now += self.bench.token_s * max(1.0, num_tokens / 16) / useful

    def close(self) -> None:
        self.bench.num_open -= 1


class Bench:
    """Opens trials and counts them."""

    def __init__(self, open_s: float, token_s: float = 0.01) -> None:
        self.open_s, self.token_s = open_s, token_s
        self.now = 0.0
        self.num_open = 0
        self.opened: list[int] = []

    def open(self, threads: int) -> FakeTrial:
        assert self.num_open == 0, "two sessions would hold the weights twice"
        self.opened.append(threads)
        return FakeTrial(self, threads)

    def time(self, *candidates: int) -> Timings | None:
        return time_sessions(self.open, candidates, lambda: self.now)


def test_numbers_of_threads_are_tried_one_session_after_the_other() -> None:
    bench = Bench(0.1)
    found = bench.time(4, 2, 1)

    assert found is not None
    assert bench.opened == [4, 2, 1]
    assert bench.num_open == 0
    assert best_threads(found, apart=False) == (2, 2)
    assert best_threads(found, apart=True) == (2, 4)


def test_a_model_that_opens_slowly_is_opened_once() -> None:
    bench = Bench(SLOW_OPEN_S * 1.1)

    assert bench.time(4, 2, 1) is None
    assert bench.opened == [4]
    assert bench.num_open == 0


def test_timing_ends_in_time() -> None:
    bench = Bench(SLOW_OPEN_S * 0.9, token_s=0.05)
    found = bench.time(8, 7, 6, 5, 4, 3, 2, 1)

    assert found is not None
    assert bench.now <= TOTAL_S
    assert 2 <= len(bench.opened) < 8


def test_a_model_of_some_size_is_timed_once_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_folder(tmp_path / "tiny")
    config = EdgeConfig(context_size=64, cache_dir=str(tmp_path / "cache"))
    monkeypatch.setattr(thread_plan, "SMALL_MODEL_BYTES", 0)
    monkeypatch.setattr(onnx_load, "OthersMeter", Meter)
    monkeypatch.setattr(onnx_load, "read_topology", lambda: Topology((Cluster(0, 2, 2),)))
    monkeypatch.setattr(thread_plan, "cpu_quota", lambda: None)
    origins = []
    for _ in range(2):
        backend = load_backend(path, config)
        assert backend.info.threads is not None
        origins.append(backend.info.threads.origin)
        assert backend.info.threads.decode == backend.info.threads.prefill
        backend.close()

    assert origins == ["measured", "remembered"]


def test_threads_of_prompts_cannot_be_set_apart(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")

    with pytest.raises(ConfigError, match="prefill_threads is 2"):
        load_backend(path, EdgeConfig(threads=1, prefill_threads=2))
    load_backend(path, EdgeConfig(threads=1, prefill_threads=1)).close()


def test_a_quantised_kv_cache_is_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")

    with pytest.raises(ConfigError, match=r"q8_0.*float32"):
        load_backend(path, EdgeConfig(kv_cache_type="q8_0"))


def test_an_automatic_context_takes_what_fits_and_leaves_a_reserve(tmp_path: Path) -> None:
    folder = find_model(write_folder(tmp_path / "tiny", context=1 << 16))
    file = read_onnx(folder.model)
    interface, facts = read_decoder(file), read_config(folder)
    config = EdgeConfig(context_size="auto", max_num_seqs=2, prefix_slots=2)
    sizes = []
    for free in (110 << 20, 180 << 20, 220 << 20, 8 << 30):
        fit = fit_memory(file, interface, facts, config, free)
        assert fit.estimate.total <= free
        sizes.append(fit.context_size)
    assert sizes[0] == 256
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] == facts.context_length
    assert (
        fit.estimate.kv_cache == fit.num_rows * fit.context_size * interface.cache_bytes_per_token
    )
    left = (220 << 20) - fit_memory(file, interface, facts, config, 220 << 20).estimate.total
    assert left >= reserve_bytes(110 << 20)

    with pytest.raises(InsufficientMemoryError):
        fit_memory(file, interface, facts, config, 90 << 20)


def test_what_would_fit_is_named(tmp_path: Path) -> None:
    folder = find_model(write_folder(tmp_path / "tiny", context=1 << 16))
    file = read_onnx(folder.model)
    interface, facts = read_decoder(file), read_config(folder)
    config = EdgeConfig(context_size=1 << 16, max_num_seqs=4)
    base = fit_memory(
        file, interface, facts, replace(config, context_size=256, prefix_slots=0), 8 << 30
    ).estimate
    free = base.total - base.kv_cache + (40 << 20)

    with pytest.raises(InsufficientMemoryError) as caught:
        fit_memory(file, interface, facts, config, free)

    hint = caught.value.hint or ""
    assert "max_num_seqs=1 would fit" in hint
    fitting = int(hint.split("context_size of ")[1].split()[0])
    assert fit_memory(
        file, interface, facts, replace(config, context_size=fitting), free
    ).context_size == fitting  # fmt: skip


def test_the_estimate_and_the_plan_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend = load_backend(write_folder(tmp_path / "tiny"), EdgeConfig(context_size=64))

    assert backend.info.memory is not None
    assert backend.info.memory.kv_cache == backend.capabilities.num_kv_cells * 512
    assert backend.info.placement is not None
    assert list(backend.info.placement.nodes) == ["CPUExecutionProvider"]
    assert "needs about" in caplog.text
    backend.close()
