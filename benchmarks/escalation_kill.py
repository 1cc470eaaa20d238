"""What survives `kill -9` in the middle of writing budgets and deferred requests.

Two programs at a time work on one file and are killed at random moments: one kind reserves, pays a
pretended provider and settles; the other stores requests, answers and takes them. Then the account
is held against what was paid, and the queue against what was told; at the end each queue is worked
off. A kill spares what the kernel holds, so this is about the order of our steps.

Part of `bench_escalation`; alone: `python -m benchmarks.escalation_kill [--kills N]`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile

from benchmarks.report import Figure, figure, report

KILLS = 2000
QUICK_KILLS = 40

BUDGET_GOALS = ("overspent", "counted_too_little", "counted_over_limit")
QUEUE_GOALS = (
    "lost", "changed", "answered_twice", "delivered_twice", "delivered_unmarked",
    "not_delivered_in_the_end",
)  # fmt: skip


def measure(kills: int) -> dict[str, Figure]:
    """Half of the kills on budgets, half on queues: what was done, and what must be 0."""
    budget, queue = _campaign("budget", kills // 2), _campaign("queue", kills - kills // 2)
    return {
        "kills": figure([budget["kills"] + queue["kills"]], ""),
        "kill_payments": figure([budget["payments"]], ""),
        "kill_refusals": figure([budget["refusals"]], ""),
        "kill_requests_stored": figure([queue["puts"]], ""),
        "kill_answers_stored": figure([queue["answereds"]], ""),
        "kill_answers_taken": figure([queue["tooks"]], ""),
        **{f"kill_{name}": _must_be_0(budget, name) for name in BUDGET_GOALS},
        **{f"kill_{name}": _must_be_0(queue, name) for name in QUEUE_GOALS},
    }


def _must_be_0(found: dict[str, int], name: str) -> Figure:
    return figure([found.get(name, 0)], "", goal=0, direction="at_most")


def _campaign(what: str, kills: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.escalation_kill", what, folder, str(kills), "1"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main() -> None:
    """Run the campaigns alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 20 seconds")
    parser.add_argument("--kills", type=int)
    options = parser.parse_args()
    report("escalation_kill", measure(options.kills or (QUICK_KILLS if options.quick else KILLS)))


if __name__ == "__main__":
    main()
