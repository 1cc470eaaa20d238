"""One loaded graph: what a run needs besides the KV cache, bound to memory that is ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.onnx.native import load_library, native_errors, open_session
from edge_llm.errors import BackendError, ModelFormatError, UnsupportedModelError
from edge_llm.hub.onnx import DecoderInterface

MAX_LOGITS_BYTES = 32 << 20
"""Most graphs compute logits for every token of a prompt: this bounds how many go in at once."""

MAX_CHUNK = 512
"""Tokens of a prompt in one run."""

_CPU = ("cpu", 0)


class DecoderGraph:
    """A session with its inputs and outputs other than the KV cache."""

    def __init__(self, path: Path, interface: DecoderInterface, threads: int) -> None:
        self.interface = interface
        self.vocab_size = 0
        """Logits in a row; 0 until they were measured."""
        self._library = load_library()
        self._session: Any = open_session(path, threads)
        self._ones = np.ones(0, interface.mask_dtype or "int64")
        self._alive: list[NDArray[Any]] = []
        self._scratch: NDArray[Any] = np.empty(0, interface.logits_dtype)

    def run_options(self) -> Any:
        """Options of one run, through which it can be ended."""
        return self._library.RunOptions()

    def binding(self) -> Any:
        """An empty set of bound inputs and outputs."""
        return self._session.io_binding()

    def ort_value(self, values: NDArray[Any]) -> Any:
        """Contiguous numbers as the library holds them, without a copy where that can be."""
        return self._library.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))

    @property
    def max_chunk(self) -> int:
        """Tokens of one sequence in one run, at most."""
        if self.interface.logits_to_keep is not None or self.interface.last_logits_only:
            return MAX_CHUNK
        row = max(self.vocab_size, 1) * np.dtype(self.interface.logits_dtype).itemsize
        return min(MAX_CHUNK, max(1, MAX_LOGITS_BYTES // row))

    def num_logits(self, length: int, num_outputs: int) -> int:
        """Rows of logits for each sequence in a run of `length` tokens."""
        if self.interface.last_logits_only:
            return 1
        if self.interface.logits_to_keep is not None:
            return max(1, num_outputs)
        return length

    def bind_tokens(
        self, binding: Any, tokens: NDArray[np.int64], pasts: Sequence[int], num_outputs: int
    ) -> None:
        """Bind tokens (rows, length) that follow `pasts` tokens of each row."""
        interface = self.interface
        self._alive = []
        totals = [past + tokens.shape[1] for past in pasts]
        self._bind(binding, "input_ids", tokens.astype(interface.token_dtype, copy=False))
        if interface.mask_dtype is not None:
            self._bind(binding, "attention_mask", self._mask(totals))
        if interface.position_dtype is not None:
            steps = np.arange(tokens.shape[1])
            positions = np.asarray(pasts)[:, None] + steps
            self._bind(binding, "position_ids", positions.astype(interface.position_dtype))
        if interface.logits_to_keep is not None:
            self._bind(binding, interface.logits_to_keep.name, self.kept_logits(num_outputs))
        if interface.cache_branch is not None:
            self._bind(binding, interface.cache_branch, np.array([max(pasts) > 0]))

    def kept_logits(self, num_outputs: int) -> NDArray[Any]:
        """The value of the input that says for how many tokens logits are wanted."""
        wanted = self.interface.logits_to_keep
        rank, dtype = (wanted.rank or 0, wanted.dtype) if wanted else (0, "int64")
        return np.full([1] * rank, max(1, num_outputs), dtype)

    def bind_logits(self, binding: Any, into: NDArray[Any]) -> None:
        """Let the run write its logits into contiguous memory."""
        self._bind_output(binding, "logits", into)

    def scratch(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Memory for logits that are looked at before the next run."""
        size = int(np.prod(shape))
        if self._scratch.size < size:
            self._scratch = np.empty(size, self.interface.logits_dtype)
        return self._scratch[:size].reshape(shape)

    def run(self, binding: Any, run_options: Any) -> None:
        """Compute what is bound; without `run_options` nothing can end it early.

        Raises:
            BackendError: the library failed, or was told to end.
        """
        with native_errors():
            self._session.run_with_iobinding(binding, run_options)

    def close(self) -> None:
        """Give the weights back."""
        self._session = None
        self._alive = []

    def bind_buffer(self, binding: Any, names: tuple[str, str], buffer: NDArray[Any]) -> None:
        """Bind a past and its present to one contiguous buffer."""
        past, present = names
        self.bind_input(binding, past, buffer)
        self._bind_output(binding, present, buffer)

    def try_out(self, binding: Any) -> None:
        """Run a token without a past, and measure the logits.

        Raises:
            ModelFormatError: the graph does not run, or its logits are something else.
        """
        self.bind_tokens(binding, np.zeros((1, 1), np.int64), [0], 1)
        binding.bind_output("logits", *_CPU)
        try:
            self.run(binding, self.run_options())
        except BackendError as exc:
            raise UnsupportedModelError(
                f"the model loads but does not run: {exc.message}",
                hint="another export of the model may work",
            ) from exc
        shape = binding.get_outputs()[-1].shape()
        if len(shape) != 3 or list(shape[:2]) != [1, 1] or shape[2] < 1:
            raise ModelFormatError(f"the logits have the shape {shape}, not (rows, tokens, vocab)")
        self.vocab_size = int(shape[2])

    def _mask(self, totals: Sequence[int]) -> NDArray[Any]:
        longest = max(totals)
        if len(self._ones) < longest:
            self._ones = np.ones(max(longest, 2 * len(self._ones)), self._ones.dtype)
        if len(totals) == 1:
            return self._ones[None, :longest]
        return (np.arange(longest) < np.array(totals)[:, None]).astype(self._ones.dtype)

    def bind_input(self, binding: Any, name: str, values: NDArray[Any]) -> None:
        """Let runs read contiguous memory, which the caller keeps alive."""
        binding.bind_input(name, *_CPU, values.dtype, values.shape, values.ctypes.data)

    def _bind(self, binding: Any, name: str, values: NDArray[Any]) -> None:
        self._alive.append(values)  # only its address is bound
        self.bind_input(binding, name, values)

    def _bind_output(self, binding: Any, name: str, into: NDArray[Any]) -> None:
        binding.bind_output(name, *_CPU, into.dtype, into.shape, into.ctypes.data)
