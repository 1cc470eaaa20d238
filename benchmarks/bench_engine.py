"""What the engine saves, bounds and keeps of llama.cpp's speed, each measured beside its reference.

On random models of real shapes; the leak test on the built-in model. Parts, which `--parts` picks:

    reuse      first token after a prefix of 1,000 tokens, from RAM and, in a new engine, from disk,
               against computing it
    gaps       time between two tokens of a speaking sequence while a prompt of 2,000 tokens
               arrives, against its gap alone; and that prompt's rate against its rate alone
    pacing     the same for several settings of `max_decode_slowdown`, with a quarter of the prompt
    cancel     from `abort` to an engine without work, while decoding and in a long prefill
    leaks      10,000 short mixed requests: growth of the process, cells and ids left over
    peers      decode, prefill and eight sequences against llama-bench, llama-batched-bench and
               `llama_cpp.Llama.generate`, on 0.5B and 1B, Q4_0 and Q4_K_M, wall and CPU time
    peer_cpu   the part of `peers` that is CPU time, for a machine that others use too
    scaling    tokens per second against the number of sequences, ours and llama-batched-bench's,
               under the bounds of memory and arithmetic

Peers need EDGE_LLM_PEERS, a folder with llama.cpp's programs in `bin`. `--quick` leaves out peers,
scaling and pacing, and uses shorter prompts and 500 requests.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peer_speed
from benchmarks.engine_bounds import cancel, leaks
from benchmarks.engine_gaps import SLOWDOWNS, gaps, pacing
from benchmarks.engine_reuse import shared_prefix
from benchmarks.limits import measure_bandwidth
from benchmarks.peer_cpu import compare_cpu
from benchmarks.peer_speed import PeerModel
from benchmarks.peers import quantized_model
from benchmarks.plots import draw_pacing, draw_scaling
from benchmarks.random_model import QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure, report, show
from benchmarks.scaling import measure_scaling, scaling_figures
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus

PARTS = ("reuse", "gaps", "pacing", "cancel", "leaks", "peers", "peer_cpu", "scaling")
NOT_QUICK = frozenset(("pacing", "peers", "peer_cpu", "scaling"))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    prefix: int
    prompt: int
    requests: int
    repeats: int


FULL = Sizes(prefix=1000, prompt=2000, requests=10_000, repeats=3)
QUICK = Sizes(prefix=250, prompt=300, requests=500, repeats=1)


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison with a peer")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    skipped = skip(arguments.parts, quick=arguments.quick)
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    parts = [name for name in arguments.parts if name not in skipped]
    sizes = QUICK if arguments.quick else FULL
    figures = measure_alone(parts, sizes, arguments.threads)
    figures |= measure_beside_peers(parts, arguments.threads, arguments.rounds)
    report("engine", figures, ["llama-cpp-python", "numpy"], skipped)


def skip(parts: list[str], *, quick: bool) -> dict[str, str]:
    """The parts that are left out, with the reason."""
    skipped = {}
    for name in parts:
        if quick and name in NOT_QUICK:
            skipped[name] = "--quick"
        elif name in ("peers", "peer_cpu", "scaling") and (reason := peer_speed.why_skipped()):
            skipped[name] = reason
    return skipped


def measure_alone(parts: list[str], sizes: Sizes, threads: int) -> dict[str, Figure]:
    """The parts whose reference is ours as well."""
    measures: dict[str, Callable[[Backend], dict[str, Figure]]] = {
        "reuse": lambda backend: shared_prefix(backend, sizes.prefix, sizes.repeats),
        "gaps": lambda backend: gaps(backend, sizes.prompt, sizes.repeats),
        "pacing": lambda backend: draw_and_return(
            pacing(backend, sizes.prompt // 4, sizes.repeats)
        ),
        "cancel": lambda backend: cancel(backend, sizes.prompt, sizes.repeats),
        "leaks": lambda backend: leaks(sizes.requests),
    }
    wanted = [name for name in measures if name in parts]
    if not wanted:
        return {}
    config = EdgeConfig(context_size=4096, threads=threads, max_num_seqs=4)
    backend = load_backend(cached_model("qwen2-0.5b-q4_0", QWEN2_0_5B), config)
    figures: dict[str, Figure] = {}
    for name in wanted:
        print(name, file=sys.stderr)
        figures |= measures[name](backend)
    backend.close()
    return figures


def draw_and_return(figures: dict[str, Figure]) -> dict[str, Figure]:
    """The figures of pacing, drawn on the way."""
    draw_pacing(figures, SLOWDOWNS)
    return figures


def measure_beside_peers(parts: list[str], threads: int, rounds: int) -> dict[str, Figure]:
    """The parts in which llama.cpp's own programs run in turn with ours."""
    figures: dict[str, Figure] = {}
    if "peers" in parts:
        figures |= each_model(lambda m, path: peer_speed.compare(m, path, threads, rounds))
    if "peers" in parts or "peer_cpu" in parts:
        figures |= each_model(lambda m, path: compare_cpu(m.prefix, path, rounds))
    if "scaling" in parts:
        bandwidth = measure_bandwidth(threads)
        scaling = measure_scaling(threads, bandwidth, rounds)
        figures["scaling.read_bandwidth"] = figure([bandwidth / 1e9], "GB/s")
        figures |= scaling_figures(scaling)
        draw_scaling(scaling)
    return figures


def each_model(
    measure: Callable[[PeerModel, Path], dict[str, Figure]],
) -> dict[str, Figure]:
    """What `measure` finds on each model that peers run, shown as it is found."""
    figures: dict[str, Figure] = {}
    for model in peer_speed.MODELS:
        path = quantized_model(model.name, model.shape, model.kind, usable_cpus())
        found = measure(model, path)
        show(found)
        figures |= found
    return figures


if __name__ == "__main__":
    main()
