"""`Backend` over an ONNX decoder: batches cut into runs, logits put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import (
    Backend,
    BatchItem,
    Capabilities,
    ForwardInterruptedError,
    Interrupt,
    KVCacheFullError,
    ModelInfo,
)
from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.backends.onnx.interrupt import interruptible
from edge_llm.backends.onnx.snapshot import pack_state, unpack_state
from edge_llm.backends.onnx.store import KVStore
from edge_llm.errors import BackendError
from edge_llm.prompt.tokenizer import Tokenizer


class OnnxBackend(Backend):
    """Owns one graph and the KV state of its sequences."""

    def __init__(
        self,
        graph: DecoderGraph,
        store: KVStore,
        *,
        info: ModelInfo,
        tokenizer: Tokenizer,
        capabilities: Capabilities,
    ) -> None:
        self.info = info
        self.tokenizer = tokenizer
        self.capabilities = capabilities
        self._graph = graph
        self._store = store
        self._logits: NDArray[np.float32] = np.empty((0, graph.vocab_size), np.float32)
        self._closed = False

    def forward(
        self, batch: Sequence[BatchItem], interrupt: Interrupt | None = None
    ) -> NDArray[np.float32]:
        """See `Backend.forward`; prompts are run one after the other, speaking sequences at once.

        Where a run fails, what ran before it stays.
        """
        self._check(batch)
        places = _places(batch)
        logits = self._room(sum(item.num_outputs for item in batch))
        options = None if interrupt is None else self._graph.run_options()
        speaking = [i for i, item in enumerate(batch) if _speaks(item)]
        with interruptible(interrupt, options):
            if speaking and self._store.is_ragged:
                self._decode([batch[i] for i in speaking], [places[i] for i in speaking], options)
            else:
                speaking = []
            for index, item in enumerate(batch):
                if index not in speaking:
                    self._extend(item, logits[places[index] :], interrupt, options)
        return logits

    def _check(self, batch: Sequence[BatchItem]) -> None:
        num_tokens = sum(len(item.token_ids) for item in batch)
        if not 0 < num_tokens <= self.capabilities.max_num_batched_tokens:
            raise BackendError(f"a batch of {num_tokens} tokens")
        if len({item.seq_id for item in batch}) != len(batch):
            raise BackendError("a sequence is in the batch twice")
        for item in batch:
            if item.position != self.length(item.seq_id):
                held = self.length(item.seq_id)
                raise BackendError(f"position {item.position} after {held} tokens")
            if item.position + len(item.token_ids) > self.capabilities.max_model_len:
                raise KVCacheFullError

    def _room(self, num_outputs: int) -> NDArray[np.float32]:
        if len(self._logits) < num_outputs:
            self._logits = np.empty((num_outputs, self._graph.vocab_size), np.float32)
        return self._logits[:num_outputs]

    def _decode(self, items: list[BatchItem], places: list[int], options: Any) -> None:
        seq_ids = [item.seq_id for item in items]
        token_ids = [item.token_ids[0] for item in items]
        first, count = places[0], len(places)
        if places == list(range(first, first + count)):
            self._store.decode(seq_ids, token_ids, self._logits[first : first + count], options)
            return
        rows = np.empty((count, self._graph.vocab_size), np.float32)
        self._store.decode(seq_ids, token_ids, rows, options)
        self._logits[places] = rows

    def _extend(
        self,
        item: BatchItem,
        into: NDArray[np.float32],
        interrupt: Interrupt | None,
        options: Any,
    ) -> None:
        """Run the tokens of one sequence in chunks, and write the logits that it asked for."""
        place = 0
        for begin, end in self._chunks(item):
            if begin and interrupt is not None and interrupt():
                raise ForwardInterruptedError
            wanted = max(0, end - max(begin, len(item.token_ids) - item.num_outputs))
            rows = self._store.extend(item.seq_id, item.token_ids[begin:end], wanted, options)
            into[place : place + wanted] = rows
            place += wanted

    def _chunks(self, item: BatchItem) -> Iterator[tuple[int, int]]:
        """Where the runs of an item begin and end."""
        length = len(item.token_ids)
        # With logits for the last token alone, each that wants some has to be the last of a run.
        apart = length
        if self._graph.interface.last_logits_only and item.num_outputs > 1:
            apart = length - item.num_outputs
        begin = 0
        while begin < length:
            end = min(begin + self._graph.max_chunk, apart) if begin < apart else begin + 1
            yield begin, end
            begin = end

    def fork(self, source: int, target: int, length: int | None = None) -> None:
        """See `Backend.fork`."""
        held = self.length(source)
        if self.length(target):
            raise BackendError(f"sequence {target} is not empty")
        self._store.copy(source, target, held if length is None else min(length, held))

    def truncate(self, seq_id: int, length: int) -> bool:
        """See `Backend.truncate`."""
        if length < self.length(seq_id):
            self._store.truncate(seq_id, max(0, length))
        return True

    def export(self, seq_id: int) -> bytes:
        """See `Backend.export`."""
        return pack_state(self._store.state(self._checked(seq_id)))

    def import_(self, seq_id: int, state: bytes) -> None:
        """See `Backend.import_`."""
        self._checked(seq_id)
        parts = unpack_state(state, self._graph.interface, self.capabilities.max_model_len)
        self._store.restore(seq_id, parts)

    def length(self, seq_id: int) -> int:
        """See `Backend.length`."""
        return self._store.length(self._checked(seq_id))

    def free(self, seq_id: int) -> None:
        """See `Backend.free`."""
        self._store.free(self._checked(seq_id))

    def close(self) -> None:
        """See `Backend.close`."""
        if not self._closed:
            self._closed = True
            self._store.close()
            self._graph.close()

    def _checked(self, seq_id: int) -> int:
        if not 0 <= seq_id < self.capabilities.num_seq_ids:
            raise ValueError(f"sequence id {seq_id} is outside 0..num_seq_ids")
        return seq_id


def _speaks(item: BatchItem) -> bool:
    return len(item.token_ids) == 1 and item.num_outputs == 1


def _places(batch: Sequence[BatchItem]) -> list[int]:
    """Where the logits of each item begin."""
    places, place = [], 0
    for item in batch:
        places.append(place)
        place += item.num_outputs
    return places
