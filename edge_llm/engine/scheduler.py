"""Which tokens of which sequences go through the model in the next step.

Continuous batching: those who speak get one token each, what is left of the batch goes to prompts
in the order they came, in chunks. When the KV cache is full the youngest gives way and starts again
later. Knows sequence lengths and cell counts, no tokens and no model.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edge_llm.backends.base import Capabilities
from edge_llm.engine.sequence import Sequence, SequenceStatus


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """The next `num_tokens` uncomputed tokens of a sequence."""

    sequence: Sequence
    num_tokens: int

    @property
    def completes(self) -> bool:
        """Whether the sequence's next token can be chosen after this chunk."""
        return self.num_tokens == self.sequence.num_uncomputed


class Scheduler:
    """Owns the waiting and running sequences, the backend's sequence ids and the cell count."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._limits = capabilities
        self._free_seq_ids = list(range(capabilities.max_num_seqs - 1, -1, -1))
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        """In order of arrival."""
        self.num_preemptions = 0
        self._admits = True

    @property
    def has_work(self) -> bool:
        """Whether any sequence is unfinished."""
        return bool(self.running or self.waiting)

    @property
    def num_used_cells(self) -> int:
        """KV cells that running sequences hold."""
        return sum(sequence.num_computed for sequence in self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        self.waiting.append(sequence)

    def schedule(self) -> tuple[list[ScheduledChunk], list[tuple[Sequence, int]]]:
        """The next batch, and the sequences preempted for it with the ids they held."""
        preempted = self._make_room_to_speak()
        if self._admits:
            self._admit()
        budget = min(
            self._limits.max_num_batched_tokens, self._limits.num_kv_cells - self.num_used_cells
        )
        chunks: list[ScheduledChunk] = []
        for sequence in sorted(self.running, key=lambda s: s.num_uncomputed > 1):
            if budget == 0:
                break
            num_tokens = min(sequence.num_uncomputed, budget)
            chunks.append(ScheduledChunk(sequence, num_tokens))
            budget -= num_tokens
        return chunks, preempted

    def finish(self, sequence: Sequence) -> int | None:
        """Take a sequence out wherever it is; returns the backend id it held, if any."""
        held = self._release(sequence)
        self._admits = True
        if sequence.status is SequenceStatus.WAITING:
            self.waiting.remove(sequence)
        sequence.status = SequenceStatus.FINISHED
        return held

    def preempt_youngest(self) -> tuple[Sequence, int] | None:
        """Send the last arrival back to wait until one finishes; None when only one runs."""
        if len(self.running) < 2:
            return None
        sequence = self.running[-1]
        seq_id = self._release(sequence)
        assert seq_id is not None, "a running sequence holds an id"
        sequence.status = SequenceStatus.WAITING
        sequence.num_computed = 0
        self.waiting.appendleft(sequence)
        self.num_preemptions += 1
        # Let in again at once, it would only be thrown out again.
        self._admits = False
        return sequence, seq_id

    def check_integrity(self) -> None:
        """Assert that every id is held exactly once; tests call it when the engine is idle."""
        held = [s.seq_id for s in self.running if s.seq_id is not None]
        assert sorted([*held, *self._free_seq_ids]) == list(range(self._limits.max_num_seqs))
        assert all(s.status is SequenceStatus.RUNNING for s in self.running)
        assert all(s.status is SequenceStatus.WAITING for s in self.waiting)

    def _make_room_to_speak(self) -> list[tuple[Sequence, int]]:
        """Preempt until every running sequence can take at least one token more."""
        preempted = []
        while self.num_used_cells + len(self.running) > self._limits.num_kv_cells:
            victim = self.preempt_youngest()
            if victim is None:
                break
            preempted.append(victim)
        return preempted

    def _admit(self) -> None:
        """Start waiting sequences, first come first served, while ids and cells last."""
        # What the running still have to compute is as good as taken.
        promised = sum(len(sequence.token_ids) + 1 for sequence in self.running)
        while self.waiting and self._free_seq_ids:
            needed = len(self.waiting[0].token_ids) + 1
            if self.running and promised + needed > self._limits.num_kv_cells:
                return
            sequence = self.waiting.popleft()
            sequence.seq_id = self._free_seq_ids.pop()
            sequence.status = SequenceStatus.RUNNING
            self.running.append(sequence)
            promised += needed

    def _release(self, sequence: Sequence) -> int | None:
        if sequence.status is not SequenceStatus.RUNNING:
            return None
        self.running.remove(sequence)
        seq_id, sequence.seq_id = sequence.seq_id, None
        assert seq_id is not None, "a running sequence holds an id"
        self._free_seq_ids.append(seq_id)
        return seq_id
