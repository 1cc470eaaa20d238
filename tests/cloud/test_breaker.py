"""The breaker against a model of it, whatever happens in whatever order."""

from __future__ import annotations

import math

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from edge_llm.cloud.breaker import CircuitBreaker, Permit

COOL_DOWN_S = 10.0
LONGEST_S = 40.0
ROUNDING_S = 1e-9
"""A time that is left is the difference of two points on a clock, which round."""


class BreakerMachine(RuleBasedStateMachine):
    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.breaker = CircuitBreaker(
            failures_to_open=3,
            cool_down_s=COOL_DOWN_S,
            longest_cool_down_s=LONGEST_S,
            clock=lambda: self.now_s,
        )
        self.probe: Permit | None = None
        self.key = "a"

    @rule(seconds=st.floats(0.0, 50.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(target=permits)
    def ask(self) -> Permit | None:
        before = self.breaker.state
        permit = self.breaker.acquire(self.key)
        if before.phase == "closed":
            assert permit is not None
            assert not permit.probe
        elif before.phase == "half_open":
            # One at a time: there is leave exactly when nobody else is trying.
            assert (permit is not None) == (self.probe is None)
        elif not math.isinf(before.retry_in_s):
            assert permit is None
        if permit is not None and permit.probe:
            self.probe = permit
        return permit

    @rule(permit=consumes(permits))
    def succeed(self, permit: Permit | None) -> None:
        if permit is None:
            return
        was_probe = self._is_probe(permit)
        self.breaker.succeeded(permit)
        if was_probe:
            assert self.breaker.state.phase == "closed"

    @rule(permit=consumes(permits), retry_after_s=st.none() | st.floats(0.0, 1e6))
    def fail(self, permit: Permit | None, retry_after_s: float | None) -> None:
        if permit is None:
            return
        was_probe = self._is_probe(permit)
        before = self.breaker.state
        self.breaker.failed(permit, "x", retry_after_s)
        after = self.breaker.state
        if was_probe:
            assert after.phase == "open"
        if before.phase == "closed" and after.phase == "open":
            assert after.failures >= 3
            assert after.retry_in_s >= min(retry_after_s or 0.0, LONGEST_S) - ROUNDING_S

    @rule(permit=consumes(permits))
    def refuse_key(self, permit: Permit | None) -> None:
        if permit is not None:
            self._is_probe(permit)
            self.breaker.blocked(permit, "auth")

    @rule(permit=consumes(permits))
    def leave(self, permit: Permit | None) -> None:
        if permit is not None:
            self._is_probe(permit)
            self.breaker.released(permit)

    @rule(key=st.sampled_from("abc"))
    def rotate(self, key: str) -> None:
        self.key = key

    @invariant()
    def state_makes_sense(self) -> None:
        state = self.breaker.state
        assert (state.phase == "open") == (state.retry_in_s > 0.0)
        assert math.isinf(state.retry_in_s) or state.retry_in_s <= LONGEST_S + ROUNDING_S
        assert (state.reason is None) == (state.phase == "closed")
        if state.phase != "half_open":
            self.probe = None

    def _is_probe(self, permit: Permit) -> bool:
        is_probe = self.probe is not None and permit.number == self.probe.number
        if is_probe:
            self.probe = None
        return is_probe


TestBreaker = BreakerMachine.TestCase


def test_a_probe_that_fails_doubles_the_wait() -> None:
    now_s = 0.0
    breaker = CircuitBreaker(failures_to_open=1, cool_down_s=10.0, clock=lambda: now_s)
    waits = []
    for _ in range(8):
        permit = breaker.acquire()
        assert permit is not None
        breaker.failed(permit, "x")
        waits.append(breaker.state.retry_in_s)
        now_s += waits[-1]

    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]


def test_old_news_does_not_close_an_open_breaker() -> None:
    breaker = CircuitBreaker(failures_to_open=1)
    slow, quick = breaker.acquire(), breaker.acquire()
    assert slow is not None
    assert quick is not None

    breaker.failed(quick, "x")
    breaker.succeeded(slow)

    assert breaker.state.phase == "open"
