"""Where files lie: how much room is left, and on what kind of disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from edge_llm.device.text import read_integer, read_text

DiskKind: TypeAlias = Literal[
    "sd card", "emmc", "nvme", "ssd", "rotational", "usb", "virtual", "unknown"
]


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that a folder is on."""

    free_bytes: int
    total_bytes: int
    kind: DiskKind
    """`usb` is any disk behind USB, `virtual` what a host gives its guest; `unknown` one that the
    kernel knows no device of."""


def disk_of(folder: Path, root: Path = Path("/")) -> Disk:
    """The disk of a folder, or of the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    device = folder.stat().st_dev
    kind = disk_kind(os.major(device), os.minor(device), root) if os.name == "posix" else "unknown"
    return Disk(usage.free, usage.total, kind)


def disk_kind(major: int, minor: int, root: Path = Path("/")) -> DiskKind:
    """What the kernel says of a block device.

    Source: https://docs.kernel.org/block/queue-sysfs.html (rotational),
    Documentation/ABI/testing/sysfs-block; mmc type: drivers/mmc/core/bus.c.
    """
    try:
        folder = (root / "sys" / "dev" / "block" / f"{major}:{minor}").resolve(strict=True)
    except OSError:
        return "unknown"
    if (folder / "partition").exists():
        folder = folder.parent
    if folder.name.startswith("mmcblk"):
        return "emmc" if read_text(folder / "device" / "type") == "MMC" else "sd card"
    if any(part.startswith("usb") for part in folder.parts):
        return "usb"
    if folder.name.startswith(("vd", "xvd")):
        return "virtual"  # which calls itself rotational, whatever lies beneath
    if folder.name.startswith("nvme"):
        return "nvme"
    rotational = read_integer(folder / "queue" / "rotational")
    if rotational is None:
        return "unknown"
    return "rotational" if rotational else "ssd"
