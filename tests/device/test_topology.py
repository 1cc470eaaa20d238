from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_llm.device import topology
from edge_llm.device.topology import Cluster, Topology, parse_cpu_list, read_topology


def machine(root: Path, cpus: Mapping[int, Mapping[str, str]]) -> Path:
    """A tree like /sys/devices/system/cpu with these files for each processor."""
    for cpu, files in cpus.items():
        (root / f"cpu{cpu}").mkdir(parents=True)
        for name, text in files.items():
            path = root / f"cpu{cpu}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n")
    return root


def single(cpu: int, **files: str) -> dict[str, str]:
    named = {name.replace("__", "/"): text for name, text in files.items()}
    return {"topology/core_cpus_list": str(cpu), **named}


def pi5(root: Path) -> Path:
    return machine(
        root,
        {i: single(i, cpu_capacity="1024", cpufreq__cpuinfo_max_freq="2400000") for i in range(4)},
    )


def rk3588(root: Path) -> Path:
    return machine(root, {i: single(i, cpu_capacity="1024" if i >= 4 else "530") for i in range(8)})


def intel_hybrid(root: Path) -> Path:
    """4 performance cores with two threads each, one of them favoured, and 4 efficiency cores."""
    cpus: dict[int, dict[str, str]] = {}
    for cpu in range(8):
        first = cpu // 2 * 2
        cpus[cpu] = {
            "topology/thread_siblings_list": f"{first}-{first + 1}",
            "cpufreq/cpuinfo_max_freq": "5200000" if cpu < 2 else "5000000",
        }
    for cpu in range(8, 12):
        cpus[cpu] = single(cpu, cpufreq__cpuinfo_max_freq="4000000")
    return machine(root, cpus)


def test_a_pi_has_four_equal_cores(tmp_path: Path) -> None:
    found = read_topology(pi5(tmp_path), range(4))

    assert found == Topology((Cluster(2400000, 4, 4),))
    assert (found.num_big_cores, found.num_cores, found.num_cpus) == (4, 4, 4)


def test_big_and_little_cores_are_told_apart_by_capacity(tmp_path: Path) -> None:
    found = read_topology(rk3588(tmp_path), range(8))

    assert found.clusters == (Cluster(1024, 4, 4), Cluster(530, 4, 4))
    assert (found.num_big_cores, found.num_cores) == (4, 8)
    assert str(found) == "4 cores (speed 1024) + 4 cores (speed 530)"


def test_hybrid_cores_are_told_apart_by_clock_and_favoured_ones_are_not(tmp_path: Path) -> None:
    found = read_topology(intel_hybrid(tmp_path), range(12))

    assert found.clusters == (Cluster(5200000, 4, 8), Cluster(4000000, 4, 4))
    assert (found.num_big_cores, found.num_cores, found.num_cpus) == (4, 8, 12)


def test_a_core_of_which_one_thread_may_be_used_counts_whole(tmp_path: Path) -> None:
    found = read_topology(intel_hybrid(tmp_path), {0, 2, 3})

    assert found == Topology((Cluster(5200000, 2, 3),))


def test_only_the_allowed_processors_count(tmp_path: Path) -> None:
    found = read_topology(rk3588(tmp_path), {0, 1, 6})

    assert found.clusters == (Cluster(1024, 1, 1), Cluster(530, 2, 2))
    assert found.num_big_cores == 1


def test_three_kinds_leave_out_the_slowest_alone(tmp_path: Path) -> None:
    speeds = ["1024", "780", "780", "780", "350", "350", "350", "350"]
    root = machine(tmp_path, {i: single(i, cpu_capacity=speed) for i, speed in enumerate(speeds)})

    assert read_topology(root, range(8)).num_big_cores == 4


@pytest.mark.parametrize("files", [{}, {"cpu_capacity": "1024"}, {"cpu_capacity": "much"}])
def test_a_virtual_machine_that_tells_little_has_equal_cores(
    tmp_path: Path, files: dict[str, str]
) -> None:
    found = read_topology(machine(tmp_path, {0: files, 1: files}), range(2))

    assert found == Topology((Cluster(0, 2, 2),))


def test_without_the_files_of_linux_the_counts_of_the_platform_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "other")
    found = read_topology(tmp_path / "absent", range(3))

    assert found.num_cpus == 3
    assert 1 <= found.num_cores <= 3


def test_performance_levels_of_macos_are_kinds_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "hw.nperflevels": 2,
        "hw.perflevel0.physicalcpu": 4,
        "hw.perflevel0.logicalcpu": 4,
        "hw.perflevel1.physicalcpu": 6,
        "hw.perflevel1.logicalcpu": 6,
    }
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(topology, "_sysctl", answers.get)

    found = read_topology(tmp_path / "absent", range(10))

    assert found.clusters == (Cluster(2, 4, 4), Cluster(1, 6, 6))
    assert found.num_big_cores == 4


def test_this_machine_has_cores() -> None:
    found = read_topology()

    assert 1 <= found.num_big_cores <= found.num_cores <= found.num_cpus


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", (0,)), ("0-2,8\n", (0, 1, 2, 8)), ("3,1", (3, 1))]
)
def test_lists_of_processors_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == numbers


@pytest.mark.parametrize("text", ["", "a-b", "1-"])
def test_what_is_no_list_is_refused(text: str) -> None:
    if text == "1-":
        assert parse_cpu_list(text) == (1,)
        return
    with pytest.raises(ValueError, match="invalid literal"):
        parse_cpu_list(text)
