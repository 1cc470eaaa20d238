"""How fast this machine is for models: measured in a fraction of a second, then remembered."""

from __future__ import annotations

from edge_llm.config import EdgeConfig
from edge_llm.device.bandwidth import measure_bandwidth
from edge_llm.device.speed import MachineSpeed
from edge_llm.device.topology import read_topology


def machine_speed(config: EdgeConfig, *, fresh: bool = False) -> MachineSpeed:
    """What bounds the speed of writing here: remembered for a day, measured where `fresh`.

    Measuring takes about half a second, most of it in a child process that loads llama.cpp.
    """
    threads = config.threads or read_topology().num_big_cores
    found = measure_bandwidth(threads)
    return MachineSpeed(found.bytes_per_s, found.threads)
