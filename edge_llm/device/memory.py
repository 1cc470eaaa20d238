"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")

_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def available_memory_bytes(cgroup: Path = CGROUP) -> int:
    """Bytes that can be taken without swapping, within the machine and the control group."""
    import psutil

    free = int(psutil.virtual_memory().available)
    within_group = _cgroup_available(cgroup)
    return free if within_group is None else min(free, within_group)


def _cgroup_available(cgroup: Path) -> int | None:
    """Bytes left under the control group's limit, page cache counted as free; None: no limit.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.stat).
    """
    for limit_name, usage_name, stat_name, cache_key in _CGROUP_FILES:
        try:
            limit = int((cgroup / limit_name).read_text())
            usage = int((cgroup / usage_name).read_text())
            stat = dict(line.split() for line in (cgroup / stat_name).read_text().splitlines())
        except (OSError, ValueError):  # absent, or "max"
            continue
        return max(0, limit - usage + int(stat.get(cache_key, 0)))
    return None


def describe_bytes(count: int) -> str:
    """A size for people, in binary units: `1.4 GiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
