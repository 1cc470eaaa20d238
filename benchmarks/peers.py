"""llama.cpp's own programs, as peers: found through `EDGE_LLM_PEERS`, run once, their report read.

They are in the `bin` of that folder, built from the llama.cpp that llama-cpp-python carries, and
inherit the environment, and with it the OpenMP settings under which our own library was loaded.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from benchmarks.random_model import Shape, cache_file, cached_model

Program: TypeAlias = Literal["llama-bench", "llama-batched-bench", "llama-quantize", "llama-server"]
Quantization: TypeAlias = Literal["Q4_0", "Q4_K_M"]

BATCH = 512
"""Tokens in a physical batch, as our backend has it."""


def why_absent(*programs: Program) -> str | None:
    """Why these programs cannot be run; None when they can."""
    folder = os.environ.get("EDGE_LLM_PEERS")
    if not folder:
        return "EDGE_LLM_PEERS is not set"
    missing = [name for name in programs if not program_path(name).is_file()]
    return f"{', '.join(missing)} not in {folder}/bin" if missing else None


def program_path(program: Program) -> Path:
    """Where a program lies, whether it does or not."""
    return Path(os.environ.get("EDGE_LLM_PEERS", "")) / "bin" / program


def _run(program: Program, *arguments: object) -> str:
    command = [str(program_path(program)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def llama_bench(
    model: Path,
    threads: int,
    *,
    prompt: int = 0,
    generate: int = 0,
    depth: int = 0,
    repetitions: int = 1,
) -> float:
    """Tokens per second of one prompt, or of generating after `depth` tokens; warmed up."""
    report: list[dict[str, Any]] = json.loads(
        _run(
            "llama-bench", "-m", model, "-t", threads, "-b", BATCH, "-ub", BATCH,
            "-r", repetitions, "-p", prompt, "-n", generate, "-d", depth, "-o", "json",
        )
    )  # fmt: skip
    (result,) = report
    return float(result["avg_ts"])


def children_cpu_s() -> float:
    """CPU seconds, user and system, of all programs that were run and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def batched_bench(
    model: Path, threads: int, *, prompt: int, generate: int, sequences: Sequence[int]
) -> dict[int, float]:
    """Tokens per second of all sequences together, each after a prompt of its own, by their number.

    The program's own choice of cache: one for each sequence.
    """
    cells = max(sequences) * (prompt + generate)
    text = _run(
        "llama-batched-bench", "-m", model, "-t", threads, "-tb", threads, "-b", BATCH,
        "-ub", BATCH, "-c", cells, "-npp", prompt, "-ntg", generate,
        "-npl", ",".join(map(str, sequences)), "--output-format", "jsonl",
    )  # fmt: skip
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {int(line["pl"]): float(line["speed_tg"]) for line in lines}


def llama_generate(llama: Any, token_ids: Sequence[int], num_tokens: int) -> float:
    """Tokens per second of `llama_cpp.Llama.generate`, greedy, after a prompt."""
    tokens = llama.generate(list(token_ids), temp=0.0, repeat_penalty=1.0)
    next(tokens)
    started = time.perf_counter()
    for _ in range(num_tokens):
        next(tokens)
    elapsed = time.perf_counter() - started
    tokens.close()
    return num_tokens / elapsed


def open_llama(model: Path, threads: int, context_size: int) -> Any:
    """A `llama_cpp.Llama` with our settings."""
    import llama_cpp

    return llama_cpp.Llama(
        str(model), n_ctx=context_size, n_batch=BATCH, n_ubatch=BATCH, n_threads=threads,
        n_threads_batch=threads, verbose=False,
    )  # fmt: skip


def quantized_model(name: str, shape: Shape, kind: Quantization, threads: int) -> Path:
    """A random model in llama.cpp's own mixture of storage types, made on first use."""
    path = cache_file(f"{name}-{kind.lower()}-mixture-0")
    if not path.exists():
        source = cached_model(f"{name}-q8_0", shape, storage="Q8_0")
        partial = path.with_suffix(".partial")
        _run("llama-quantize", "--allow-requantize", source, partial, kind, threads)
        partial.rename(path)
    return path
