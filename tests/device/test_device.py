import os
from pathlib import Path

import psutil
import pytest

from edge_llm.device.cpu import usable_cpus
from edge_llm.device.memory import available_memory_bytes, describe_bytes


def test_without_limits_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert 1 <= usable_cpus(tmp_path) <= (os.cpu_count() or 1)
    assert available_memory_bytes(tmp_path) <= psutil.virtual_memory().total


@pytest.mark.parametrize(("quota", "expected"), [("150000 100000", 1), ("50000 100000", 1)])
def test_a_cgroup_quota_limits_the_processors(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)

    assert usable_cpus(tmp_path) == expected


@pytest.mark.parametrize("text", ["max 100000", "", "nonsense here", "0 0"])
def test_no_quota_or_an_unreadable_one_is_no_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)

    assert usable_cpus(tmp_path) == usable_cpus(tmp_path / "absent")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_an_affinity_mask_limits_the_processors(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_version_1_quota_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")

    assert usable_cpus(tmp_path) == 1


def test_a_cgroup_limit_on_memory_counts_the_page_cache_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 300000\n")

    assert available_memory_bytes(tmp_path) == 400_000


def test_an_unlimited_cgroup_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("")

    assert available_memory_bytes(tmp_path) > 1_000_000


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_written_for_people(count: int, text: str) -> None:
    assert describe_bytes(count) == text
