"""Graphs of fixed sizes, all that most NPUs run: one for chunks of a prompt, one to decode.

Nothing is rewritten: the free dimensions of the same file get extents when it is opened. A chunk
that is not full is padded behind its tokens, which no token before them sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.row_store import RowStore
from edge_llm.errors import UnsupportedModelError
from edge_llm.hub.onnx import DecoderInterface, OnnxFile

CHUNK = 64
"""Tokens of a prompt in one run: what is padded is computed in vain."""


def fixed_extents(
    file: OnnxFile, interface: DecoderInterface, length: int, past: int
) -> dict[str, int]:
    """Extents of the free dimensions, by name, for `length` tokens behind a cache of `past`.

    With GroupQueryAttention only the batch and the tokens are fixed: the attention runs on the CPU
    then, and its cache keeps its own length.

    Raises:
        UnsupportedModelError: a dimension has no name, or one name stands for two extents.
    """
    _check_suited(file, interface)
    tokens = (1, length)
    wanted: dict[str, tuple[int | None, ...]] = {"input_ids": tokens, "position_ids": tokens}
    if not interface.shares_buffer:
        wanted["attention_mask"] = (1, past + length)
        wanted |= {pair.past: (1, None, past, None) for pair in interface.pairs}
    extents: dict[str, int] = {}
    for value in file.graph.inputs:
        if value.name not in wanted:
            continue
        for dim, extent in zip(value.shape or (), wanted[value.name], strict=False):
            if extent is None or isinstance(dim, int):
                continue
            if dim is None or extents.setdefault(dim, extent) != extent:
                raise _refusal(file, f"the sizes of its input {value.name!r} cannot be told apart")
    return extents


def _check_suited(file: OnnxFile, interface: DecoderInterface) -> None:
    if interface.cache_branch is not None:
        raise _refusal(file, "it is a merged decoder, with a branch for the first token")
    if interface.last_logits_only or interface.logits_to_keep is not None:
        raise _refusal(file, "it gives logits for some of its tokens only")
    if not interface.shares_buffer and (
        interface.position_dtype is None or interface.mask_dtype is None
    ):
        raise _refusal(file, "without 'position_ids' it counts positions by the cache's size")


def _refusal(file: OnnxFile, problem: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{file.path.name!r} cannot be run with fixed sizes, as this device needs: {problem}",
        hint="another export may work, with 'position_ids' and without branches; or device='cpu'",
    )


class FixedGraph(DecoderGraph):
    """A session that takes `length` tokens, no fewer and no more."""

    def __init__(self, session: Any, interface: DecoderInterface, length: int, past: int) -> None:
        super().__init__(session, interface)
        self.length = length
        self._past = past
        pairs = interface.pairs
        shapes = [(1, p.num_heads, past + length, p.head_size) for p in pairs]
        self.presents = (
            [] if interface.shares_buffer else [np.empty(s, _of(interface)) for s in shapes]
        )
        """Keys and values after a run: those from before, then those of the tokens."""

    @property
    def max_chunk(self) -> int:
        """See `DecoderGraph.max_chunk`."""
        return self.length

    def num_logits(self, length: int, num_outputs: int) -> int:
        """See `DecoderGraph.num_logits`; those of padding too."""
        return self.length

    def bind_tokens(
        self, binding: Any, tokens: NDArray[np.int64], pasts: Sequence[int], num_outputs: int
    ) -> None:
        """See `DecoderGraph.bind_tokens`."""
        padded = np.zeros((1, self.length), np.int64)
        padded[:, : tokens.shape[1]] = tokens
        super().bind_tokens(binding, padded, pasts, num_outputs)

    def _mask(self, totals: Sequence[int]) -> NDArray[Any]:
        if self.interface.shares_buffer:
            return super()._mask(totals)
        held = totals[0] - self.length
        mask = np.zeros((1, self._past + self.length), self.interface.mask_dtype)
        mask[:, :held] = 1
        mask[:, self._past :] = 1
        return mask


def _of(interface: DecoderInterface) -> np.dtype[Any]:
    return np.dtype(interface.cache_dtype)


class FixedStore(RowStore):
    """Rows of a `RowCache`, run one after the other through two graphs."""

    def __init__(
        self, prefill: FixedGraph, decode: FixedGraph, num_rows: int, max_len: int
    ) -> None:
        super().__init__(decode.interface, num_rows, max_len)
        self.is_ragged = False
        self._graphs = (prefill, decode)
        self._max_len = max_len
        self._bindings: dict[tuple[int, int], Any] = {}

    def try_out(self) -> None:
        """Run both graphs once; see `DecoderGraph.try_out`."""
        for graph in self._graphs:
            graph.try_out(self._binding(graph, 0))

    def binding(self, seq_id: int) -> Any:
        """See `KVStore.binding`; of the graph that decodes."""
        return self._binding(self._graphs[1], self.rows.row(seq_id))

    def extend(
        self, seq_id: int, token_ids: Sequence[int], num_outputs: int, run_options: Any
    ) -> NDArray[Any]:
        """See `KVStore.extend`."""
        prefill, decode = self._graphs
        held = self.rows.length(seq_id)
        if len(token_ids) == 1:
            return self._run(decode, seq_id, token_ids, 1, run_options)[:num_outputs]
        padded = held + prefill.length
        if decode.interface.shares_buffer and padded > self._max_len:
            # Padding would be written behind the end of the buffer.
            rows = [self._run(decode, seq_id, [t], 1, run_options)[0].copy() for t in token_ids]
            return np.array(rows[len(rows) - num_outputs :]).reshape(num_outputs, -1)
        return self._run(prefill, seq_id, token_ids, num_outputs, run_options)

    def _run(
        self,
        graph: FixedGraph,
        seq_id: int,
        token_ids: Sequence[int],
        num_outputs: int,
        run_options: Any,
    ) -> NDArray[Any]:
        row, held, count = self.rows.row(seq_id), self.rows.length(seq_id), len(token_ids)
        binding = self._binding(graph, row)
        graph.bind_tokens(binding, np.array([token_ids], np.int64), [held], num_outputs)
        logits = graph.scratch((1, graph.length, graph.vocab_size))
        graph.bind_logits(binding, logits)
        graph.run(binding, run_options)
        for buffer, present in zip(self.rows.buffers, graph.presents, strict=False):
            new = present[0, :, self._max_len : self._max_len + count]
            buffer[row, :, held : held + count] = new
        self.rows.set_length(seq_id, held + count)
        return logits[0, count - num_outputs : count]

    def _binding(self, graph: FixedGraph, row: int) -> Any:
        binding = self._bindings.get((graph.length, row))
        if binding is None:
            binding = self._bindings[graph.length, row] = graph.binding()
            for index, pair in enumerate(graph.interface.pairs):
                past = self.rows.buffers[index][row : row + 1]
                present = graph.presents[index] if graph.presents else past
                graph.bind_cache(binding, pair, past, present)
        return binding

    def close(self) -> None:
        """See `KVStore.close`."""
        self._bindings = {}
        super().close()
        self._graphs[1].close()
