"""Whether the processor was slowed down: by heat, or by a power supply that is too weak."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_llm.device.text import read_integer, read_text

FIRMWARE = Path("sys/devices/platform/soc/soc:firmware/get_throttled")


@dataclass(frozen=True, slots=True)
class Throttling:
    """Now, and at any time since the machine was started; None where the system does not tell."""

    under_voltage: bool | None = None
    was_under_voltage: bool | None = None
    slowed: bool | None = None
    """The clock is held down, for heat or for power."""
    was_slowed: bool | None = None
    source: str = ""
    """What told it; empty where nothing did."""


def read_throttling(root: Path = Path("/")) -> Throttling:
    """What the firmware of a Raspberry Pi, or else the kernel, counts."""
    text = read_text(root / FIRMWARE)
    if text is not None and (found := decode_firmware(text, "firmware")) is not None:
        return found
    if root == Path("/") and (found := _ask_vcgencmd()) is not None:
        return found
    voltage, counts = _voltage_alarm(root), _throttle_counts(root)
    return Throttling(
        under_voltage=voltage,
        was_slowed=None if counts is None else counts > 0,
        source="kernel" if voltage is not None or counts is not None else "",
    )


def decode_firmware(text: str, source: str) -> Throttling | None:
    """The bits of `get_throttled`, as `50005`, `0x50005` or `throttled=0x50005`.

    Source: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled: 0
    under-voltage, 1 frequency capped, 2 throttled, 3 soft temperature limit; 16 to 19 the same
    since start.
    """
    try:
        bits = int(text.rpartition("=")[2], 16)
    except ValueError:
        return None
    return Throttling(
        under_voltage=bool(bits & 1),
        was_under_voltage=bool(bits >> 16 & 1),
        slowed=bool(bits & 0b1110),
        was_slowed=bool(bits >> 16 & 0b1110),
        source=source,
    )


def _ask_vcgencmd() -> Throttling | None:
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "get_throttled"], capture_output=True, text=True, timeout=1, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return decode_firmware(done.stdout, "vcgencmd")


def _voltage_alarm(root: Path) -> bool | None:
    """The driver `rpi_volt`: its alarm follows the firmware's bit 0."""
    for chip in (root / "sys" / "class" / "hwmon").glob("hwmon*"):
        if read_text(chip / "name") == "rpi_volt":
            alarm = read_integer(chip / "in0_lcrit_alarm")
            return None if alarm is None else alarm != 0
    return None


def _throttle_counts(root: Path) -> int | None:
    """How often x86 cores were slowed for heat. Source: arch/x86/kernel/cpu/mce/therm_throt.c."""
    cpus = root / "sys" / "devices" / "system" / "cpu"
    counts = [
        count
        for path in cpus.glob("cpu*/thermal_throttle/*_throttle_count")
        if (count := read_integer(path)) is not None
    ]
    return sum(counts) if counts else None
