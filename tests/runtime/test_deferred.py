"""The queue of deferred requests on real files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_llm.device.clock import Moment
from edge_llm.errors import (
    DeferredError,
    DeferredNotFoundError,
    DeferredQueueFullError,
    InvalidParameterError,
    LeaseLostError,
)
from edge_llm.runtime.deferred import DeferredQueue, open_deferred_queue
from edge_llm.runtime.deferred_types import DeferredState, QueueLimits

LIMITS = QueueLimits(
    max_waiting=5, max_request_bytes=1000, lease_s=60.0, max_attempts=3, expires_in_s=3600.0
)
ASKED = {"messages": [{"role": "user", "content": "who was Ada Lovelace?"}]}
SAID = {"text": "A mathematician."}


class Clock:
    """Shows what it is told to."""

    def __init__(self) -> None:
        self.moment = Moment(1_800_000_000.0, 1000.0, "first")

    def __call__(self) -> Moment:
        return self.moment

    def pass_(self, seconds: float) -> None:
        now = self.moment
        self.moment = Moment(now.wall_s + seconds, now.running_s + seconds, now.boot_id)

    def restart(self, wall_s: float) -> None:
        self.moment = Moment(wall_s, 5.0, self.moment.boot_id + "'")


@pytest.fixture
def clock() -> Clock:
    return Clock()


Open = Callable[[], DeferredQueue]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Open:
    return lambda: open_deferred_queue(tmp_path / "deferred.sqlite", LIMITS, clock=clock)


@pytest.fixture
def queue(opened: Open) -> DeferredQueue:
    return opened()


def test_a_request_is_answered_and_delivered_once(queue: DeferredQueue, opened: Open) -> None:
    request_id = queue.put(ASKED)
    lease = queue.lease()
    assert lease is not None
    queue.answer(lease, SAID)

    taken = opened().take(request_id)

    assert taken is not None
    assert (lease.id, lease.attempt, lease.request) == (request_id, 1, ASKED)
    assert (taken.id, taken.state, taken.answer) == (request_id, "delivered", SAID)
    assert queue.take(request_id) is None
    assert queue.take() is None
    assert queue.get(request_id).answer == SAID


def test_the_oldest_goes_first_and_to_one_worker_alone(queue: DeferredQueue) -> None:
    first, second = queue.put(ASKED), queue.put(ASKED)
    leases = [queue.lease() for _ in range(3)]

    assert [lease and lease.id for lease in leases] == [first, second, None]


def test_a_worker_that_dies_leaves_its_request_to_the_next(
    queue: DeferredQueue, clock: Clock
) -> None:
    queue.put(ASKED)
    dead = queue.lease()
    clock.pass_(61)
    alive = queue.lease()
    assert dead is not None
    assert alive is not None

    queue.answer(alive, {"text": "second"})

    assert alive.attempt == 2
    with pytest.raises(LeaseLostError, match="answered"):
        queue.answer(dead, {"text": "first"})
    taken = queue.take()
    assert taken is not None
    assert taken.answer == {"text": "second"}


def test_the_older_lease_is_worth_nothing_while_the_newer_one_works(
    queue: DeferredQueue, clock: Clock
) -> None:
    queue.put(ASKED)
    old = queue.lease()
    clock.pass_(61)
    new = queue.lease()
    assert old is not None
    assert new is not None

    with pytest.raises(LeaseLostError):
        queue.answer(old, SAID)
    with pytest.raises(LeaseLostError):
        queue.fail(old, "x", retry_in_s=None)
    with pytest.raises(LeaseLostError):
        queue.renew(old)
    queue.answer(new, SAID)


def test_a_late_answer_counts_while_nobody_else_has_the_request(
    queue: DeferredQueue, clock: Clock
) -> None:
    queue.put(ASKED)
    lease = queue.lease()
    assert lease is not None
    clock.pass_(600)

    queue.answer(lease, SAID)

    assert queue.take() is not None


def test_a_renewed_lease_lasts_longer(queue: DeferredQueue, clock: Clock) -> None:
    queue.put(ASKED)
    lease = queue.lease()
    assert lease is not None
    clock.pass_(50)
    queue.renew(lease)
    clock.pass_(50)

    assert queue.lease() is None
    assert queue.next_due_s() == pytest.approx(10)


def test_after_a_restart_of_the_machine_no_lease_is_alive(
    queue: DeferredQueue, clock: Clock
) -> None:
    queue.put(ASKED)
    queue.lease()
    clock.restart(clock.moment.wall_s + 1)

    assert queue.lease() is not None


def test_a_failure_is_tried_again_after_a_while_and_not_for_ever(
    queue: DeferredQueue, clock: Clock
) -> None:
    request_id = queue.put(ASKED)
    for _ in range(3):
        lease = queue.lease()
        assert lease is not None
        queue.fail(lease, "cloud_timeout", retry_in_s=30)
        assert queue.lease() is None
        clock.pass_(31)

    found = queue.get(request_id)

    assert queue.lease() is None
    assert (found.state, found.error, found.attempts) == ("failed", "cloud_timeout", 3)
    assert queue.next_due_s() is None


def test_a_request_whose_workers_all_die_is_given_up(queue: DeferredQueue, clock: Clock) -> None:
    request_id = queue.put(ASKED)
    for _ in range(3):
        assert queue.lease() is not None
        clock.pass_(61)

    assert queue.lease() is None
    assert queue.get(request_id).error == "too_many_attempts"


def test_what_fails_for_good_is_not_tried_again(queue: DeferredQueue) -> None:
    request_id = queue.put(ASKED)
    lease = queue.lease()
    assert lease is not None

    queue.fail(lease, "cloud_content_filter", retry_in_s=None)

    assert queue.lease() is None
    assert queue.get(request_id).state == "failed"


def test_the_same_key_is_the_same_request(queue: DeferredQueue) -> None:
    first = queue.put(ASKED, key="a")

    assert queue.put({"other": 1}, key="a") == first
    assert queue.put(ASKED, key="b") != first
    assert len(queue.list()) == 2


def test_what_was_cancelled_is_not_asked_and_leaves_no_text(queue: DeferredQueue) -> None:
    waiting, leased = queue.put(ASKED), queue.put(ASKED)
    first = queue.lease()
    assert first is not None

    assert queue.cancel(waiting)
    assert queue.cancel(leased)

    with pytest.raises(LeaseLostError, match="cancelled"):
        queue.answer(first, SAID)
    assert [one.request for one in queue.list()] == [None, None]
    assert not queue.cancel(leased)


def test_an_answer_that_is_there_cannot_be_cancelled(queue: DeferredQueue) -> None:
    request_id = queue.put(ASKED)
    lease = queue.lease()
    assert lease is not None
    queue.answer(lease, SAID)

    assert not queue.cancel(request_id)
    assert queue.take(request_id) is not None


def test_what_waited_too_long_is_not_asked(queue: DeferredQueue, clock: Clock) -> None:
    old, own = queue.put(ASKED), queue.put(ASKED, expires_in_s=10_000)
    clock.pass_(3601)
    lease = queue.lease()

    assert lease is not None
    assert lease.id == own
    assert queue.get(old).state == "expired"


def test_a_worker_may_finish_what_expires_meanwhile(queue: DeferredQueue, clock: Clock) -> None:
    request_id = queue.put(ASKED)
    clock.pass_(3590)
    lease = queue.lease()
    assert lease is not None
    clock.pass_(20)
    assert queue.lease() is None

    queue.answer(lease, SAID)

    assert queue.get(request_id).state == "answered"


@pytest.mark.parametrize("wall_s", [0.0, 1_900_000_000.0])
def test_a_clock_that_is_set_while_running_expires_nothing(
    queue: DeferredQueue, clock: Clock, wall_s: float
) -> None:
    queue.put(ASKED)
    clock.moment = Moment(wall_s, clock.moment.running_s + 1, clock.moment.boot_id)

    assert queue.lease() is not None


def test_a_board_that_starts_in_the_past_expires_nothing(
    queue: DeferredQueue, clock: Clock
) -> None:
    clock.restart(wall_s=30.0)
    queue.put(ASKED)
    clock.restart(wall_s=1_800_000_000.0)

    assert queue.lease() is not None


def test_an_answer_waits_for_as_long_as_it_takes(queue: DeferredQueue, clock: Clock) -> None:
    queue.put(ASKED)
    lease = queue.lease()
    assert lease is not None
    queue.answer(lease, SAID)
    clock.pass_(10_000_000)
    queue.lease()

    assert queue.take() is not None


def test_what_has_ended_is_forgotten_after_a_day_or_when_told(
    queue: DeferredQueue, clock: Clock
) -> None:
    one, other, waiting = (queue.put(ASKED, expires_in_s=10**7) for _ in range(3))
    queue.cancel(one)
    queue.cancel(other)
    queue.forget(one)
    with pytest.raises(DeferredNotFoundError):
        queue.get(one)
    with pytest.raises(DeferredError, match="cancel or take"):
        queue.forget(waiting)

    clock.pass_(86_401)
    queue.lease()

    assert [found.id for found in queue.list()] == [waiting]


def test_the_queue_is_bounded(queue: DeferredQueue) -> None:
    for _ in range(5):
        queue.put(ASKED)

    with pytest.raises(DeferredQueueFullError):
        queue.put(ASKED)
    assert len(queue.list([DeferredState.WAITING])) == 5


@pytest.mark.parametrize("request_", [{"x": b"secret"}, {"x": float("nan")}, {"x": "s" * 1000}])
def test_what_cannot_be_stored_is_refused_and_not_quoted(
    queue: DeferredQueue, request_: dict[str, object]
) -> None:
    with pytest.raises(InvalidParameterError) as raised:
        queue.put(request_)

    assert "s" * 6 not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert queue.list() == []


def test_half_a_character_is_stored_as_it_is(queue: DeferredQueue) -> None:
    request_id = queue.put({"x": "\ud83d"})

    assert queue.get(request_id).request == {"x": "\ud83d"}


def test_no_text_is_shown(queue: DeferredQueue) -> None:
    queue.put(ASKED)
    lease = queue.lease()

    assert "Ada" not in repr(lease) + repr(queue.list())


def test_an_unknown_id_is_named(queue: DeferredQueue) -> None:
    for use in (queue.get, queue.take, queue.cancel, queue.forget):
        with pytest.raises(DeferredNotFoundError, match="'nobody'"):
            use("nobody")
