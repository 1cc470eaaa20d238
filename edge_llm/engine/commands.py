"""What a scheduler wants done to the KV state before a forward: values, carried out in order."""

from __future__ import annotations

from dataclasses import dataclass

from edge_llm.backends.base import Backend


@dataclass(frozen=True, slots=True)
class Keep:
    """Cut a backend sequence down to `length` tokens; 0 frees it."""

    seq_id: int
    length: int = 0
    parked: tuple[int, ...] = ()
    """Tokens of a parked sequence whose computed state goes with this."""

    def apply(self, backend: Backend) -> None:
        """Carry it out."""
        if self.length == 0:
            backend.free(self.seq_id)
        else:
            kept = backend.truncate(self.seq_id, self.length)
            assert kept, "only entries that can be rolled back are cut"


@dataclass(frozen=True, slots=True)
class Share:
    """Let an empty backend sequence begin with the first `length` tokens of another."""

    source: int
    target: int
    length: int

    def apply(self, backend: Backend) -> None:
        """Carry it out."""
        backend.fork(self.source, self.target, self.length)
        if backend.length(self.target) > self.length:
            kept = backend.truncate(self.target, self.length)
            assert kept, "only state that can be rolled back is shared in part"
