"""How hot the processor is."""

from __future__ import annotations

from pathlib import Path

from edge_llm.device.text import read_integer, read_text

_CPU_SENSORS = ("cpu", "soc", "x86_pkg", "coretemp", "k10temp", "zenpower", "acpitz")
"""Beginnings of names of sensors at the processor; the first that is found counts."""


def cpu_temperature(root: Path = Path("/")) -> float | None:
    """Degrees Celsius at the hottest sensor of the processor; None where there is none.

    Source: https://docs.kernel.org/driver-api/thermal/sysfs-api.html and hwmon/sysfs-interface.
    """
    sensors = read_sensors(root)
    for start in _CPU_SENSORS:
        found = [value for name, value in sensors if name.startswith(start)]
        if found:
            return max(found)
    return max((value for _, value in sensors), default=None)


def read_sensors(root: Path = Path("/")) -> list[tuple[str, float]]:
    """Every temperature that the kernel shows: name, degrees Celsius; sensible ones alone."""
    found = []
    for zone in sorted((root / "sys" / "class" / "thermal").glob("thermal_zone*")):
        found.append((read_text(zone / "type") or "", read_integer(zone / "temp")))
    for chip in sorted((root / "sys" / "class" / "hwmon").glob("hwmon*")):
        name = read_text(chip / "name") or ""
        found += [(name, read_integer(path)) for path in sorted(chip.glob("temp*_input"))]
    return [(name, m / 1000) for name, m in found if m is not None and -40_000 < m < 150_000]
