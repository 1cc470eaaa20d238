"""What a model takes and how fast it should write, at several lengths of context."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_llm.cli.inspect_parts import Record
from edge_llm.device.speed import MachineSpeed
from edge_llm.hub.decode_cost import DecodeCost
from edge_llm.hub.decode_rate import predict_decode_rate
from edge_llm.hub.memory_estimate import MemoryEstimate

SHOWN = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
"""Contexts that people ask for."""

EstimateOf = Callable[[int], MemoryEstimate]
"""What the model takes with a context of so many tokens."""


def describe_contexts(
    longest: int, estimate: EstimateOf, cost: DecodeCost, speed: MachineSpeed, free_bytes: int
) -> list[Record]:
    """One record for each context: memory, whether it fits, tokens a second when it is full.

    `longest` is what the model was trained for; it is always among them.
    """
    return [
        {
            "context": size,
            "kv_cache_bytes": (found := estimate(size)).kv_cache,
            "total_bytes": found.total,
            "fits": found.total <= free_bytes,
            "tokens_per_s": round(predict_decode_rate(cost, size, speed), 1),
        }
        for size in _sizes(longest)
    ]


def describe_speed(cost: DecodeCost, speed: MachineSpeed) -> Record:
    """How fast the model should write with an empty context, and what that rests on."""
    return {
        "tokens_per_s": round(predict_decode_rate(cost, 0, speed), 1),
        "bytes_per_token": cost.weight_bytes + cost.state_bytes,
        "bandwidth_bytes_per_s": round(speed.bandwidth),
        "threads": speed.threads,
    }


def warn_of_memory(longest: int, contexts: list[Record], fitting: int) -> Iterator[str]:
    """A warning where the model's whole context does not fit in the memory that is free."""
    if contexts and not contexts[-1]["fits"]:
        most = f"at most {fitting:,} tokens fit" if fitting else "not even a short one fits"
        yield f"its context of {longest:,} tokens needs more memory than is free: {most}"


def _sizes(longest: int) -> list[int]:
    return [size for size in SHOWN if size < longest] + [longest]
