"""The doctor on power, heat and clocks."""

from __future__ import annotations

from collections.abc import Iterator

from edge_llm.cli.doctor.finding import Finding
from edge_llm.device.machine import Machine

HOT = 80.0
"""Degrees Celsius from which a Raspberry Pi slows down, and most laptops soon will."""

_SUPPLY = "the supply made for the board (Pi 5: 27 W, Pi 4: 15 W), and a short cable"
_COOLING = "a fan or a heat sink (Pi 5: the Active Cooler), and air around the case"


def power_findings(machine: Machine) -> Iterator[Finding]:
    """What slows the processor down."""
    yield from _voltage(machine)
    yield from _heat(machine)
    slow = sorted({clock.governor for clock in machine.clocks if clock.is_slow})
    if slow:
        yield Finding(
            "warning",
            "clock",
            f"the clock is kept low (governor {slow[0]!r})",
            "answers take two to three times as long",
            "echo ondemand | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
        )
    if machine.on_battery:
        yield Finding(
            "note",
            "power",
            "the machine runs on its battery",
            "it may lower its clocks; figures measured now are too low",
            "",
        )


def _voltage(machine: Machine) -> Iterator[Finding]:
    throttling = machine.throttling
    if throttling.under_voltage:
        yield Finding(
            "error",
            "power",
            "the supply voltage is too low now",
            "the clock is held down, and cards and disks lose what is being written",
            _SUPPLY,
        )
    elif throttling.was_under_voltage:
        yield Finding(
            "warning",
            "power",
            "the supply voltage was too low since the machine was started",
            "it drops under load, just when a model computes",
            _SUPPLY,
        )


def _heat(machine: Machine) -> Iterator[Finding]:
    throttling, temperature = machine.throttling, machine.temperature
    if throttling.slowed:
        yield Finding(
            "warning",
            "heat",
            "the clock is held down now",
            "answers are slower than they could be",
            _COOLING,
        )
    elif throttling.was_slowed:
        yield Finding(
            "note",
            "heat",
            "the clock was held down since the machine was started",
            "long answers may be slower than short ones",
            _COOLING,
        )
    if temperature is not None and temperature >= HOT:
        yield Finding(
            "warning",
            "heat",
            f"the processor has {temperature:.0f} C",
            "it is slowed down from here on",
            _COOLING,
        )
