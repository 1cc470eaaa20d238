"""One token for each of some rows: a run whose inputs stay bound, and are only written anew.

Binding costs more than anything else around a small step, so that memory is bound once for a range
of rows. The mask is longer than it has to be for the same reason: what counts is how many ones a
row has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.onnx.graph import DecoderGraph

MASK_STEP = 256
"""The mask grows by so many tokens at a time."""


class DecodeStep:
    """The bound inputs and outputs for some rows side by side."""

    def __init__(self, graph: DecoderGraph, buffers: Sequence[NDArray[Any]]) -> None:
        """`buffers` are the rows of each part of the KV cache."""
        self._graph = graph
        self._binding = graph.binding()
        interface = graph.interface
        num_rows, _, self._max_len, _ = buffers[0].shape
        for pair, buffer in zip(interface.pairs, buffers, strict=True):
            graph.bind_buffer(self._binding, (pair.past, pair.present), buffer)
        self._tokens = np.zeros((num_rows, 1), interface.token_dtype)
        graph.bind_input(self._binding, "input_ids", self._tokens)
        self._positions = np.zeros((num_rows, 1), interface.position_dtype or "int64")
        if interface.position_dtype is not None:
            graph.bind_input(self._binding, "position_ids", self._positions)
        if interface.logits_to_keep is not None:
            self._keep = graph.kept_logits(1)
            graph.bind_input(self._binding, interface.logits_to_keep.name, self._keep)
        self._mask = np.zeros((num_rows, 0), interface.mask_dtype or "int64")
        self._totals = [0] * num_rows
        self._address = 0
        half = interface.logits_dtype != "float32"
        shape = (num_rows, 1, graph.vocab_size)
        self._half = np.empty(shape, interface.logits_dtype) if half else None

    def run(
        self,
        tokens: Sequence[int],
        pasts: Sequence[int],
        into: NDArray[np.float32],
        run_options: Any,
    ) -> None:
        """Run a token of each row behind its past; logits (rows, vocab) go to contiguous memory.

        Raises:
            BackendError: the library failed.
        """
        self._tokens[:, 0] = tokens
        self._positions[:, 0] = pasts
        if self._graph.interface.mask_dtype is not None:
            self._extend_mask(pasts)
        self._bind_logits(into)
        self._graph.run(self._binding, run_options)
        if self._half is not None:
            into[:] = self._half[:, 0]

    def _extend_mask(self, pasts: Sequence[int]) -> None:
        longest = max(pasts) + 1
        if longest > self._mask.shape[1]:
            width = min(-(-longest // MASK_STEP) * MASK_STEP, self._max_len)
            self._mask = np.zeros((len(pasts), width), self._mask.dtype)
            self._totals = [0] * len(pasts)
            self._graph.bind_input(self._binding, "attention_mask", self._mask)
        for row, past in enumerate(pasts):
            if self._totals[row] == past:
                self._mask[row, past] = 1
            else:  # another sequence, or this one was cut
                self._mask[row, : past + 1] = 1
                self._mask[row, past + 1 :] = 0
            self._totals[row] = past + 1

    def _bind_logits(self, into: NDArray[np.float32]) -> None:
        target: NDArray[Any] = into if self._half is None else self._half
        address = target.__array_interface__["data"][0]
        if address != self._address:
            self._graph.bind_logits(self._binding, target.reshape(len(into), 1, -1))
            self._address = address
