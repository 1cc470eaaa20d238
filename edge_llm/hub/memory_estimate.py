"""What a model takes of memory, part by part; the same for every kind of file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that a loaded model keeps in use at full speed."""

    weights: int
    """Counted once: a kernel that wants another layout copies them, and the pages of the file they
    came from then stay in the page cache only for as long as nobody needs the room."""
    kv_cache: int
    """State of all sequences."""
    compute: int
    """Activations of one batch, and rows of logits."""
    overhead: int
    """Vocabulary, graph and bookkeeping."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.compute + self.overhead
