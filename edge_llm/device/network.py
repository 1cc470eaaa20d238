"""Whether there is any network at all, as the system itself knows: nobody is asked over it."""

from __future__ import annotations

from pathlib import Path

PROC_NET = Path("/proc/net")

_UP = 0x1
"""RTF_UP. Source: linux/route.h."""


def has_network(proc_net: Path = PROC_NET) -> bool:
    """Whether packets could leave this machine: an interface beside loopback is up.

    A route is what counts on Linux, because an interface without one reaches nobody. Where neither
    can be read the answer is yes: a connection that fails says the same, later.
    """
    if not (proc_net / "route").exists():
        return _has_interface()
    return _has_ipv4_route(proc_net / "route") or _has_ipv6_route(proc_net / "ipv6_route")


def _has_ipv4_route(table: Path) -> bool:
    # Source: net/ipv4/fib_trie.c, fib_route_seq_show: interface, destination, gateway, flags, …
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
        return any(row[0] != "lo" and int(row[3], 16) & _UP for row in rows if len(row) > 3)
    except (OSError, ValueError):
        return True


def _has_ipv6_route(table: Path) -> bool:
    """Link-local and multicast routes exist on any interface that is up, and reach nobody else."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()]
    except OSError:
        return False
    return any(
        row[9] != "lo" and not row[0].startswith(("fe80", "ff")) for row in rows if len(row) > 9
    )


def _has_interface() -> bool:
    import psutil

    stats = psutil.net_if_stats()
    return not stats or any(
        state.isup for name, state in stats.items() if not name.startswith("lo")
    )
