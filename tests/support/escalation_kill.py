"""Programs that are killed in the middle of writing budgets and deferred requests, and the survey.

    python -m tests.support.escalation_kill budget|queue FOLDER KILLS SEED

A process of its own with one thread, so that it may fork. Its children work on the real files and
tell each step through a pipe, before and after; the last line on stdout is the survey as JSON. A
kill spares what the kernel holds: this is about our order of steps, not about a disk that lies.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge_llm.cloud.budget import open_budget
from edge_llm.config import BudgetConfig
from edge_llm.device.clock import Moment
from edge_llm.errors import BudgetExceededError, LeaseLostError
from edge_llm.runtime.deferred import DeferredQueue, open_deferred_queue
from edge_llm.runtime.deferred_types import DeferredState, QueueLimits

CHILDREN = 2
"""That work on one file at the same time, and are killed one after the other."""

MAX_LIFE_S = 0.03

ROUNDS_PER_BUDGET = 20
"""After so many kills a new account begins, so that limits are met and do not end the work."""

LIMIT_CENTS = 300
MOST_CENTS = 20
NOON = 1_795_348_800.0

LIMITS = QueueLimits(
    max_waiting=10**6, lease_s=5.0, max_attempts=10**6, expires_in_s=1e9, keep_ended_s=1e9
)

Say = Callable[..., None]
Work = Callable[[Say, random.Random], None]


def run_children(work: Work, rng: random.Random) -> list[list[list[str]]]:
    """What the children told, word by word and line by line, before they were killed."""
    started = [_start(work, rng.random()) for _ in range(CHILDREN)]
    for pid, pipe in started:
        # Its first line says that it works; from then on any moment is as good as another.
        while (char := os.read(pipe, 1)) != b"\n":
            if not char:
                raise RuntimeError("a child ended by itself; what it said is above")
        time.sleep(rng.random() * MAX_LIFE_S)
        os.kill(pid, signal.SIGKILL)
    told = []
    for pid, pipe in started:
        os.waitpid(pid, 0)
        with os.fdopen(pipe, "rb") as stream:
            lines = stream.read().split(b"\n")[:-1]
        told.append([line.decode().split() for line in lines])
    return told


def _start(work: Work, seed: float) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading

    # Or it would wait for ever for itself to read, once the parent is gone.
    os.close(reading)

    def say(*words: object) -> None:
        os.write(writing, (" ".join(map(str, words)) + "\n").encode())

    # Whatever happens in here, the parent's work is not done twice.
    try:
        work(say, random.Random(seed))
    except BaseException:  # noqa: BLE001 — said, and then it ends
        traceback.print_exc()
    finally:
        os._exit(1)


def spend(path: Path) -> Work:
    """Reserve, spend at the provider, settle or release, for as long as one lives."""

    def work(say: Say, rng: random.Random) -> None:
        limits = BudgetConfig(daily_usd=LIMIT_CENTS / 100)
        budget = open_budget(path, limits, clock=lambda: NOON)
        say("ready")
        while True:
            cents = rng.randrange(1, MOST_CENTS)
            try:
                held = budget.reserve(cents / 100, 1)
            except BudgetExceededError:
                say("refused")
                continue
            if rng.random() < 0.3:
                held.release()
                continue
            cost = rng.randrange(1, cents + 1)
            say("spent", cost)
            held.settle(cost / 100, 1)

    return work


def kill_spenders(folder: Path, kills: int, seed: int) -> Counter[str]:
    """The survey: what the provider was paid against what the account says and the limit."""
    rng, found = random.Random(seed), Counter[str]()
    paid, path = 0, folder / "unused"
    for index in range(0, kills, CHILDREN):
        if index % ROUNDS_PER_BUDGET == 0:
            paid, path = 0, folder / f"budget-{index}.sqlite"
        told = run_children(spend(path), rng)
        found["kills"] += CHILDREN
        paid += sum(int(line[1]) for lines in told for line in lines if line[0] == "spent")
        found["payments"] += sum(line[0] == "spent" for lines in told for line in lines)
        found["refusals"] += sum(line[0] == "refused" for lines in told for line in lines)
        budget = open_budget(path, BudgetConfig(), clock=lambda: NOON)
        counted = round(budget.status().day.usd * 100)
        budget.close()
        found["overspent"] += paid > LIMIT_CENTS
        found["counted_too_little"] += counted < paid
        found["counted_over_limit"] += counted > LIMIT_CENTS
    return found


def defer(path: Path, moment: Moment, prefix: str) -> Work:
    """Put, answer and take requests, for as long as one lives."""

    def work(say: Say, rng: random.Random) -> None:
        queue = open_deferred_queue(path, LIMITS, clock=lambda: moment)
        say("ready")
        own = f"{prefix}-{os.getpid()}"
        for number in range(10**9):
            key = f"{own}-{number}"
            say("put", key, queue.put({"key": key}, key=key))
            if rng.random() < 0.8:
                _answer(queue, say)
            if rng.random() < 0.8 and (taken := queue.take()) is not None:
                say("took", taken.id, (taken.answer or {})["token"])

    return work


def _answer(queue: DeferredQueue, say: Say) -> None:
    lease = queue.lease()
    if lease is None:
        return
    say("paid", lease.id)
    with contextlib.suppress(LeaseLostError):
        queue.answer(lease, {"token": lease.token})
        say("answered", lease.id, lease.token)


def _open_at(path: Path, moment: Moment) -> DeferredQueue:
    return open_deferred_queue(path, LIMITS, clock=lambda: moment)


class Survey:
    """Owns what all children told of one queue, and holds it against the file."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.put: dict[str, str] = {}
        self.answers: dict[str, int] = {}
        self.takes: Counter[str] = Counter()

    def hear(self, told: list[list[list[str]]]) -> None:
        """Take in what the children said."""
        for word, *rest in (line for lines in told for line in lines):
            self.found[f"{word}s"] += 1
            if word == "put":
                self.put[rest[0]] = rest[1]
            elif word == "took":
                self.takes[rest[0]] += 1
            if word in ("answered", "took"):
                known = self.answers.setdefault(rest[0], int(rest[1]))
                self.found["answered_twice"] += known != int(rest[1])

    def look(self, queue: DeferredQueue) -> None:
        """Count what is lost, and answers that are not what was told."""
        there = {one.id: one for one in queue.list()}
        for request_id in self.put.values():
            self.found["lost"] += request_id not in there
        for request_id, token in self.answers.items():
            one = there.get(request_id)
            self.found["changed"] += one is None or one.answer != {"token": token}
        for request_id, times in self.takes.items():
            self.found["delivered_twice"] += times > 1
            is_marked = there[request_id].state is DeferredState.DELIVERED
            self.found["delivered_unmarked"] += not is_marked


