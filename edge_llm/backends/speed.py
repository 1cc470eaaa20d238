"""How fast this machine is for models: measured in a fraction of a second, then remembered.

A convenience: a file that is damaged, foreign or cannot be written costs only a new measurement.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from edge_llm.backends.llama_cpp.native import LLAMA_CPP_PYTHON_VERSION
from edge_llm.backends.llama_cpp.probe import LibraryProbe, probe_library
from edge_llm.backends.threads.plan import cores_for
from edge_llm.config import EdgeConfig, cache_folder
from edge_llm.device.bandwidth import measure_bandwidth
from edge_llm.device.speed import MachineSpeed
from edge_llm.device.topology import read_topology

logger = logging.getLogger(__name__)

FILE_NAME = "speed.json"
FORMAT = 1
VALID_S = 86_400
"""Cooling, power supply and governor change; a day later it is measured again."""


class SpeedMeasurement(NamedTuple):
    """What was measured now, and what the library said while it was asked."""

    speed: MachineSpeed
    probe: LibraryProbe


class _Known(NamedTuple):
    """What is remembered."""

    speed: MachineSpeed
    since: float
    """When the first of the measurements was made that are in it; seconds since 1970."""


def machine_speed(config: EdgeConfig) -> MachineSpeed:
    """What bounds the speed of writing here: remembered for a day, else measured.

    Measuring takes about half a second, half of it in a child process that opens llama.cpp.
    """
    known = _recall(cache_folder(config), _key(config))
    return measure_speed(config).speed if known is None else known.speed


def measure_speed(config: EdgeConfig) -> SpeedMeasurement:
    """Measure now and remember; the threads are the configured ones, or the cores but the slow.

    Of each rate the best of the day counts: other programs, and heat, only lower what is measured.
    """
    threads = config.threads or _threads(config)
    bandwidth = measure_bandwidth(threads).bytes_per_s
    probe = probe_library()
    speed = MachineSpeed(bandwidth, threads, probe.kernels)
    folder, key, since = cache_folder(config), _key(config), time.time()
    if (known := _recall(folder, key)) is not None:
        speed, since = _best(speed, known.speed), known.since
    _remember(folder, key, _Known(speed, since))
    return SpeedMeasurement(speed, probe)


def _best(now: MachineSpeed, known: MachineSpeed) -> MachineSpeed:
    kernels = {name: max(rate, known.kernels.get(name, 0.0)) for name, rate in now.kernels.items()}
    return MachineSpeed(max(now.bandwidth, known.bandwidth), now.threads, MappingProxyType(kernels))


def _threads(config: EdgeConfig) -> int:
    return cores_for(config, read_topology()).candidates()[0]


def _key(config: EdgeConfig) -> str:
    """What a measurement holds for."""
    cores = cores_for(config, read_topology()).key()
    return f"{cores}; {config.threads or 'auto'} threads; llama.cpp {LLAMA_CPP_PYTHON_VERSION}"


def _recall(folder: Path, key: str) -> _Known | None:
    try:
        record = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        entry = record["speed"]
        age = time.time() - entry["at"]
        if record["format"] != FORMAT or entry["key"] != key or not 0 <= age < VALID_S:
            return None
        kernels = {str(name): _rate(rate) for name, rate in entry["kernels"].items()}
        threads = max(1, int(entry["threads"]))
        speed = MachineSpeed(_rate(entry["bandwidth"]), threads, MappingProxyType(kernels))
        return _Known(speed, float(entry["at"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _rate(value: object) -> float:
    if not isinstance(value, int | float) or not 1.0 <= value < 1e15:
        raise ValueError(value)
    return float(value)


def _remember(folder: Path, key: str, known: _Known) -> None:
    """The file appears whole, by rename, or not at all."""
    entry: Mapping[str, object] = {
        "key": key,
        "at": known.since,
        "bandwidth": known.speed.bandwidth,
        "threads": known.speed.threads,
        "kernels": dict(known.speed.kernels),
    }
    temporary = folder / f".{FILE_NAME}.{os.getpid()}.tmp"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"format": FORMAT, "speed": entry}, indent=1))
        temporary.replace(folder / FILE_NAME)
    except OSError as error:
        logger.info("the machine's speed is not remembered: %s", error)
        with suppress(OSError):
            temporary.unlink()
