"""`KVStore` for GroupQueryAttention: past and present in one buffer, many rows in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.onnx.decode import DecodeStep
from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.row_store import RowStore
from edge_llm.backends.onnx.rows import RowRange

MAX_BINDINGS = 64
"""Sets of bound buffers that are kept, one for each range of rows."""


class SharedStore(RowStore):
    """Rows of a `RowCache`, run where they are."""

    def __init__(self, graph: DecoderGraph, num_rows: int, max_len: int) -> None:
        super().__init__(graph.interface, num_rows, max_len)
        self.is_ragged = graph.interface.is_ragged
        self._graph = graph
        self._bindings: dict[RowRange, Any] = {}
        self._steps: dict[RowRange, DecodeStep] = {}

    def binding(self, seq_id: int) -> Any:
        """See `KVStore.binding`."""
        return self._binding(RowRange(self.rows.row(seq_id), 1))

    def extend(
        self, seq_id: int, token_ids: Sequence[int], num_outputs: int, run_options: Any
    ) -> NDArray[Any]:
        """See `KVStore.extend`."""
        graph = self._graph
        binding = self.binding(seq_id)
        past = self.rows.length(seq_id)
        tokens = np.array([token_ids], np.int64)
        graph.bind_tokens(binding, tokens, [past], num_outputs)
        count = graph.num_logits(len(token_ids), num_outputs)
        logits = graph.scratch((1, count, graph.vocab_size))
        graph.bind_logits(binding, logits)
        graph.run(binding, run_options)
        self.rows.set_length(seq_id, past + len(token_ids))
        return logits[0, count - num_outputs :]

    def decode(
        self,
        seq_ids: Sequence[int],
        token_ids: Sequence[int],
        into: NDArray[np.float32],
        run_options: Any,
    ) -> None:
        """See `KVStore.decode`."""
        rows = self.rows
        found = rows.gather(seq_ids)
        order = [rows.sequence_at(row) for row in range(found.first, found.first + found.num_rows)]
        pasts = [rows.length(seq_id) for seq_id in order]
        step = self._step(found)
        if order == list(seq_ids):
            step.run(token_ids, pasts, into, run_options)
        else:
            places = [seq_ids.index(seq_id) for seq_id in order]
            logits = np.empty_like(into)
            step.run([token_ids[place] for place in places], pasts, logits, run_options)
            into[places] = logits
        for seq_id, past in zip(order, pasts, strict=True):
            rows.set_length(seq_id, past + 1)

    def _step(self, rows: RowRange) -> DecodeStep:
        step = self._steps.get(rows)
        if step is None:
            if len(self._steps) >= MAX_BINDINGS:
                self._steps.clear()
            step = self._steps[rows] = DecodeStep(self._graph, self._parts(rows))
        return step

    def _parts(self, rows: RowRange) -> list[NDArray[Any]]:
        span = slice(rows.first, rows.first + rows.num_rows)
        return [buffer[span] for buffer in self.rows.buffers]

    def _binding(self, rows: RowRange) -> Any:
        binding = self._bindings.get(rows)
        if binding is None:
            if len(self._bindings) >= MAX_BINDINGS:
                self._bindings.clear()
            binding = self._bindings[rows] = self._graph.binding()
            pairs = self._graph.interface.pairs
            for pair, buffer in zip(pairs, self._parts(rows), strict=True):
                self._graph.bind_buffer(binding, (pair.past, pair.present), buffer)
        return binding

    def close(self) -> None:
        """See `KVStore.close`."""
        self._bindings, self._steps = {}, {}
        super().close()
