"""Loads ONNX folders in a process of its own, which may die: `python -m tests.support.onnx_child`.

Reads one path per line, answers with one JSON line each, as `load_child` does. With `--unchecked`,
onnxruntime gets the graph as it is: how it behaves without us.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.onnx.native import open_session
from edge_llm.config import EdgeConfig
from edge_llm.errors import BackendError, EdgeLLMError, ModelError
from edge_llm.hub.onnx import check_runnable, find_model, read_config, read_decoder, read_onnx
from edge_llm.prompt.hf_tokenizer import HFTokenizer

MEMORY_LIMIT_BYTES = 4 << 30
EVERY_BYTE = "hello ☃\n\t 0123 " + "".join(map(chr, range(1, 256)))
NUM_TOKENS = 3


def main() -> None:
    """Answer paths until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unchecked = "--unchecked" in sys.argv
    for line in sys.stdin:
        outcome, detail = judge(Path(line.rstrip("\n")), unchecked=unchecked)
        print(json.dumps({"outcome": outcome, "detail": detail}), flush=True)  # noqa: T201


def judge(path: Path, *, unchecked: bool) -> tuple[str, str]:
    """What happens when the model at `path` is loaded and run."""
    try:
        if unchecked:
            open_session(path, 1)
            return "works", ""
        if path.suffix == ".json":
            return run_tokenizer(path)
        file = read_onnx(path)
        check_runnable(file)
        read_decoder(file)
        read_config(find_model(path))
    except ModelError as exc:
        return "refused", f"{type(exc).__name__}: {exc}"
    except MemoryError:
        return "memory", ""
    try:
        backend = load_backend(path, EdgeConfig(context_size=64, max_num_seqs=2, prefix_slots=0))
        try:
            return run(backend)
        finally:
            backend.close()
    except EdgeLLMError as exc:
        return "native", f"{type(exc).__name__}: {exc}"
    except MemoryError:
        return "memory", ""


def run(backend: Backend) -> tuple[str, str]:
    """Tokenise, decode a few tokens greedily: alone, then two sequences together."""
    tokens = backend.tokenizer.encode("hello")[:32] or [0]
    for _ in range(NUM_TOKENS):
        logits = backend.forward([BatchItem(0, backend.length(0), tokens, 1)])[0]
        if not np.isfinite(logits).all():
            return "nan", ""
        tokens = [int(logits.argmax())]
    backend.fork(0, 1, 2)
    backend.forward([BatchItem(i, backend.length(i), tokens, 1) for i in (0, 1)])
    return "works", str(tokens)


def run_tokenizer(path: Path) -> tuple[str, str]:
    """Read a tokenizer, spell what it can."""
    tokenizer = HFTokenizer(path)
    try:
        tokenizer.encode(EVERY_BYTE)
        tokenizer.encode_inner(EVERY_BYTE)
        for token_id in range(min(tokenizer.vocab_size, 5000)):
            tokenizer.token_bytes(token_id)
    except BackendError as exc:
        return "native", f"{type(exc).__name__}: {exc}"
    return "works", ""


if __name__ == "__main__":
    main()
