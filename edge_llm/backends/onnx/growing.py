"""`KVStore` for every other graph: each run makes a new, longer present out of a past.

onnxruntime copies the whole past in every step, and sequences run one after the other: right, and
slower than GroupQueryAttention. States are never written to, so that forks share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.store import KVStore


class GrowingStore(KVStore):
    """The last present of each sequence, as the library left it."""

    def __init__(self, graph: DecoderGraph) -> None:
        self.is_ragged = False
        self._graph = graph
        self._state: dict[int, list[Any]] = {}
        dtype = np.dtype(graph.interface.cache_dtype)
        shapes = [(1, pair.num_heads, 0, pair.head_size) for pair in graph.interface.pairs]
        self._empty = [graph.ort_value(np.zeros(shape, dtype)) for shape in shapes]
        self._one_by_one = False
        """Behind a past only single tokens are computed as they should be."""

    def check_chunks(self) -> None:
        """Find out whether several tokens may follow a past at once.

        Merged decoders were often traced with a single one, which leaves the others unmasked.
        """
        options = self._graph.run_options()
        tokens = [0, 1, 2]
        whole = self.extend(0, tokens, 1, options).copy()
        self.free(0)
        self.extend(0, tokens[:1], 0, options)
        parts = self.extend(0, tokens[1:], 1, options)
        self.free(0)
        self._one_by_one = not np.allclose(whole, parts, rtol=1e-2, atol=1e-2)

    def length(self, seq_id: int) -> int:
        """See `KVStore.length`."""
        state = self._state.get(seq_id)
        return 0 if state is None else int(state[0].shape()[2])

    def binding(self, seq_id: int) -> Any:
        """See `KVStore.binding`; its first outputs are the next state."""
        binding = self._graph.binding()
        state = self._state.get(seq_id, self._empty)
        for pair, value in zip(self._graph.interface.pairs, state, strict=True):
            binding.bind_ortvalue_input(pair.past, value)
            binding.bind_output(pair.present, "cpu")
        return binding

    def extend(
        self, seq_id: int, token_ids: Sequence[int], num_outputs: int, run_options: Any
    ) -> NDArray[Any]:
        """See `KVStore.extend`."""
        if self._one_by_one and self.length(seq_id) and len(token_ids) > 1:
            return self._extend_slowly(seq_id, token_ids, num_outputs, run_options)
        graph = self._graph
        binding = self.binding(seq_id)
        tokens = np.array([token_ids], np.int64)
        graph.bind_tokens(binding, tokens, [self.length(seq_id)], num_outputs)
        count = graph.num_logits(len(token_ids), num_outputs)
        logits = graph.scratch((1, count, graph.vocab_size))
        graph.bind_logits(binding, logits)
        graph.run(binding, run_options)
        self._state[seq_id] = list(binding.get_outputs())[: len(self._empty)]
        return logits[0, count - num_outputs :]

    def _extend_slowly(
        self, seq_id: int, token_ids: Sequence[int], num_outputs: int, run_options: Any
    ) -> NDArray[Any]:
        before = self._state[seq_id]
        rows = []
        try:
            for token_id in token_ids:
                rows.append(self.extend(seq_id, [token_id], 1, run_options)[0].copy())
        except BaseException:
            self._state[seq_id] = before
            raise
        wanted = rows[len(rows) - num_outputs :]
        return np.array(wanted).reshape(num_outputs, self._graph.vocab_size)

    def copy(self, source: int, target: int, length: int) -> None:
        """See `KVStore.copy`."""
        if source in self._state:
            self._state[target] = self._state[source]
            self.truncate(target, length)

    def truncate(self, seq_id: int, length: int) -> None:
        """See `KVStore.truncate`."""
        if length == 0:
            self.free(seq_id)
        elif length < self.length(seq_id):
            self.restore(seq_id, [part[:, :length] for part in self.state(seq_id)])

    def free(self, seq_id: int) -> None:
        """See `KVStore.free`."""
        self._state.pop(seq_id, None)

    def state(self, seq_id: int) -> list[NDArray[Any]]:
        """See `KVStore.state`."""
        return [value.numpy()[0] for value in self._state.get(seq_id, self._empty)]

    def restore(self, seq_id: int, parts: Sequence[NDArray[Any]]) -> None:
        """See `KVStore.restore`."""
        # A copy, or a short prefix would keep all of a long sequence in memory.
        self._state[seq_id] = [self._graph.ort_value(part[None].copy()) for part in parts]

    def close(self) -> None:
        """See `KVStore.close`."""
        self._state.clear()
        self._empty = []
