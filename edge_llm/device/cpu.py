"""How many processors this process may use, which is often fewer than the machine has."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from edge_llm.device.cgroup import CGROUP, control_groups


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Processors left after the affinity mask and the cgroup quota; at least 1."""
    allowed = len(allowed_cpus())
    quota = cpu_quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.floor(quota)))


def allowed_cpus() -> frozenset[int]:
    """Numbers of the processors in the affinity mask; all of them where there are no masks."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cpu_quota(cgroup: Path = CGROUP, membership: Path | None = None) -> float | None:
    """CPU seconds a second that the strictest control group grants; None when unlimited."""
    quotas = [_quota_of(folder) for folder in control_groups("cpu", cgroup, membership)]
    return min((quota for quota in quotas if quota is not None), default=None)


def cpu_name(root: Path = Path("/")) -> str:
    """The machine for people and as a key: board and processor as far as the system tells."""
    board = _read(root / "proc" / "device-tree" / "model").rstrip("\0")
    for line in _read(root / "proc" / "cpuinfo").splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            return f"{board}, {processor}" if board else processor
    return board or platform.processor() or platform.machine()


def _quota_of(folder: Path) -> float | None:
    """Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max); v1: cpu.cfs_*."""
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us")
        period = _read(folder / "cpu.cfs_period_us")
    try:
        return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else None
    except ValueError:  # absent, or "max"
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
