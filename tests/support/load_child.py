"""Loads model files in a process of its own, which may die: `python -m tests.support.load_child`.

Reads one path per line, answers with one JSON line each: `{"outcome", "detail"}`. Outcomes:
`refused` (an error of ours before native code), `native` (llama.cpp refused cleanly), `nan` (the
logits are no numbers), `works`, `memory`. A parent that gets no answer knows that this died.
With `--unchecked`, llama.cpp gets the files as they are: how it behaves without us.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_llm.backends.base import BatchItem
from edge_llm.backends.llama_cpp.backend import LlamaCppBackend
from edge_llm.errors import BackendError, ModelError
from edge_llm.hub.gguf import GGUFFile, check_loadable, read_gguf
from edge_llm.hub.gguf_memory import ContextShape

MEMORY_LIMIT_BYTES = 2 << 30
CONTEXT = 256
NUM_TOKENS = 3
EVERY_BYTE = "hello ☃\n\t 0123 " + "".join(map(chr, range(1, 256)))

messages: list[str] = []


class NativeRefusalError(Exception):
    """llama.cpp returned NULL or a bad status."""


def main() -> None:
    """Answer paths until the input ends."""
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unchecked = "--unchecked" in sys.argv
    lib = load_library() if unchecked else None
    for line in sys.stdin:
        messages.clear()
        outcome, detail = judge(lib, Path(line.rstrip("\n")), unchecked=unchecked)
        print(json.dumps({"outcome": outcome, "detail": detail}), flush=True)  # noqa: T201


def load_library() -> Any:
    """llama.cpp with its log kept in `messages`."""
    import llama_cpp

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level >= 3:
            messages.append(text.decode("utf-8", "replace").strip())

    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    llama_cpp.kept_log_callback = keep
    llama_cpp.llama_backend_init()
    return llama_cpp


def judge(lib: Any, path: Path, *, unchecked: bool) -> tuple[str, str]:
    """What happens when the file at `path` is loaded and run."""
    try:
        if unchecked:
            return run(lib, path)
        file = read_gguf(path)
        check_loadable(file)
    except ModelError as exc:
        return "refused", f"{type(exc).__name__}: {exc}"
    except NativeRefusalError as exc:
        return "native", f"{exc}: {messages[-2:]}"
    except MemoryError:
        return "memory", ""
    try:
        return run_backend(file)
    except (BackendError, ModelError) as exc:
        return "native", f"{type(exc).__name__}: {exc}"
    except MemoryError:
        return "memory", ""


def run_backend(file: GGUFFile) -> tuple[str, str]:
    """Load the model as the runtime does, tokenise, decode a few tokens greedily."""
    backend = LlamaCppBackend(file, ContextShape(CONTEXT, num_seq_ids=2), max_num_seqs=2, threads=1)
    try:
        tokenizer = backend.tokenizer
        tokenizer.encode(EVERY_BYTE)
        for token in range(min(tokenizer.vocab_size, 5000)):
            tokenizer.token_bytes(token)
        tokens = tokenizer.encode("hello")[:32] or [0]
        position = 0
        for _ in range(NUM_TOKENS):
            logits = backend.forward([BatchItem(0, position, tokens, 1)])[0]
            if not np.isfinite(logits).all():
                return "nan", ""
            position += len(tokens)
            tokens = [int(logits.argmax())]
        return "works", str(tokens)
    finally:
        backend.close()


def run(lib: Any, path: Path) -> tuple[str, str]:
    """Load the model by llama.cpp's own means, tokenise, decode a few tokens."""
    params = lib.llama_model_default_params()
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise NativeRefusalError("load")
    context = None
    try:
        settings = lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = CONTEXT
        settings.n_seq_max = 2
        settings.kv_unified = True
        settings.n_threads = settings.n_threads_batch = 1
        context = lib.llama_init_from_model(model, settings)
        if not context:
            raise NativeRefusalError("context")
        return generate(lib, model, context)
    finally:
        if context:
            lib.llama_free(context)
        lib.llama_model_free(model)


def generate(lib: Any, model: Any, context: Any) -> tuple[str, str]:
    """Decode greedily after a short prompt."""
    vocab = lib.llama_model_get_vocab(model)
    size = lib.llama_vocab_n_tokens(vocab)
    tokenise(lib, vocab, EVERY_BYTE)
    tokens = tokenise(lib, vocab, "hello")[:32] or [0]
    spell(lib, vocab, size)
    for _ in range(NUM_TOKENS):
        batch = lib.llama_batch_get_one((ctypes.c_int32 * len(tokens))(*tokens), len(tokens))
        status = lib.llama_decode(context, batch)
        if status:
            raise NativeRefusalError(f"decode {status}")
        logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, -1), (size,))
        if not np.isfinite(logits).all():
            return "nan", ""
        tokens = [int(logits.argmax())]
    return "works", str(tokens)


def tokenise(lib: Any, vocab: Any, text: str) -> list[int]:
    """Token ids with BOS as the model wants it."""
    raw = text.encode()
    room = 2 * len(raw) + 64
    ids = (ctypes.c_int32 * room)()
    count = lib.llama_tokenize(vocab, raw, len(raw), ids, room, True, True)
    return list(ids[: max(count, 0)])


def spell(lib: Any, vocab: Any, size: int) -> None:
    """Ask for the text of every token, as the tokenizer does when it is built."""
    piece = ctypes.create_string_buffer(256)
    for token in range(min(size, 5000)):
        lib.llama_token_to_piece(vocab, token, piece, 256, 0, True)
        lib.llama_vocab_get_text(vocab, token)
        lib.llama_vocab_is_eog(vocab, token)


if __name__ == "__main__":
    main()
