"""Which numbers of threads are tried, chosen, remembered and kept to."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_llm.backends.base import Interrupt, ThreadPlan
from edge_llm.backends.threads.active import ActiveThreads
from edge_llm.backends.threads.memory import (
    FILE_NAME,
    MAX_ENTRIES,
    PlannedThreads,
    ThreadMemory,
)
from edge_llm.backends.threads.plan import (
    Cores,
    PlannedModel,
    ThreadPlanner,
    Timings,
    fewest_of_the_fastest,
)
from edge_llm.backends.threads.timing import LIMIT_S, TOTAL_BUDGET_S, time_threads
from edge_llm.config import EdgeConfig
from edge_llm.device.free_cores import FreeCores
from edge_llm.device.topology import Cluster, Topology

PI5 = Topology((Cluster(0, 4, 4),))
RK3588 = Topology((Cluster(1024, 4, 4), Cluster(530, 4, 4)))
HYBRID = Topology((Cluster(5200, 6, 12), Cluster(4000, 8, 8)))


@pytest.mark.parametrize(
    ("cores", "candidates"),
    [
        (Cores(PI5), (4, 3, 2, 1)),
        (Cores(PI5, reserve=1), (3, 2, 1)),
        (Cores(PI5, reserve=9), (1,)),
        (Cores(PI5, quota=2.5), (2, 1)),
        (Cores(PI5, quota=0.5), (1,)),
        (Cores(RK3588), (4, 8, 3, 1)),
        (Cores(HYBRID), (6, 14, 20, 5, 7, 1)),
        (Cores(Topology((Cluster(0, 2, 2),))), (2, 1)),
        (Cores(Topology((Cluster(0, 1, 2),))), (1, 2)),
    ],
)
def test_candidates_follow_the_kinds_of_cores_and_keep_the_limits(
    cores: Cores, candidates: tuple[int, ...]
) -> None:
    assert cores.candidates() == candidates
    assert max(candidates) <= cores.limit


def test_a_thread_more_must_be_worth_its_core() -> None:
    assert fewest_of_the_fastest({4: 1.00, 3: 1.04, 2: 1.30, 1: 2.0}) == 3
    assert fewest_of_the_fastest({4: 1.0, 2: 0.9}) == 2
    assert fewest_of_the_fastest({4: 1.0}) == 4


class Meter:
    """Others that use a number of cores, always."""

    def __init__(self, others: float = 0.0) -> None:
        self.others = others

    def elapsed_s(self) -> float:
        return 0.5

    def sample(self) -> float:
        return self.others


MODEL = PlannedModel("qwen2 Q4_0", 400 << 20, "1.0")


class Bench:
    """A planner with a timer that counts."""

    def __init__(self, folder: Path, *, cores: Cores | None = None, **options: Any) -> None:
        self.timings: Timings | None = Timings({4: 1.0, 2: 1.0}, {4: 1.0, 2: 1.9})
        self.meter = Meter()
        self.tried: list[Sequence[int]] = []
        config = EdgeConfig(**options)
        self.planner = ThreadPlanner(
            config, cores or Cores(PI5), FreeCores(4, self.meter), ThreadMemory(folder)
        )

    def time(self, candidates: Sequence[int]) -> Timings | None:
        self.tried.append(candidates)
        return self.timings

    def plan(self, model: PlannedModel = MODEL) -> ThreadPlan:
        return self.planner.plan(model, self.time)


def decided(plan: ThreadPlan) -> tuple[int, int, str]:
    return plan.decode, plan.prefill, plan.origin


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    first, second = Bench(tmp_path), Bench(tmp_path)

    assert decided(first.plan()) == (2, 4, "measured")
    assert decided(second.plan()) == (2, 4, "remembered")
    assert (len(first.tried), len(second.tried)) == (1, 0)


def test_another_model_machine_or_library_is_measured_anew(tmp_path: Path) -> None:
    Bench(tmp_path).plan()

    for changed in (
        MODEL._replace(weight_bytes=MODEL.weight_bytes * 2),
        MODEL._replace(kind="qwen2 Q8_0"),
        MODEL._replace(library="1.1"),
    ):
        assert Bench(tmp_path).plan(changed).origin == "measured"
    for cores in (Cores(RK3588), Cores(PI5, quota=3.0), Cores(PI5, reserve=1)):
        assert Bench(tmp_path, cores=cores).plan().origin == "measured"
    assert Bench(tmp_path).plan().origin == "remembered"


def test_models_of_about_one_size_share_what_was_measured() -> None:
    larger = MODEL._replace(weight_bytes=int(MODEL.weight_bytes * 1.05))

    assert MODEL.key() == larger.key()


def test_on_a_busy_machine_nothing_is_measured_or_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.meter.others = 1.0

    assert decided(bench.plan()) == (4, 4, "assumed")
    assert bench.tried == []
    assert not (tmp_path / FILE_NAME).exists()


def test_what_others_disturbed_is_not_believed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def disturbed(candidates: Sequence[int]) -> Timings:
        bench.meter.others = 2.0
        return Timings({4: 9.0, 1: 1.0}, {4: 9.0, 1: 1.0})

    assert decided(bench.planner.plan(MODEL, disturbed)) == (4, 4, "assumed")
    assert not (tmp_path / FILE_NAME).exists()


def test_a_board_too_slow_to_measure_takes_its_big_cores(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cores=Cores(RK3588))
    bench.timings = None

    assert decided(bench.plan()) == (4, 4, "assumed")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threads": 3}, (3, 3, "configured")),
        ({"threads": 3, "prefill_threads": 4}, (3, 4, "configured")),
        ({"prefill_threads": 1}, (2, 1, "measured")),
    ],
)
def test_what_is_set_goes_before_what_is_measured(
    tmp_path: Path, options: dict[str, Any], expected: tuple[int, int, str]
) -> None:
    assert decided(Bench(tmp_path, **options).plan()) == expected


def test_a_small_model_and_a_single_core_need_no_measurement(tmp_path: Path) -> None:
    small = Bench(tmp_path)
    assert decided(small.plan(MODEL._replace(weight_bytes=1 << 20))) == (1, 1, "assumed")
    single = Bench(tmp_path, cores=Cores(PI5, reserve=3))
    assert decided(single.plan()) == (1, 1, "assumed")
    assert small.tried == single.tried == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "nul",
        '{"format": 2, "threads": {}}',
        '{"format": 1, "threads": 5}',
        '{"format": 1, "threads": {"k": {"decode": 0, "prefill": 2}}}',
        '{"format": 1, "threads": {"k": {"decode": true, "prefill": 2}}}',
        '{"format": 1, "threads": {"k": [2, 2]}}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_a_damaged_file_costs_only_the_memory_of_it(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8", errors="surrogatepass")
    memory = ThreadMemory(tmp_path)

    assert memory.recall("k") is None
    memory.remember("k", PlannedThreads(2, 3))
    assert ThreadMemory(tmp_path).recall("k") == (2, 3)


def test_a_folder_that_cannot_be_written_costs_only_the_memory_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = ThreadMemory(tmp_path / "file" / "folder")

    memory.remember("k", PlannedThreads(2, 3))
    assert memory.recall("k") is None


def test_the_file_stays_small_and_whole(tmp_path: Path) -> None:
    memory = ThreadMemory(tmp_path)
    for number in range(MAX_ENTRIES + 5):
        memory.remember(f"k{number}", PlannedThreads(1, 2))

    record = json.loads((tmp_path / FILE_NAME).read_text())
    assert len(record["threads"]) == MAX_ENTRIES
    assert memory.recall("k4") is None
    assert memory.recall(f"k{MAX_ENTRIES + 4}") == (1, 2)
    assert os.listdir(tmp_path) == [FILE_NAME]


class FakeModel:
    """Takes time by the number of tokens and threads, on a clock of its own."""

    def __init__(self, token_s: float, chunk_gain: float = 4.0) -> None:
        self.now = 0.0
        self.token_s = token_s
        self.chunk_gain = chunk_gain
        self.runs: list[tuple[int, int]] = []

    def run(self, count: int, threads: int, interrupt: Interrupt | None) -> None:
        from edge_llm.backends.base import ForwardInterruptedError

        self.runs.append((count, threads))
        # Memory is shared, so that a token gains nothing from more than two threads.
        useful = threads if count > 1 else min(threads, 2)
        self.now += 4 * self.token_s * max(1.0, count / self.chunk_gain) / useful
        if interrupt is not None and interrupt():
            raise ForwardInterruptedError

    def time(self, *candidates: int) -> Timings | None:
        return time_threads(self.run, candidates, lambda: self.now)


def test_decode_and_prefill_are_timed_apart() -> None:
    found = FakeModel(0.005).time(4, 2, 1)

    assert found is not None
    assert fewest_of_the_fastest(found.decode) == 2
    assert fewest_of_the_fastest(found.prefill) == 4


@pytest.mark.parametrize("token_s", [0.001, 0.02, 0.05, 0.1, 0.3, 0.6, 3.0])
def test_timing_ends_in_time_on_every_board(token_s: float) -> None:
    model = FakeModel(token_s)
    found = model.time(4, 3, 2, 1)

    longest = max(4 * token_s, 2 * 8 * token_s)  # one token, or a small chunk, on one thread
    assert model.now <= max(TOTAL_BUDGET_S, LIMIT_S) + longest
    if token_s <= 0.05:
        assert found is not None
        assert {4, 2} <= found.decode.keys()
    if token_s >= 0.6:
        assert found is None or len(model.runs) < 20


def test_chunks_are_small_where_large_ones_would_take_too_long() -> None:
    model = FakeModel(0.06)
    model.time(4, 2)

    assert {count for count, _ in model.runs} == {1, 8}


class Applied:
    """Where threads are set."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, decode: int, prefill: int) -> None:
        self.calls.append((decode, prefill))


def test_threads_make_room_for_others_and_come_back() -> None:
    applied, meter = Applied(), Meter()
    plan = ThreadPlan(2, 4, "measured", "")
    threads = ActiveThreads(plan, FreeCores(4, meter), applied)

    for others in (0.0, 1.0, 2.9, 0.0, 0.0, 0.0):
        meter.others = others
        threads.begin()
        threads.end()

    assert applied.calls == [(2, 4), (2, 3), (1, 1), (2, 4)]


def test_reserved_cores_are_what_others_take_first() -> None:
    applied, meter = Applied(), Meter(1.0)
    threads = ActiveThreads(ThreadPlan(3, 3, "assumed", ""), FreeCores(4, meter), applied)
    threads.end()

    assert applied.calls == [(3, 3), (3, 3)]


def test_a_single_thread_watches_nobody() -> None:
    applied, meter = Applied(), Meter(3.0)
    threads = ActiveThreads(ThreadPlan(1, 1, "assumed", ""), FreeCores(4, meter), applied)
    threads.begin()
    threads.end()

    assert applied.calls == [(1, 1)]
