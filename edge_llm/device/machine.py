"""Everything about this machine that matters to models, read at one moment."""

from __future__ import annotations

import mmap
import platform
from dataclasses import dataclass
from pathlib import Path

from edge_llm.device.cgroup import control_groups
from edge_llm.device.cpu import cpu_name, cpu_quota
from edge_llm.device.disk import Disk, disk_of
from edge_llm.device.features import cpu_features, is_64_bit
from edge_llm.device.governor import ClockPolicy, read_clock_policies
from edge_llm.device.memory import memory_limit_bytes
from edge_llm.device.power import on_battery
from edge_llm.device.pressure import Pressure, read_pressure
from edge_llm.device.temperature import cpu_temperature
from edge_llm.device.text import read_text
from edge_llm.device.throttling import Throttling, read_throttling
from edge_llm.device.topology import Topology, parse_cpu_list, read_topology

_CONTAINER_MARKS = (".dockerenv", "run/.containerenv")
"""Files that Docker and Podman put into a container."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine; what it does not tell is None or empty."""

    name: str
    architecture: str
    system: str
    is_64_bit: bool
    page_bytes: int
    topology: Topology
    features: tuple[str, ...] | None
    """Instructions, under llama.cpp's names."""
    memory_bytes: int
    free_bytes: int
    """Available without swapping, before any limit of a control group."""
    swap_bytes: int
    memory_limit_bytes: int | None
    """Of the strictest control group."""
    cpu_quota: float | None
    is_container: bool
    temperature: float | None
    """Degrees Celsius at the processor."""
    throttling: Throttling
    clocks: tuple[ClockPolicy, ...]
    pressure: dict[str, Pressure]
    on_battery: bool
    disk: Disk
    """That models are kept on."""


def read_machine(models: Path, root: Path = Path("/")) -> Machine:
    """This machine, with the disk that the folder `models` is on; or one recorded under `root`."""
    cgroup, membership = root / "sys" / "fs" / "cgroup", root / "proc" / "self" / "cgroup"
    total, free, swap = _memory(root)
    return Machine(
        name=cpu_name(root),
        architecture=platform.machine(),
        system=_system(root),
        is_64_bit=is_64_bit(),
        page_bytes=mmap.PAGESIZE,
        topology=_topology(root),
        features=cpu_features(root),
        memory_bytes=total,
        free_bytes=free,
        swap_bytes=swap,
        memory_limit_bytes=memory_limit_bytes(cgroup, membership),
        cpu_quota=cpu_quota(cgroup, membership),
        is_container=_is_container(root),
        temperature=cpu_temperature(root),
        throttling=read_throttling(root),
        clocks=read_clock_policies(root),
        pressure=read_pressure(root),
        on_battery=on_battery(),
        disk=disk_of(models, root),
    )


def _topology(root: Path) -> Topology:
    cpus = root / "sys" / "devices" / "system" / "cpu"
    if root == Path("/"):
        return read_topology(cpus)
    return read_topology(cpus, parse_cpu_list(read_text(cpus / "online") or "0"))


def _memory(root: Path) -> tuple[int, int, int]:
    """Bytes in all, available, and of swap."""
    fields = dict(
        line.split(":", 1) for line in (read_text(root / "proc" / "meminfo") or "").splitlines()
    )
    try:
        total, free, swap = (
            int(fields[name].split()[0]) << 10 for name in ("MemTotal", "MemAvailable", "SwapTotal")
        )
    except (LookupError, ValueError):
        import psutil

        memory = psutil.virtual_memory()
        return memory.total, memory.available, psutil.swap_memory().total
    return total, free, swap


def _system(root: Path) -> str:
    """The distribution and the kernel."""
    lines = (read_text(root / "etc" / "os-release") or "").splitlines()
    names = [line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")]
    kernel = read_text(root / "proc" / "sys" / "kernel" / "osrelease")
    if kernel is None:
        return platform.platform(terse=True)
    return ", ".join([*names, f"Linux {kernel}"])


def _is_container(root: Path) -> bool:
    if any((root / mark).exists() for mark in _CONTAINER_MARKS):
        return True
    membership = root / "proc" / "self" / "cgroup"
    groups = control_groups("memory", root / "sys" / "fs" / "cgroup", membership)
    return any(mark in str(group) for group in groups for mark in ("docker", "kubepods", "lxc"))
