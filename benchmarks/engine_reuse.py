"""The first token after a long common beginning: computed, shared in RAM, and read from disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.engine_speed import first_token_s, random_prompt
from benchmarks.report import Figure, figure
from edge_llm.backends.base import Backend
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.types import SamplingParams

ONE = SamplingParams(temperature=0.0, max_tokens=1)


def shared_prefix(backend: Backend, length: int, repeats: int) -> dict[str, Figure]:
    """First token with the prefix computed, shared in RAM, and read from disk."""
    cold, ram, disk = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            prefix = random_prompt(repeat, length)
            engine = new_engine(backend, Path(folder))
            cold.append(first_token_s(engine, (*prefix, *random_prompt(100 + repeat, 10))))
            ram.append(first_token_s(engine, (*prefix, *random_prompt(200 + repeat, 10))))
            engine.add_request(EngineRequest(prefix, ONE, prefill_only=True, pinned=True))
            while engine.has_work:
                engine.step()
            leave(engine)
            restarted = new_engine(backend, Path(folder))
            disk.append(first_token_s(restarted, (*prefix, *random_prompt(300 + repeat, 10))))
            assert restarted.scheduler.stats.cached_tokens == length
            leave(restarted)
    return {
        "first_token.cold": figure([s * 1e3 for s in cold], "ms"),
        "first_token.ram_to_cold": figure(
            [r / c for r, c in zip(ram, cold, strict=True)], "ratio", goal=1 / 15,
            direction="at_most",
        ),
        "first_token.disk_to_cold": figure(
            [d / c for d, c in zip(disk, cold, strict=True)], "ratio", goal=1 / 8,
            direction="at_most",
        ),
    }  # fmt: skip


def new_engine(backend: Backend, folder: Path) -> Engine:
    """An engine with an empty cache in RAM and the given one on disk."""
    store = SnapshotStore(folder, "bench", max_bytes=10**9, max_daily_write_bytes=10**9)
    return Engine(backend, store)


def leave(engine: Engine) -> None:
    """Give the backend back empty, and everything on disk, for the next engine on it."""
    assert engine.disk is not None
    engine.disk.close()
    for seq_id in range(engine.backend.capabilities.num_seq_ids):
        engine.backend.free(seq_id)
