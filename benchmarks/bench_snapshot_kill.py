"""What survives `kill -9` in the middle of writing prefixes to disk, and what the store costs.

Starts a process that saves one snapshot after another in a small folder, evicting all the time, and
kills it at a random moment; then loads every file in the folder and compares each state with the
only one that is right for its tokens. The goal is that no state is ever wrong. A kill spares what
the kernel holds, so this is about our order of steps; what a power cut may leave (short, zeroed,
torn files) is in `tests/engine/test_snapshot_file.py`.

Then the costs: a save waits for the disk in a thread of its own, so what the engine pays is the
offer; a load reads and checks. Looking up is measured with 300 prefixes of 4000 tokens.

    scripts/bench snapshot_kill [--quick] [--kills N] [--folder PATH]

The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.report import Figure, figure, report
from edge_llm.engine.snapshots import SnapshotStore
from tests.support.snapshots import kill_in_the_middle, survey

KILLS = 200
QUICK_KILLS = 20
STATE_BYTES = 50_000_000
NUM_PREFIXES = 300
NUM_TOKENS = 4000
REPEATS = 5


def main() -> None:
    """Run the campaign, then measure the costs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 20 seconds")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--folder", type=Path, help="on the disk to try; a temporary one if not")
    options = parser.parse_args()
    kills = options.kills or (QUICK_KILLS if options.quick else KILLS)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        figures = {
            **campaign(Path(name) / "kills", kills),
            **costs(Path(name) / "costs"),
            **lookups(Path(name) / "lookups"),
        }
    report("snapshot_kill", figures)


def campaign(folder: Path, kills: int) -> dict[str, Figure]:
    """Kill again and again, in one folder, and count what is found each time."""
    total: Counter[str] = Counter()
    for seed in range(kills):
        kill_in_the_middle(folder, seed)
        total += survey(folder)
    bad = ("wrong", "damaged", "unreadable", "too_large", "left_over")
    return {
        "kills": figure([kills], ""),
        "half_written_files": figure([total["half_written"]], ""),
        "right_states_loaded": figure([total["right"]], ""),
        **{name: figure([total[name]], "", goal=0, direction="at_most") for name in bad},
    }


def costs(folder: Path) -> dict[str, Figure]:
    """What one state of 50 MB costs the engine, the thread that writes it, and a restart."""
    state = random.Random(0).randbytes(STATE_BYTES)
    store = create_store(folder)
    offers, saves, opens, loads = [], [], [], []
    for index in range(REPEATS):
        begin = time.perf_counter()
        store.save([index], state, pinned=True)
        offers.append((time.perf_counter() - begin) * 1e3)
        assert store.flush()
        saves.append(STATE_BYTES / 1e6 / (time.perf_counter() - begin))
        begin = time.perf_counter()
        again = create_store(folder)
        opens.append((time.perf_counter() - begin) * 1e3)
        match = again.match([index])
        assert match is not None
        begin = time.perf_counter()
        assert again.load(match) == state
        loads.append(STATE_BYTES / 1e6 / (time.perf_counter() - begin))
    store.close()
    return {
        "offer": figure(offers, "ms", goal=5, direction="at_most"),
        "save_to_disk": figure(saves, "MB/s"),
        "open": figure(opens, "ms"),
        "load_from_page_cache": figure(loads, "MB/s"),
    }


def lookups(folder: Path) -> dict[str, Figure]:
    """Open and search many long prefixes."""
    store = create_store(folder)
    rng = random.Random(0)
    prompt = [rng.randrange(150_000) for _ in range(NUM_TOKENS)]
    for index in range(NUM_PREFIXES):
        # All begin alike and only the last token tells: the worst there is.
        store.save([*prompt[: NUM_TOKENS - 1 - index], -index % 1000], b"state", pinned=True)
        assert store.flush()
    store.close()
    begin = time.perf_counter()
    store = create_store(folder)
    opened = time.perf_counter() - begin
    time.sleep(2.1)  # a folder that changed this lately is scanned again each time
    store.match(prompt)
    seconds = []
    for _ in range(50):
        begin = time.perf_counter()
        store.match(prompt)
        seconds.append((time.perf_counter() - begin) * 1e3)
    return {
        "open_300": figure([opened * 1e3], "ms"),
        "match_300_of_4000_tokens": figure(seconds, "ms", goal=1, direction="at_most"),
    }


def create_store(folder: Path) -> SnapshotStore:
    """A store without limits."""
    return SnapshotStore(folder, "bench", max_bytes=1 << 40, max_daily_write_bytes=1 << 40)


if __name__ == "__main__":
    main()
