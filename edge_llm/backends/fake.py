"""A backend without a model: scores that depend on nothing but the tokens before, in microseconds.

For tests of everything above `Backend`. It keeps KV state as token lists, counts cells like the
real ones, and refuses what they would abort on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
from edge_llm.errors import BackendError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.tokenizer import Tokenizer

Script: TypeAlias = Callable[[Sequence[int]], NDArray[np.float32]]
"""All tokens of a sequence so far in, the logits of the next one out: (vocab_size,)."""


_MAGIC = b"fake"


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """One KV cell; sequences that share it hold the same object."""

    token_id: int


class FakeBackend(Backend):
    """Token lists for KV state, a `Script` for a model."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        capabilities: Capabilities | None = None,
        chat_template: str | None = None,
        unsure_token: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer or ByteTokenizer()
        self.capabilities = capabilities or fake_capabilities()
        self.info = ModelInfo(
            "fake", "fake", chat_template, {"temperature": 0.0}, unsure_token=unsure_token
        )
        self.num_forwards = 0
        self.num_copied_tokens = 0
        """Tokens that `fork` copied instead of sharing their cells."""
        self.closed = False
        self._script = script or hashed_script(self.tokenizer.vocab_size)
        self._kv: dict[int, list[_Cell]] = {}

    @property
    def num_used_cells(self) -> int:
        """KV cells in use, shared ones counted once; 0 when nothing leaks."""
        return len({id(cell) for cells in self._kv.values() for cell in cells})

    def forward(
        self, batch: Sequence[BatchItem], interrupt: Interrupt | None = None
    ) -> NDArray[np.float32]:
        """See `Backend.forward`; an interrupt is noticed after the computation."""
        num_tokens = sum(len(item.token_ids) for item in batch)
        if not 0 < num_tokens <= self.capabilities.max_num_batched_tokens:
            raise BackendError(f"a batch of {num_tokens} tokens")
        if self.num_used_cells + num_tokens > self.capabilities.num_kv_cells:
            raise KVCacheFullError
        self.num_forwards += 1
        rows = [row for item in batch for row in self._run(item)]
        if interrupt is not None and interrupt():
            raise ForwardInterruptedError
        return np.array(rows, np.float32).reshape(len(rows), self.tokenizer.vocab_size)

    def _run(self, item: BatchItem) -> list[NDArray[np.float32]]:
        cells = self._cells(item.seq_id)
        if not 0 <= item.num_outputs <= len(item.token_ids):
            raise ValueError(f"{item.num_outputs} outputs of {len(item.token_ids)} tokens")
        if item.position != len(cells):
            raise BackendError(f"position {item.position} after {len(cells)} tokens")
        tokens = [cell.token_id for cell in cells]
        rows = []
        for index, token_id in enumerate(item.token_ids):
            cells.append(_Cell(token_id))
            tokens.append(token_id)
            if index >= len(item.token_ids) - item.num_outputs:
                rows.append(self._script(tokens))
        self._kv[item.seq_id] = cells
        return rows

    def fork(self, source: int, target: int, length: int | None = None) -> None:
        """See `Backend.fork`."""
        shares = self.capabilities.can_share_prefix
        cells = self._cells(source) if shares else self._cells(source)[:length]
        if self._cells(target):
            raise BackendError(f"sequence {target} is not empty")
        self.num_copied_tokens += 0 if shares else len(cells)
        self._kv[target] = [cell if shares else _Cell(cell.token_id) for cell in cells]

    def truncate(self, seq_id: int, length: int) -> bool:
        """See `Backend.truncate`."""
        if length < len(self._cells(seq_id)):
            if not self.capabilities.can_truncate:
                return False
            del self._kv[seq_id][max(0, length) :]
        return True

    def export(self, seq_id: int) -> bytes:
        """See `Backend.export`."""
        tokens = [cell.token_id for cell in self._cells(seq_id)]
        return _MAGIC + np.array(tokens, np.int32).tobytes()

    def import_(self, seq_id: int, state: bytes) -> None:
        """See `Backend.import_`."""
        if not state.startswith(_MAGIC):
            raise BackendError("the sequence state does not fit this model and its settings")
        self._cells(seq_id)
        tokens = np.frombuffer(state[len(_MAGIC) :], np.int32).tolist()
        self._kv[seq_id] = [_Cell(token_id) for token_id in tokens]

    def length(self, seq_id: int) -> int:
        """See `Backend.length`."""
        return len(self._cells(seq_id))

    def free(self, seq_id: int) -> None:
        """See `Backend.free`."""
        self._cells(seq_id)
        self._kv.pop(seq_id, None)

    def close(self) -> None:
        """See `Backend.close`."""
        self._kv.clear()
        self.closed = True

    def _cells(self, seq_id: int) -> list[_Cell]:
        if not 0 <= seq_id < self.capabilities.num_seq_ids:
            raise ValueError(f"sequence id {seq_id} is outside 0..num_seq_ids")
        return self._kv.get(seq_id, [])


def fake_capabilities(  # noqa: PLR0913 — each is one limit
    *,
    max_model_len: int = 256,
    max_num_seqs: int = 4,
    num_prefix_slots: int = 4,
    num_kv_cells: int | None = None,
    max_num_batched_tokens: int = 64,
    can_truncate: bool = True,
    can_share_prefix: bool = True,
) -> Capabilities:
    """Small limits, so that tests meet them."""
    return Capabilities(
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        num_seq_ids=max_num_seqs + num_prefix_slots,
        num_kv_cells=max_model_len if num_kv_cells is None else num_kv_cells,
        max_num_batched_tokens=max_num_batched_tokens,
        can_share_prefix=can_share_prefix,
        can_truncate=can_truncate,
        can_snapshot=True,
    )


def hashed_script(vocab_size: int, spread: float = 4.0) -> Script:
    """Normal-distributed logits seeded by a checksum of the tokens: arbitrary, but repeatable."""

    def script(tokens: Sequence[int]) -> NDArray[np.float32]:
        seed = zlib.crc32(np.array(tokens, np.int32).tobytes())
        rng = np.random.Generator(np.random.PCG64(seed))
        return (rng.standard_normal(vocab_size) * spread).astype(np.float32)

    return script


def scripted_reply(
    tokenizer: Tokenizer, reply: Sequence[int], prompt_length: Callable[[], int]
) -> Script:
    """Logits that spell `reply` after a prompt of `prompt_length()` tokens, then end the turn."""
    end = min(tokenizer.eog_ids)

    def script(tokens: Sequence[int]) -> NDArray[np.float32]:
        position = len(tokens) - prompt_length()
        logits = np.zeros(tokenizer.vocab_size, np.float32)
        logits[reply[position] if 0 <= position < len(reply) else end] = 20.0
        return logits

    return script
