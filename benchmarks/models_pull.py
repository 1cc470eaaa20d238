"""Pulls of a split model that are interrupted at random bytes: killed, closed, reset."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.report import Figure, figure
from tests.support.gguf_files import TinySpec
from tests.support.hub_models import split_gguf
from tests.support.pull_campaign import run_campaign

PARTS = 4
LARGE = TinySpec(width=1024, heads=16, kv_heads=8, feed_forward=3072, layers=4)
"""200 MB in F32."""
SMALL = TinySpec(width=256, heads=8, kv_heads=4, feed_forward=768, layers=4)
"""12 MB."""
INTERRUPTIONS, QUICK_INTERRUPTIONS = 200, 12
PER_PULL = 10


def measure_part(*, quick: bool, seed: int = 0) -> dict[str, Figure]:
    """What became of the interrupted pulls; in seconds with `quick`, on a small model."""
    files = split_gguf("random-F32", PARTS, SMALL if quick else LARGE)
    count = QUICK_INTERRUPTIONS if quick else INTERRUPTIONS
    with tempfile.TemporaryDirectory() as scratch:
        outcome = run_campaign(
            files, count=count, per_pull=PER_PULL, seed=seed, folder=Path(scratch)
        )
    for problem in outcome.problems:
        print(problem, file=sys.stderr)
    pulls = -(-count // PER_PULL)
    size_mb = sum(map(len, files.values())) / 1e6
    figures = {
        "pull_size": figure([size_mb], "MB"),
        "pull_interruptions": figure([outcome.interruptions.total()], "", goal=count),
        "pull_resumes_completed": figure([outcome.completed / pulls], "of pulls", goal=1.0),
        "pull_wrong_files": figure([outcome.wrong_bytes], "", goal=0, direction="at_most"),
        "pull_partial_loadable": figure([outcome.loadable_parts], "", goal=0, direction="at_most"),
        "pull_sent_over_wanted": figure([outcome.bytes_sent / outcome.bytes_wanted], "times"),
    }
    for kind, times in sorted(outcome.interruptions.items()):
        figures[f"pull_{kind}"] = figure([times], "interruptions")
    return figures
