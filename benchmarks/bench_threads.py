"""What a thread too many costs, and what is left when other programs want the cores.

Threads that compute a token meet at hundreds of barriers. On an idle machine the fastest way to
wait there is to spin. When another program takes one of the cores, each barrier may wait for a
whole time slice of the scheduler. Each row below runs in a child process, because GNU OpenMP reads
its spin count once:

    one_thread     no barriers at all
    long_spins     a thread on each core, GNU OpenMP's own 300,000 spins
    short_spins    the same, with the spin count that this package sets
    adaptive       what `load_backend` gives: short spins, and fewer threads while cores are taken

Contended means that another process runs `while True: pass`, begun after two tokens, so that the
onset is part of it. `--quick` takes fewer tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.random_model import QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.backends.llama_cpp.backend import LlamaCppBackend
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus

LONG_SPINS = "300000"
LIMIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run."""

    name: str
    threads: int
    spins: str | None = None
    adaptive: bool = False


def main() -> None:
    """Measure every row, idle and contended; or, as a child, one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(run_child(**arguments.child)))
        return
    report("threads", measure(arguments.quick), ["llama-cpp-python", "numpy"])


def measure(quick: bool) -> dict[str, Figure]:
    """Milliseconds a token of every row: the median, and when contended the mean and the worst."""
    count = usable_cpus()
    rows = [
        Row("one_thread", 1),
        Row("long_spins", count, LONG_SPINS),
        Row("short_spins", count),
        Row("adaptive", count, adaptive=True),
    ]
    repeats, tokens = (1, 40) if quick else (5, 80)
    figures: dict[str, Figure] = {}
    for contended in (False, True):
        times: dict[str, list[list[float]]] = {row.name: [] for row in rows}
        for _ in range(1 if contended and quick else repeats):
            for row in rows:
                print(f"{row.name}, contended: {contended}", file=sys.stderr)
                times[row.name].append(run(row, tokens, contended))
        for name, found in times.items():
            figures |= make_figures(f"{'contended' if contended else 'idle'}.{name}", found)
    figures |= measure_planning()
    return figures


def make_figures(key: str, repeats: list[list[float]]) -> dict[str, Figure]:
    """What the times of single tokens come to."""
    to_ms = 1e3
    return {
        f"{key}.median": figure([statistics.median(t) * to_ms for t in repeats], "ms/token"),
        f"{key}.mean": figure([statistics.fmean(t) * to_ms for t in repeats], "ms/token"),
        f"{key}.worst": figure([max(t) * to_ms for t in repeats], "ms"),
    }


def run(row: Row, tokens: int, contended: bool) -> list[float]:
    """Seconds of each token, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    if row.spins is not None:
        environment["GOMP_SPINCOUNT"] = row.spins
    child = {
        "threads": row.threads,
        "adaptive": row.adaptive,
        "tokens": tokens,
        "contended": contended,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_threads", "--child", json.dumps(child)],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def run_child(*, threads: int, adaptive: bool, tokens: int, contended: bool) -> list[float]:
    """Seconds of each token, the prompt and two tokens excepted."""
    backend = open_model(threads)
    if not adaptive:
        backend.stop_adapting()
    backend.forward([BatchItem(0, 0, [1] * 16, 1)])
    for position in range(16, 18):
        backend.forward([BatchItem(0, position, [1], 1)])
    other = busy_process() if contended else None
    try:
        return list(time_tokens(backend, tokens))
    finally:
        if other is not None:
            other.kill()
            other.wait()
        backend.close()


def busy_process() -> subprocess.Popen[bytes]:
    """Another program that wants a core, running already."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def time_tokens(backend: LlamaCppBackend, tokens: int) -> list[float]:
    """Seconds of each decode step; fewer of them where they take very long."""
    times: list[float] = []
    started = time.perf_counter()
    for position in range(18, 18 + tokens):
        before = time.perf_counter()
        backend.forward([BatchItem(0, position, [1], 1)])
        times.append(time.perf_counter() - before)
        if before - started > LIMIT_S:
            break
    return times


def open_model(threads: int) -> LlamaCppBackend:
    """The random 0.5B with a number of threads."""
    path: Path = cached_model("qwen2-0.5b-q4_0", QWEN2_0_5B)
    config = EdgeConfig(
        model=str(path), context_size=512, threads=threads, prefix_slots=0, cache_max_mb=0
    )
    backend = load_backend(path, config)
    assert isinstance(backend, LlamaCppBackend)
    return backend


def measure_planning() -> dict[str, Figure]:
    """How long the first load looks for the best number of threads."""
    backend = open_model(usable_cpus())
    started = time.perf_counter()
    backend.time_threads(tuple(dict.fromkeys((usable_cpus(), 1))))
    elapsed = time.perf_counter() - started
    backend.close()
    return {"planning": figure([elapsed], "s", goal=2.0, direction="at_most")}


if __name__ == "__main__":
    main()
