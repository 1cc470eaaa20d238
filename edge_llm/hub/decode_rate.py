"""How many tokens a second a model should write on a machine, before it is downloaded or loaded."""

from __future__ import annotations

from edge_llm.device.speed import MachineSpeed
from edge_llm.hub.decode_cost import DecodeCost

_OVERLAP = 1.5
"""How far reading and multiplying overlap: 1 is one after the other, infinity is the longer of both
alone. Fitted to products whose weights come from memory, on one and on two cores."""

_ATTENTION = 0.2
"""Speed of attention over keys and values in F16, to a product with a matrix in F16: after each of
its dot products comes an exponential. Fitted to heads of 64 numbers."""

_STEP_S = 200e-6
_LAYER_S = 20e-6
_REFERENCE_KERNEL = 27e9
"""What a step and each of its layers take beside all products, on a core that multiplies so many
bytes of Q8_0 a second; measured on models whose products take next to nothing."""


def predict_decode_rate(cost: DecodeCost, context: int, speed: MachineSpeed) -> float:
    """Tokens a second, of one sequence with `context` tokens before the new one.

    Memory has to deliver each byte and the cores have to multiply it. Compared with what is
    measured: `benchmarks/models_speed.py`.
    """
    seconds = cost.state_bytes / speed.bandwidth + _around(cost, speed)
    for storage, num_bytes in cost.weights.items():
        kernel = speed.kernels.get(storage, 0.0) * cost.kernel_share
        seconds += num_bytes / _rate(speed, kernel)
    kv_bytes = cost.kv_at(context)
    attention = speed.kernels.get("F16", 0.0) / cost.heads_per_kv_head * _ATTENTION
    seconds += kv_bytes / _rate(speed, attention)
    return 1 / seconds


def _around(cost: DecodeCost, speed: MachineSpeed) -> float:
    """Seconds that are not spent on products; slower cores take as much longer."""
    kernel = speed.kernels.get("Q8_0")
    if not kernel:
        return 0.0
    return (_STEP_S + _LAYER_S * cost.num_layers) * _REFERENCE_KERNEL / kernel


def _rate(speed: MachineSpeed, per_core: float) -> float:
    """Bytes a second that are read and multiplied; read alone where kernels are unknown."""
    if not per_core:
        return speed.bandwidth
    parts = (speed.bandwidth, per_core * speed.threads)
    return float(sum(rate**-_OVERLAP for rate in parts) ** (-1 / _OVERLAP))
