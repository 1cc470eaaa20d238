"""What tests of execution providers share: whether one is installed, and graphs that suit it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_llm.backends.base import Backend, BatchItem
from tests.support.onnx_wire import GraphBuilder

Logits: TypeAlias = NDArray[np.float32]

SIMULATOR = {"enable_htp_fp16_precision": "1", "soc_model": "60"}
"""What QNN's simulator of an HTP takes floats with."""

INT32, BOOL = 6, 9


def skip_without(package: str) -> pytest.MarkDecorator:
    """Skip tests where a package is not installed, and say so."""
    try:
        version(package)
    except PackageNotFoundError:
        return pytest.mark.skipif(True, reason=f"{package} is not installed")
    return pytest.mark.skipif(False, reason="")


class WithoutAnd(GraphBuilder):
    """Spells `And` as a minimum of integers: of all ways, the simulator runs only this one."""

    def node(
        self, op: str, inputs: Sequence[str], *outputs: str, domain: str = "", **attributes: Any
    ) -> str:
        """See `GraphBuilder.node`."""
        if op != "And":
            return super().node(op, inputs, *outputs, domain=domain, **attributes)
        parts = [super(WithoutAnd, self).node("Cast", [part], to=INT32) for part in inputs]
        least = super().node("Min", parts)
        return super().node("Cast", [least], *outputs, to=BOOL)


def feed(backend: Backend, seq_id: int, tokens: Sequence[int], outputs: int = 1) -> Logits:
    """Logits of the last tokens after a sequence is continued."""
    item = BatchItem(seq_id, backend.length(seq_id), tokens, outputs)
    return backend.forward([item]).copy()
