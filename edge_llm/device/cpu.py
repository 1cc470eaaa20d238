"""How many processors this process may use, which is often fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Processors left after the affinity mask and the cgroup quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cgroup_quota(cgroup)
    return max(1, min(allowed or 1, math.floor(quota) if quota else allowed or 1))


def is_busy() -> bool:
    """Whether others want the processors too: half of one was in use in the last minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] >= 0.5


def _cgroup_quota(cgroup: Path) -> float | None:
    """CPU seconds per second granted by the control group; None when unlimited.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and cgroup-v1 cpu.cfs_*.
    """
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else None
    except ValueError:  # "max"
        return None
