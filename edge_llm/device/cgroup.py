"""Which control groups this process is in, so that every limit above it can be found."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def control_groups(
    controller: str, root: Path = CGROUP, membership: Path | None = None
) -> list[Path]:
    """Folders that may hold limits of `controller`, innermost group first, the root last.

    A limit on any of them holds for the process. Folders need not exist: inside a container the
    kernel may name groups that are not mounted there.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroups(7).
    """
    folders = [
        folder
        for base, group in _memberships(controller, root, membership or MEMBERSHIP)
        for folder in _with_parents(base, group)
    ]
    return list(dict.fromkeys([*folders, root, root / controller]))


def _memberships(controller: str, root: Path, membership: Path) -> list[tuple[Path, str]]:
    """Where the hierarchies of `controller` are mounted, and the group of this process in each."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2
            found += [(root, group), (root / "unified", group)]
        elif controller in controllers.split(","):
            found.append((root / controller, group))
    return found


def _with_parents(base: Path, group: str) -> list[Path]:
    parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
    return [base.joinpath(*parts[:end]) for end in range(len(parts), -1, -1)]
