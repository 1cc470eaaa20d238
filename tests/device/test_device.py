import os
from pathlib import Path

import psutil
import pytest

from edge_llm.device.cgroup import control_groups
from edge_llm.device.cpu import cpu_name, cpu_quota, usable_cpus
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


def nested(tmp_path: Path) -> Path:
    """A process in `app.service` of `system.slice`, as systemd sets it up."""
    (tmp_path / "root" / "system.slice" / "app.service").mkdir(parents=True)
    membership = tmp_path / "membership"
    membership.write_text("0::/system.slice/app.service\n")
    return membership


def test_limits_of_all_groups_above_the_process_are_found(tmp_path: Path) -> None:
    membership, root = nested(tmp_path), tmp_path / "root"

    assert control_groups("cpu", root, membership)[:3] == [
        root / "system.slice" / "app.service",
        root / "system.slice",
        root,
    ]
    membership.write_text("4:cpu,cpuacct:/docker/1\n5:memory:/docker/2\n")
    assert root / "cpu" / "docker" / "1" in control_groups("cpu", root, membership)
    assert root / "memory" / "docker" / "2" in control_groups("memory", root, membership)
    assert root / "cpu" / "docker" / "2" not in control_groups("cpu", root, membership)


def test_a_group_outside_of_what_is_mounted_leads_nowhere_else(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/../../elsewhere\nnonsense\n")

    assert control_groups("cpu", tmp_path, membership)[0] == tmp_path / "elsewhere"


def test_the_strictest_quota_on_the_way_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    monkeypatch.setattr("edge_llm.device.cgroup.MEMBERSHIP", nested(tmp_path))
    (root / "system.slice" / "cpu.max").write_text("150000 100000")
    (root / "system.slice" / "app.service" / "cpu.max").write_text("max 100000")

    assert cpu_quota(root) == 1.5
    assert usable_cpus(root) == 1


def test_the_machine_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_text("Raspberry Pi 5 Model B\0")
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nCPU part\t: 0xd0b\n")
    assert cpu_name(tmp_path) == "Raspberry Pi 5 Model B"

    (tmp_path / "proc" / "cpuinfo").write_text("model name\t: Some CPU\n")
    assert cpu_name(tmp_path) == "Raspberry Pi 5 Model B, Some CPU"
    assert cpu_name(tmp_path / "absent")


def test_a_cgroup_limit_on_memory_counts_the_page_cache_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 300000\n")

    assert available_memory_bytes(tmp_path) == 400_000


def test_the_strictest_limit_on_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    monkeypatch.setattr("edge_llm.device.cgroup.MEMBERSHIP", nested(tmp_path))
    for folder, limit in ((root / "system.slice", 900), (root / "system.slice/app.service", 500)):
        (folder / "memory.max").write_text(f"{limit}000000")
        (folder / "memory.current").write_text("400000000")
        (folder / "memory.stat").write_text("inactive_file 0")

    assert available_memory_bytes(root) == 100_000_000


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
