"""Which cores the machine has: kinds of cores by speed, and which processors share one.

A machine may have fast and slow cores (big.LITTLE on ARM, performance and efficiency cores on
Intel), and a core may show up as two processors (SMT). Threads that meet at a barrier run at the
speed of the slowest, so both matter.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_llm.device.cpu import allowed_cpus

SYSFS = Path("/sys/devices/system/cpu")

SAME_KIND = 0.85
"""Cores that reach this share of the fastest one's speed are of its kind: the turbo of "favoured"
cores differs by up to a tenth, performance and efficiency cores by a fifth or more."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cores of one kind."""

    speed: int
    """Relative capacity, or the highest clock in kHz; 0 where the system does not tell."""
    num_cores: int
    """Physical cores with at least one processor that may be used."""
    num_cpus: int
    """Processors on them that may be used; more than cores with SMT."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The cores that this process may use, by kind, the fastest first; never empty."""

    clusters: tuple[Cluster, ...]

    @property
    def num_cpus(self) -> int:
        """Processors."""
        return sum(cluster.num_cpus for cluster in self.clusters)

    @property
    def num_cores(self) -> int:
        """Physical cores."""
        return sum(cluster.num_cores for cluster in self.clusters)

    @property
    def num_big_cores(self) -> int:
        """Physical cores without the slowest kind; all where there is one kind."""
        if len(self.clusters) == 1:
            return self.num_cores
        return sum(cluster.num_cores for cluster in self.clusters[:-1])

    def __str__(self) -> str:
        """For the log: `4 cores (speed 1024) + 4 cores (speed 530)`."""
        return " + ".join(
            f"{cluster.num_cores} cores"
            + (f" ({cluster.num_cpus} threads)" if cluster.num_cpus > cluster.num_cores else "")
            + (f" (speed {cluster.speed})" if len(self.clusters) > 1 else "")
            for cluster in self.clusters
        )


def read_topology(root: Path = SYSFS, allowed: Iterable[int] | None = None) -> Topology:
    """The cores among the `allowed` processors, by default those of the affinity mask.

    What the system does not tell is taken to be equal: a processor with no siblings is a core.
    Without Linux's files, the counts of `sysctl` (macOS) or of the platform are taken.
    """
    cpus = sorted(allowed_cpus() if allowed is None else allowed)
    if not any((root / f"cpu{cpu}").is_dir() for cpu in cpus):
        return _without_sysfs(len(cpus))
    cores: dict[tuple[int, ...], list[int]] = {}
    for cpu in cpus:
        cores.setdefault(_siblings(root / f"cpu{cpu}", cpu), []).append(cpu)
    speeds = _speeds(root, cpus)
    return Topology(_clusters([(speeds[core[0]], len(core)) for core in cores.values()]))


def _clusters(cores: Iterable[tuple[int, int]]) -> tuple[Cluster, ...]:
    """Kinds of cores out of the speed and the number of processors of each core."""
    found: list[Cluster] = []
    for speed, num_cpus in sorted(cores, reverse=True):
        if found and speed >= SAME_KIND * found[-1].speed:
            last = found.pop()
            found.append(Cluster(last.speed, last.num_cores + 1, last.num_cpus + num_cpus))
        else:
            found.append(Cluster(speed, 1, num_cpus))
    return tuple(found)


def _speeds(root: Path, cpus: Sequence[int]) -> dict[int, int]:
    """Capacity where the kernel knows it of every processor, else the highest clock, else 0."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        values = {cpu: _number(root / f"cpu{cpu}" / name) for cpu in cpus}
        # A kernel that knows no capacities may say the same for all; clocks then still tell.
        if all(values.values()) and (name != "cpu_capacity" or len(set(values.values())) > 1):
            return values
    return dict.fromkeys(cpus, 0)


def _siblings(cpu_folder: Path, cpu: int) -> tuple[int, ...]:
    for name in ("core_cpus_list", "thread_siblings_list"):
        try:
            return parse_cpu_list((cpu_folder / "topology" / name).read_text())
        except (OSError, ValueError):
            continue
    return (cpu,)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The numbers in the kernel's list format, such as `0-3,8`.

    Raises:
        ValueError: it is no such list, or an empty one.
    """
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def _number(path: Path) -> int:
    try:
        return max(0, int(path.read_text()))
    except (OSError, ValueError):
        return 0


def _without_sysfs(num_cpus: int) -> Topology:
    if sys.platform == "darwin":
        clusters = _apple_clusters()
        if clusters:
            return Topology(clusters)
    import psutil

    cores = min(psutil.cpu_count(logical=False) or num_cpus, num_cpus)
    return Topology((Cluster(0, max(1, cores), max(1, num_cpus)),))


def _apple_clusters() -> tuple[Cluster, ...]:
    """Performance levels of Apple's processors; level 0 is the fastest. Speeds are ranks.

    Source: https://developer.apple.com/documentation/kernel/1387446-sysctlbyname
    """
    levels = _sysctl("hw.nperflevels") or 0
    found = []
    for level in range(levels):
        cores = _sysctl(f"hw.perflevel{level}.physicalcpu")
        cpus = _sysctl(f"hw.perflevel{level}.logicalcpu")
        if cores:
            found.append(Cluster(levels - level, cores, cpus or cores))
    return tuple(found)


def _sysctl(name: str) -> int | None:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=2, check=True
        )
        return int(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
