"""What a pull survives, what is foretold of memory and speed, what a look at a header costs.

Parts, which `--parts` picks:

    pull       a split model of 200 MB from a hub on loopback, interrupted 200 times at random
               bytes: the process killed, the connection closed or reset. Every resume must
               complete with every byte right, and nothing unfinished may ever be loadable
    speed      memory and speed foretold from the file alone, against what a process takes and does
    inspect    the header of a file of 4 GB on the hub: what is read of it, and how long it takes

`--quick` takes 12 MB and 12 interruptions, and the small end of the rest.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.util import find_spec

from benchmarks.report import Figure, report, show

PARTS = ("pull", "speed", "inspect")


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    figures: dict[str, Figure] = {}
    skipped = {}
    for name in arguments.parts:
        module = f"benchmarks.models_{name}"
        if find_spec(module) is None:
            skipped[name] = f"there is no {module}"
            continue
        print(name, file=sys.stderr)
        found: dict[str, Figure] = importlib.import_module(module).measure_part(
            quick=arguments.quick
        )
        show(found)
        figures |= found
    report("models", figures, ["huggingface-hub", "llama-cpp-python"], skipped)


if __name__ == "__main__":
    main()