def kill_workers(folder: Path, kills: int, seed: int) -> Counter[str]:
    """The survey of queues that workers were killed on, each worked off to its end."""
    rng, total = random.Random(seed), Counter[str]()
    for begin in range(0, kills, ROUNDS_PER_BUDGET):
        path, survey = folder / f"queue-{begin}.sqlite", Survey()
        for index in range(begin, min(kills, begin + ROUNDS_PER_BUDGET), CHILDREN):
            # Each round later than the last by more than a lease.
            moment = Moment(NOON + index * 10, index * 10.0, "boot")
            survey.hear(run_children(defer(path, moment, str(index)), rng))
            survey.found["kills"] += CHILDREN
        end = Moment(NOON + kills * 10 + 100, kills * 10.0 + 100, "boot")
        queue = _open_at(path, end)
        survey.look(queue)
        while (lease := queue.lease()) is not None:
            queue.answer(lease, {"token": lease.token})
        while (taken := queue.take()) is not None:
            survey.hear([[["took", taken.id, str((taken.answer or {})["token"])]]])
        survey.look(queue)
        left = [one for one in queue.list() if one.state is not DeferredState.DELIVERED]
        survey.found["not_delivered_in_the_end"] += len(left)
        queue.close()
        total += survey.found
    return total


def main() -> None:
    """Run one campaign."""
    what, folder, kills, seed = sys.argv[1:]
    campaign = {"budget": kill_spenders, "queue": kill_workers}[what]
    sys.stdout.write(json.dumps(campaign(Path(folder), int(kills), int(seed))) + "\n")


if __name__ == "__main__":
    main()
