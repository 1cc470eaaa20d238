"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

from edge_llm.device.cgroup import CGROUP, control_groups

_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)

_NO_LIMIT = 1 << 60
"""Version 1 writes a number of about 2^63 where there is no limit."""

LEAST_RESERVE_BYTES = 64 << 20
MOST_RESERVE_BYTES = 1 << 30


def available_memory_bytes(cgroup: Path = CGROUP) -> int:
    """Bytes that can be taken without swapping, within the machine and the control group."""
    import psutil

    limits = [_available_in(folder) for folder in control_groups("memory", cgroup)]
    free = int(psutil.virtual_memory().available)
    return min([free, *(limit for limit in limits if limit is not None)])


def _available_in(group: Path) -> int | None:
    """Bytes left under one control group's limit, page cache counted as free; None: no limit.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.stat).
    """
    for limit_name, usage_name, cache_key in _CGROUP_FILES:
        try:
            limit = int((group / limit_name).read_text())
            usage = int((group / usage_name).read_text())
            lines = (group / "memory.stat").read_text().splitlines()
            stat = dict(line.split() for line in lines)
            cache = int(stat.get(cache_key, 0))
        except (OSError, ValueError):  # absent, or "max"
            continue
        return max(0, limit - usage + cache)
    return None


def memory_limit_bytes(cgroup: Path = CGROUP, membership: Path | None = None) -> int | None:
    """The strictest limit of a control group on memory; None when unlimited."""
    limits = []
    for folder in control_groups("memory", cgroup, membership):
        for name, _, _ in _CGROUP_FILES:
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # absent, or "max"
                continue
    limit = min(limits, default=_NO_LIMIT)
    return None if limit >= _NO_LIMIT else limit


def reserve_bytes(free_bytes: int) -> int:
    """What `context_size="auto"` leaves to everything else: an eighth, 64 MiB to 1 GiB."""
    return min(max(free_bytes // 8, LEAST_RESERVE_BYTES), MOST_RESERVE_BYTES)


def describe_bytes(count: int) -> str:
    """A size for people, in binary units: `1.4 GiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
