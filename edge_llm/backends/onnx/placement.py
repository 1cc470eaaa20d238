"""What runs where, as onnxruntime reports it; and the refusal of what would run elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

from edge_llm.backends.base import Placement
from edge_llm.backends.onnx.native import load_library
from edge_llm.backends.onnx.providers import Target
from edge_llm.errors import DevicePlacementError, DeviceUnavailableError
from edge_llm.hub.onnx import OnnxFile

Assignment: TypeAlias = Mapping[str, Counter[str]]
"""Number of nodes by operator, by provider."""


def judge_placement(
    assignment: Assignment, target: Target, file: OnnxFile, *, strict: bool
) -> Placement:
    """What runs where, if that is what was wanted.

    Raises:
        DevicePlacementError: the target runs nothing, or not everything with `strict`.
    """
    nodes = {provider: ops.total() for provider, ops in assignment.items()}
    others = (ops for provider, ops in assignment.items() if provider != target.provider)
    elsewhere = sum(others, Counter[str]())
    if not nodes.get(target.provider):
        raise DevicePlacementError(
            f"{target.provider} ({target.device.upper()}) runs nothing of {file.path.name!r}:"
            " the device is not there, or it knows none of the operators",
            elsewhere=elsewhere,
            hint="check that the device and its driver are installed, or use device='cpu'",
        )
    if strict and elsewhere:
        raise DevicePlacementError(
            f"{target.provider} ({target.device.upper()}) cannot run all of {file.path.name!r}: of"
            f" {sum(nodes.values())} nodes, {describe_ops(elsewhere)} would run elsewhere",
            elsewhere=elsewhere,
            hint=_hint(elsewhere),
        )
    return Placement(target.device, target.provider, nodes)


def read_assignment(session: Any) -> dict[str, Counter[str]]:
    """Operators that each provider runs, before the CPU's own are fused.

    Raises:
        DeviceUnavailableError: this onnxruntime cannot tell.
    """
    report = getattr(session, "get_provider_graph_assignment_info", None)
    if report is None:
        raise DeviceUnavailableError(
            f"onnxruntime {load_library().__version__} does not tell what runs where",
            hint="1.24 or newer does",
        )
    found: dict[str, Counter[str]] = {}
    for part in report():
        ops = found.setdefault(str(part.ep_name), Counter())
        ops.update(str(node.op_type) for node in part.get_nodes())
    return found


def describe_ops(ops: Counter[str]) -> str:
    """The commonest first: `4 RotaryEmbedding, 2 GroupQueryAttention`."""
    listed = ", ".join(f"{count} {op}" for op, count in ops.most_common(6))
    return listed + (" and others" if len(ops) > 6 else "")


def _hint(elsewhere: Counter[str]) -> str:
    hint = "cpu_fallback=True lets the CPU run those"
    if "GroupQueryAttention" in elsewhere:
        hint += "; an export without GroupQueryAttention may run whole"
    return hint
