"""Snapshots whose state follows from their tokens, so that any reader can tell if it is right.

`python -m tests.support.snapshots FOLDER SEED` saves such snapshots until it is killed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from edge_llm.engine import snapshot_folder
from edge_llm.engine.snapshot_file import TOKEN_BYTES
from edge_llm.engine.snapshot_folder import SnapshotFolder
from edge_llm.engine.snapshots import SnapshotStore

FINGERPRINT = "a model and its settings"
MAX_BYTES = 6_000_000
MAX_STATE_BYTES = 1_000_000


def expected_state(tokens: tuple[int, ...]) -> bytes:
    """The only state that is right for these tokens."""
    rng = random.Random(repr(tokens))
    return rng.randbytes(rng.randrange(1000, MAX_STATE_BYTES))


def open_store(folder: Path) -> SnapshotStore:
    """A store of few megabytes and no daily limit, so that it evicts all the time."""
    return SnapshotStore(
        folder, FINGERPRINT, max_bytes=MAX_BYTES, max_daily_write_bytes=1 << 50, label="tiny"
    )


def save_for_ever(folder: Path, seed: int) -> None:
    """Save one snapshot after another; say so once the first is on disk."""
    # Many small writes: most of the time then goes by between them, where a kill does most harm.
    snapshot_folder.WRITE_BYTES = 128
    rng = random.Random(seed)
    store = open_store(folder)
    for count in range(1_000_000):
        tokens = tuple(rng.randrange(50_000) for _ in range(rng.randrange(1, 200)))
        store.save(tokens, expected_state(tokens), pinned=True)
        store.flush()
        if count == 0:
            print("saving", flush=True)  # noqa: T201


def kill_in_the_middle(folder: Path, seed: int) -> None:
    """Start a process that saves, and kill it at some time after its first snapshot."""
    command = [sys.executable, "-m", "tests.support.snapshots", str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "saving\n"
        time.sleep(random.Random(seed).random() * 0.1)
        child.send_signal(signal.SIGKILL)


def survey(folder: Path) -> Counter[str]:
    """What was found how often: `right` and `wrong` states, `damaged` and `half_written` files."""
    found: Counter[str] = Counter()
    found["half_written"] = sum(name.suffix == ".tmp" for name in folder.iterdir())
    store = open_store(folder)
    for file in SnapshotFolder(folder).scan():
        match = store._index._entries.get(file.name)
        state = None if match is None else store.load(match)
        if match is None or state is None:
            found["unreadable"] += 1
            continue
        raw = match.header.tokens
        steps = range(0, len(raw), TOKEN_BYTES)
        tokens = tuple(int.from_bytes(raw[i : i + TOKEN_BYTES], "little") for i in steps)
        found["right" if state == expected_state(tokens) else "wrong"] += 1
    found["damaged"] = store.stats().damaged
    found["too_large"] = sum(f.num_bytes for f in SnapshotFolder(folder).scan()) > MAX_BYTES
    found["left_over"] = sum(name.suffix == ".tmp" for name in folder.iterdir())
    store.close()
    return found


if __name__ == "__main__":
    save_for_ever(Path(sys.argv[1]), int(sys.argv[2]))
