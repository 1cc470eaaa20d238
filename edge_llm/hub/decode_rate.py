"""How many tokens a second a model should write on a machine, before it is downloaded or loaded."""

from __future__ import annotations

from edge_llm.device.speed import MachineSpeed
from edge_llm.hub.decode_cost import DecodeCost


def predict_decode_rate(cost: DecodeCost, context: int, speed: MachineSpeed) -> float:
    """Tokens a second, of one sequence with `context` tokens before the new one.

    Each storage type takes as long as memory needs to deliver it or the cores need to multiply it,
    whichever is longer. Compared with what is measured: `benchmarks/models_speed.py`.
    """
    seconds = (cost.kv_at(context) + cost.state_bytes) / speed.bandwidth
    for storage, num_bytes in cost.weights.items():
        per_core = speed.kernels.get(storage)
        by_cores = speed.threads * per_core if per_core else speed.bandwidth
        seconds += num_bytes / min(speed.bandwidth, by_cores)
    return 1 / seconds
