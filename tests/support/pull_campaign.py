"""Interrupts pulls at random bytes, in every way that happens, and looks at what is left."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_llm.errors import ModelNotInstalledError
from edge_llm.hub.cache_layout import PARTIAL_SUFFIX, RepoFolder, repo_folder
from edge_llm.hub.installed import find_installed, installed_models
from edge_llm.hub.reference import parse_reference
from tests.support.hub_server import Fault, HubServer

Kind = Literal["killed", "closed", "reset"]
KINDS: tuple[Kind, ...] = ("killed", "closed", "reset")
"""The process dies at once; the connection ends; the connection is reset."""

REPO = "acme/split-GGUF"
PATIENCE_S = 300.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What became of some interrupted pulls."""

    interruptions: Counter[Kind] = field(default_factory=Counter)
    completed: int = 0
    wrong_bytes: int = 0
    """Files that are not what the hub has, under the name of their hash or in the model."""
    loadable_parts: int = 0
    """Times that an unfinished model could have been loaded."""
    bytes_sent: int = 0
    bytes_wanted: int = 0
    problems: list[str] = field(default_factory=list)


def run_campaign(
    files: dict[str, bytes], *, count: int, per_pull: int, seed: int, folder: Path
) -> Outcome:
    """Interrupt pulls of `files` `count` times, `per_pull` times each before it may finish."""
    rng = random.Random(seed)
    outcome = Outcome()
    pull_number = 0
    while outcome.interruptions.total() < count:
        left = min(per_pull, count - outcome.interruptions.total())
        cache = folder / f"pull-{pull_number}"
        pull_number += 1
        with HubServer() as hub:
            hub.add_repo(REPO, files)
            _interrupted_pull(hub, cache, rng, left, outcome)
            outcome.bytes_sent += hub.bytes_sent
            outcome.bytes_wanted += sum(map(len, files.values()))
        _check_whole(files, cache, outcome)
        _remove(cache)
    return outcome


def _interrupted_pull(
    hub: HubServer, cache: Path, rng: random.Random, count: int, outcome: Outcome
) -> None:
    """One pull with `count` interruptions at random bytes, ended by one that may finish."""
    total = sum(file.size for file in hub.repos[REPO].commits[hub.repos[REPO].main].values())
    # A transfer that goes on sends what is missing, so shares of it spread over the whole.
    for index in range(count):
        kind = rng.choice(KINDS)
        left = total - _arrived(cache)
        after = rng.randrange(max(1, 2 * left // (count - index + 1)))
        _interrupt(hub, cache, kind, after, outcome)
        outcome.interruptions[kind] += 1
        _check_unfinished(cache, outcome)
    hub.clear_faults()
    with _pulling(hub, cache) as process:
        if process.wait(PATIENCE_S) == 0:
            outcome.completed += 1
        else:
            outcome.problems.append((process.stderr.read() if process.stderr else "")[-2000:])


def _interrupt(hub: HubServer, cache: Path, kind: Kind, after: int, outcome: Outcome) -> None:
    """Run a pull and end it `after` bytes of it; connections stay broken until it gives up."""
    hub.clear_faults()
    sent_before = hub.bytes_sent
    broken = _BreakAfter(hub, sent_before + after, kind)
    with broken, _pulling(hub, cache) as process:
        if kind == "killed":
            while not broken.reached.wait(0.01) and process.poll() is None:
                pass
            process.kill()
        process.wait(PATIENCE_S)


class _BreakAfter:
    """Lets a hub send so many bytes in all, and then nothing more, on any connection."""

    def __init__(self, hub: HubServer, limit: int, kind: Kind) -> None:
        self._hub = hub
        self._hold = threading.Event() if kind == "killed" else None
        self.reached = threading.Event()
        hub.break_after(
            limit, Fault("*", is_reset=kind == "reset", hold=self._hold, reached=self.reached)
        )

    def __enter__(self) -> _BreakAfter:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._hold is not None:
            self._hold.set()
        self._hub.break_after(None, None)


@contextmanager
def _pulling(hub: HubServer, cache: Path) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.pull_child", REPO],
        env={**environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(cache)},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _folder(cache: Path) -> RepoFolder:
    return repo_folder(REPO, cache / "hub")


def _arrived(cache: Path) -> int:
    return sum(path.stat().st_size for path in _folder(cache).blobs.glob("*"))


def _check_unfinished(cache: Path, outcome: Outcome) -> None:
    """Nothing of an unfinished pull may be loadable, and no content under a wrong name."""
    if installed_models(cache / "hub"):
        outcome.loadable_parts += 1
    try:
        find_installed(parse_reference(REPO), root=cache / "hub")
        outcome.loadable_parts += 1
    except ModelNotInstalledError:
        pass
    snapshots = _folder(cache).path / "snapshots"
    outcome.loadable_parts += sum(path.suffix == ".gguf" for path in snapshots.rglob("*"))


def _check_whole(files: dict[str, bytes], cache: Path, outcome: Outcome) -> None:
    """A finished pull has every byte of every file, and nothing that is left over."""
    folder = _folder(cache)
    for commit in folder.commits():
        for name, data in files.items():
            path = folder.snapshot(commit) / name
            outcome.wrong_bytes += not path.is_file() or path.read_bytes() != data
    for blob in folder.blobs.glob("*"):
        if blob.name.endswith(PARTIAL_SUFFIX):
            outcome.problems.append(f"{blob.name} is left over")
            continue
        outcome.wrong_bytes += hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name
    if len(installed_models(cache / "hub")) != 1:
        outcome.problems.append("a finished pull is not installed")


def _remove(cache: Path) -> None:
    import shutil

    shutil.rmtree(cache)
