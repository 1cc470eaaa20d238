"""Whether the memory that is estimated before loading is the memory that loading takes.

A model whose weights lie in a mapped file takes memory in three ways. Its file's pages count as
resident once they are read, but the kernel drops them when others need the room. Kernels that want
another layout copy weights into anonymous memory; the pages of the originals are not read again. KV
cache and activations are anonymous.

A child process loads a random model as the runtime does, fills one batch, decodes one token for
each sequence and reads its resident set. Set against the estimate is the growth of that, less what
llama.cpp logs as copied weights, whose originals are resident only until the room is needed.

`--quick` takes fewer shapes.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.random_model import LLAMA_3_2_1B, QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.llama_cpp.native import load_library
from edge_llm.config import EdgeConfig, KVCacheType

GOAL = 0.1
"""Largest relative error of the estimate."""

SHAPES = {
    "0.5b": ("qwen2-0.5b-q4_0", QWEN2_0_5B),
    "1b_tied": ("llama-1b-tied", replace(LLAMA_3_2_1B, tied=True)),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One way to load a model."""

    model: str
    context_size: int
    kv_cache_type: KVCacheType = "f16"
    max_num_seqs: int = 4
    prefix_slots: int = 16

    @property
    def name(self) -> str:
        """A key of the report."""
        return f"{self.model}.{self.context_size}.{self.kv_cache_type}.{self.max_num_seqs}_seqs"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one load took, in bytes."""

    estimated: int
    resident: int
    """Growth of the resident set."""
    copied: int
    """Of that, pages of weights that are there in another layout too."""


def main() -> None:
    """Measure every case; or, as a child, one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(asdict(run_child(Case(**arguments.child)))))
        return
    figures: dict[str, Figure] = {}
    for case in make_cases(arguments.quick):
        print(case.name, file=sys.stderr)
        figures |= make_figures(case, run(case))
    report("memory", figures, ["llama-cpp-python"])


def make_cases(quick: bool) -> Iterator[Case]:
    """Contexts, types of KV cache and numbers of sequences, one after the other."""
    yield Case("0.5b", 512, max_num_seqs=1, prefix_slots=0)
    yield Case("0.5b", 4096)
    yield Case("0.5b", 8192, "q8_0")
    if quick:
        return
    yield Case("0.5b", 512, "q8_0", max_num_seqs=16)
    yield Case("0.5b", 8192, max_num_seqs=16)
    yield Case("1b_tied", 512, max_num_seqs=1, prefix_slots=0)
    yield Case("1b_tied", 4096)
    yield Case("1b_tied", 8192)
    yield Case("1b_tied", 8192, "q8_0", max_num_seqs=16)


def make_figures(case: Case, outcome: Outcome) -> dict[str, Figure]:
    """Estimate, measurement, and the error of one against the other."""
    needed = outcome.resident - outcome.copied
    error = abs(outcome.estimated - needed) / needed
    mib = 2**20
    return {
        f"{case.name}.estimated": figure([outcome.estimated / mib], "MiB", peer=needed / mib),
        f"{case.name}.resident": figure([outcome.resident / mib], "MiB"),
        f"{case.name}.error": figure([error], "ratio", goal=GOAL, direction="at_most"),
    }


def run(case: Case) -> Outcome:
    """Load in a process of its own."""
    name, shape = SHAPES[case.model]
    cached_model(name, shape)
    command = [sys.executable, "-m", "benchmarks.bench_memory", "--child"]
    done = subprocess.run(
        [*command, json.dumps(asdict(case))], stdout=subprocess.PIPE, check=True, text=True
    )
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def run_child(case: Case) -> Outcome:
    """Load, compute a batch and a step, and look."""
    name, shape = SHAPES[case.model]
    path = cached_model(name, shape)
    config = EdgeConfig(
        model=str(path),
        context_size=case.context_size,
        kv_cache_type=case.kv_cache_type,
        max_num_seqs=case.max_num_seqs,
        prefix_slots=case.prefix_slots,
        threads=2,
        cache_max_mb=0,
    )
    load_library()
    copied = CopiedWeights()
    before = resident_bytes()
    backend = load_backend(path, config)
    use(backend)
    estimate = backend.info.memory
    assert estimate is not None
    outcome = Outcome(estimate.total, resident_bytes() - before, copied.num_bytes)
    backend.close()
    return outcome


def use(backend: Backend) -> None:
    """One full batch, then a token for every sequence that may run."""
    limits = backend.capabilities
    length = min(limits.max_num_batched_tokens, limits.num_kv_cells - 2 * limits.max_num_seqs)
    backend.forward([BatchItem(0, 0, [7] * length, 1)])
    for seq_id in range(1, limits.max_num_seqs):
        backend.forward([BatchItem(seq_id, 0, [7], 1)])
    starts = [length] + [1] * (limits.max_num_seqs - 1)
    backend.forward([BatchItem(seq, start, [7], 1) for seq, start in enumerate(starts)])


def resident_bytes() -> int:
    """Resident set of this process, pages of files included. Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")


class CopiedWeights(logging.Handler):
    """Listens to llama.cpp for buffers that hold weights in another layout."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0
        logger = logging.getLogger("edge_llm.llama_cpp")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        found = re.search(r"REPACK model buffer size *= *([\d.]+) MiB", record.getMessage())
        if found:
            self.num_bytes += int(float(found[1]) * 2**20)


if __name__ == "__main__":
    main()
