"""How safe is it to open an ONNX folder from a stranger? Damaged copies, loaded in a child process.

Makes mutants of graphs and of tokenizer.json files (bits, cuts, fields dropped, repeated, exchanged
or changed) and gives each to a child that reads and checks it in Python and, if it passes, loads it
natively and decodes. Counts how the child ends: the goal is that it never dies and never hangs.
With `--peer`, onnxruntime gets the same graphs unchecked, for comparison.

    scripts/bench fuzz_onnx [--quick] [--count N] [--seed N] [--peer]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.report import Figure, figure, report
from tests.support.onnx_campaign import LAYOUTS, TOKENIZERS, run_campaign

COUNT = 3500
QUICK_COUNT = 700
DEADLY = ("crash", "hang", "memory")


def main() -> None:
    """Run the campaign and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="under 45 seconds")
    parser.add_argument("--count", type=int, help="mutants in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="also onnxruntime without our checks")
    options = parser.parse_args()
    count = options.count or (QUICK_COUNT if options.quick else COUNT)
    total = campaign([*LAYOUTS, *TOKENIZERS], count, options.seed)
    peer = campaign([*LAYOUTS], count, options.seed, "--unchecked") if options.peer else None
    report("fuzz_onnx", figures(total, peer), ["onnxruntime", "tokenizers"])


def campaign(names: list[str], count: int, seed: int, *options: str) -> Counter[str]:
    """How often each outcome came, over all layouts and tokenizers."""
    total: Counter[str] = Counter()
    for name in names:
        outcomes: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            verdicts = run_campaign(
                name, count // len(names), seed=seed, folder=Path(folder), options=options
            )
            for verdict in verdicts:
                outcomes[verdict.outcome] += 1
                if verdict.outcome in DEADLY:
                    print(f"  {verdict.outcome}: {verdict.label}: {verdict.detail[-120:]!r}")
        print(f"{name:16}", dict(outcomes), flush=True)
        total += outcomes
    return total


def figures(total: Counter[str], peer: Counter[str] | None) -> dict[str, Figure]:
    """The outcomes as figures."""
    count = total.total()
    found = {
        "mutants": figure([count], "files"),
        "deaths": figure(
            [deaths(total)], "files", goal=0, direction="at_most",
            peer=None if peer is None else deaths(peer),
        ),
    }  # fmt: skip
    for outcome in ("refused", "native", "nan", "works"):
        found[f"share_{outcome}"] = figure([total[outcome] / count], "of mutants")
    return found


def deaths(outcomes: Counter[str]) -> int:
    """Files that ended the child, kept it for ever or took all memory."""
    return sum(outcomes[name] for name in DEADLY)


if __name__ == "__main__":
    main()
