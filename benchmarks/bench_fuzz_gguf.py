"""How safe is it to open a model file from a stranger? Damaged copies, loaded in a child process.

Makes mutants of GGUF files (bits, truncations, planted counts, swapped types, keys, tensors and
hyper-parameters changed) and gives each to a child that reads and checks it in Python and, if it
passes, loads it natively and decodes. Counts how the child ends: the goal is that it never dies
and never hangs. With `--peer`, llama.cpp gets the same mutants unchecked, for comparison.

    scripts/bench fuzz_gguf [--quick] [--count N] [--seed N] [--peer] [FILE ...]

The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.report import Figure, figure, report
from edge_llm.hub.gguf import check_loadable, read_gguf
from tests.support.gguf_campaign import run_campaign
from tests.support.gguf_files import TinySpec, write_tiny_model
from tests.support.gguf_mutants import load_base, mutants

ROOT = Path(__file__).resolve().parents[1]

SPECS = {
    "llama": TinySpec(),
    "llama-sentencepiece-q8": TinySpec(tokenizer="llama", storage="Q8_0"),
    "llama-experts": TinySpec(experts=4),
    "qwen2": TinySpec(arch="qwen2"),
    "qwen3": TinySpec(arch="qwen3"),
    "gemma3": TinySpec(arch="gemma3", tokenizer="llama"),
}
OUTCOMES = ("refused", "native", "nan", "works", "memory", "crash", "hang")
COUNT = 6000
QUICK_COUNT = 1200
LARGE_VOCABULARY = 152_000


def main() -> None:
    """Run the campaign and print a table and the figures."""
    options = parse_options()
    count = options.count or (QUICK_COUNT if options.quick else COUNT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = options.files or [*tiny_bases(folder), *sorted(ROOT.glob("models/builtin/*.gguf"))]
        total = campaign(bases, count, options.seed, folder)
        peer = campaign(bases, count, options.seed, folder, "--unchecked") if options.peer else None
        seconds = read_seconds(folder)
    report("fuzz_gguf", figures(total, peer, seconds), ["llama-cpp-python"])


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 45 seconds")
    parser.add_argument("--count", type=int, help="mutants in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="also llama.cpp without our checks")
    parser.add_argument("files", nargs="*", type=Path, help="models to damage")
    return parser.parse_args()


def tiny_bases(folder: Path) -> list[Path]:
    """One tiny model for each of `SPECS`."""
    return [write_tiny_model(folder / f"{name}.gguf", spec) for name, spec in SPECS.items()]


def campaign(
    bases: Iterable[Path], count: int, seed: int, folder: Path, *child: str
) -> Counter[str]:
    """How often each outcome came, over all bases."""
    paths = list(bases)
    total: Counter[str] = Counter()
    title = "llama.cpp alone" if child else "with checks"
    print(f"\n{title:28}" + "".join(f"{name:>9}" for name in OUTCOMES) + f"{'seconds':>9}")
    for path in paths:
        start = time.perf_counter()
        outcomes: Counter[str] = Counter()
        damaged = mutants(load_base(path), count // len(paths), seed)
        for verdict in run_campaign(damaged, folder, *child):
            outcomes[verdict.outcome] += 1
            if verdict.outcome in ("crash", "hang") and not child:
                print(f"  {verdict.outcome}: {verdict.label}: {verdict.detail[-120:]!r}")
        cells = "".join(f"{outcomes[name]:9}" for name in OUTCOMES)
        print(f"{path.stem:28}{cells}{time.perf_counter() - start:9.1f}", flush=True)
        total += outcomes
    return total


def read_seconds(folder: Path) -> float:
    """Time to read and check a model with a large vocabulary: the best of three."""
    path = write_tiny_model(folder / "large.gguf", extra_tokens=LARGE_VOCABULARY, storage="Q8_0")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        check_loadable(read_gguf(path))
        times.append(time.perf_counter() - start)
    return min(times)


def figures(total: Counter[str], peer: Counter[str] | None, seconds: float) -> dict[str, Figure]:
    """The outcomes as figures."""
    count = total.total()
    found = {
        "mutants": figure([count], "files"),
        "crashes_and_hangs": figure(
            [deaths(total)],
            "files",
            goal=0,
            direction="at_most",
            peer=None if peer is None else deaths(peer),
        ),
        "out_of_memory": figure([total["memory"]], "files", goal=0, direction="at_most"),
        "read_and_check_152k_tokens": figure([seconds], "s", goal=0.5, direction="at_most"),
    }
    for outcome in ("refused", "native", "nan", "works"):
        found[f"share_{outcome}"] = figure([total[outcome] / count], "of mutants")
    return found


def deaths(outcomes: Counter[str]) -> int:
    """Files that ended the child or kept it for ever."""
    return outcomes["crash"] + outcomes["hang"]


if __name__ == "__main__":
    main()
