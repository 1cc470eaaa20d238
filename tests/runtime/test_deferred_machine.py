"""Whatever workers and callers do in whatever order: nothing is lost, nothing is answered twice."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from edge_llm.device.clock import Moment
from edge_llm.errors import LeaseLostError
from edge_llm.runtime.deferred import DeferredQueue
from edge_llm.runtime.deferred_rows import SCHEMA
from edge_llm.runtime.deferred_types import DeferredState, Lease, QueueLimits
from edge_llm.store import open_store

LIMITS = QueueLimits(
    lease_s=60.0, max_attempts=3, expires_in_s=1000.0, keep_ended_s=10.0**12, max_waiting=10**6
)


class QueueMachine(RuleBasedStateMachine):
    """Two programs on one file; `current` is the model: who may answer what."""

    leases = Bundle("leases")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "deferred.sqlite"
        self.now = Moment(1_800_000_000.0, 0.0, "0")
        # Without waiting for the disk: no power is cut here.
        self.queues = [
            DeferredQueue(open_store(path, SCHEMA, durable=False), LIMITS, lambda: self.now)
            for _ in range(2)
        ]
        self.put_ids: list[str] = []
        self.current: dict[str, int] = {}
        self.stored: dict[str, str] = {}
        self.delivered: set[str] = set()
        self.cancelled: set[str] = set()

    @rule(which=st.integers(0, 1))
    def put(self, which: int) -> None:
        self.put_ids.append(self.queues[which].put({"n": len(self.put_ids)}))

    @rule(target=leases, which=st.integers(0, 1))
    def lease(self, which: int) -> Lease | None:
        lease = self.queues[which].lease()
        if lease is not None:
            assert lease.id not in self.stored
            assert lease.id not in self.cancelled
            assert lease.token > self.current.get(lease.id, 0)
            self.current[lease.id] = lease.token
        return lease

    def is_current(self, lease: Lease) -> bool:
        state = self.queues[0].get(lease.id).state
        return state is DeferredState.LEASED and self.current[lease.id] == lease.token

    @rule(lease=leases, which=st.integers(0, 1))
    def answer(self, lease: Lease | None, which: int) -> None:
        if lease is None:
            return
        text = f"{lease.id}:{lease.token}"
        if self.is_current(lease):
            self.queues[which].answer(lease, {"text": text})
            assert lease.id not in self.stored
            self.stored[lease.id] = text
        else:
            with pytest.raises(LeaseLostError):
                self.queues[which].answer(lease, {"text": text})

    @rule(lease=leases, retry_in_s=st.sampled_from([None, 0.0, 30.0]))
    def fail(self, lease: Lease | None, retry_in_s: float | None) -> None:
        if lease is None:
            return
        if self.is_current(lease):
            self.queues[0].fail(lease, "broken", retry_in_s=retry_in_s)
        else:
            with pytest.raises(LeaseLostError):
                self.queues[0].fail(lease, "broken", retry_in_s=retry_in_s)

    @rule(lease=consumes(leases))
    def die(self, lease: Lease | None) -> None:
        """Nobody will ever use this lease."""

    @rule(which=st.integers(0, 1))
    def take(self, which: int) -> None:
        taken = self.queues[which].take()
        waiting = self.stored.keys() - self.delivered
        assert (taken is not None) == bool(waiting)
        if taken is not None:
            assert taken.id in waiting
            assert taken.answer == {"text": self.stored[taken.id]}
            self.delivered.add(taken.id)

    @rule(index=st.integers(0, 20))
    def cancel(self, index: int) -> None:
        if index < len(self.put_ids) and self.queues[1].cancel(self.put_ids[index]):
            assert self.put_ids[index] not in self.stored
            self.cancelled.add(self.put_ids[index])

    @rule(seconds=st.sampled_from([1.0, 61.0, 400.0]))
    def wait(self, seconds: float) -> None:
        now = self.now
        self.now = Moment(now.wall_s + seconds, now.running_s + seconds, now.boot_id)

    @rule(wall_s=st.floats(0.0, 4e9), restarted=st.booleans())
    def turn_the_clock(self, wall_s: float, restarted: bool) -> None:
        now = self.now
        self.now = (
            Moment(wall_s, 1.0, now.boot_id + "'")
            if restarted
            else Moment(wall_s, now.running_s, now.boot_id)
        )

    @invariant()
    def nothing_is_lost_and_no_answer_changes(self) -> None:
        found = {one.id: one for one in self.queues[0].list()}
        assert list(found) == self.put_ids
        for request_id, text in self.stored.items():
            assert found[request_id].answer == {"text": text}
            is_taken = found[request_id].state is DeferredState.DELIVERED
            assert is_taken == (request_id in self.delivered)
        for request_id in found.keys() - self.stored.keys():
            assert found[request_id].answer is None

    def teardown(self) -> None:
        for queue in self.queues:
            queue.close()
        self.folder.cleanup()


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40)
