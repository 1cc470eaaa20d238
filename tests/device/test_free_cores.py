"""What others take is measured, given up at once, and taken back slowly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from edge_llm.device.free_cores import CHECK_INTERVAL_S, STALE_S, FreeCores
from edge_llm.device.usage import OthersMeter

HERTZ = os.sysconf("SC_CLK_TCK")


class FakeTimes:
    """A clock, own processor time and /proc/stat that a test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.own = 0.0
        self.busy_s = 0.0
        self.write()

    def write(self) -> None:
        """One busy processor of ours, one that is not, and no more than the kernel writes."""
        ticks = round(self.busy_s * HERTZ)
        self.path.write_text(
            f"cpu  {ticks + 777} 0 0 5 5 0 0 9 0 0\n"
            f"cpu0 {ticks} 0 0 5 5 0 0 9 0 0\n"
            "cpu1 0 0 0 5 5 0 0 9 0 0\n"
            "cpu7 777 0 0 5 5 0 0 9 0 0\n"
            "intr 1 2 3\n"
        )

    def meter(self) -> OthersMeter:
        return OthersMeter(self.path, [0, 1], clock=lambda: self.now, own_time=lambda: self.own)

    def pass_time(self, seconds: float, *, busy: float, own: float) -> None:
        self.now += seconds
        self.own += seconds * own
        self.busy_s += seconds * busy
        self.write()


def test_others_are_what_is_busy_without_ourselves(tmp_path: Path) -> None:
    times = FakeTimes(tmp_path / "stat")
    meter = times.meter()

    times.pass_time(2.0, busy=1.5, own=1.0)

    assert meter.elapsed_s() == 2.0
    assert meter.sample() == pytest.approx(0.5)
    times.pass_time(1.0, busy=1.0, own=1.0)
    assert meter.sample() == pytest.approx(0.0)


def test_less_than_nothing_is_nothing(tmp_path: Path) -> None:
    # Ticks are counted late: own time may be ahead of them.
    times = FakeTimes(tmp_path / "stat")
    meter = times.meter()
    times.pass_time(1.0, busy=0.9, own=1.0)

    assert meter.sample() == 0.0


@pytest.mark.parametrize("text", ["", "cpu0 a b c d e f g\n", "cpu0 1\n"])
def test_what_cannot_be_read_is_unknown_or_idle(tmp_path: Path, text: str) -> None:
    times = FakeTimes(tmp_path / "stat")
    meter = times.meter()
    times.now += 1.0
    times.path.write_text(text)

    assert meter.sample() in (None, 0.0)


def test_another_process_is_seen_on_this_machine() -> None:
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for _ in range(50):  # a machine with much to do may start it late
            meter = OthersMeter()
            time.sleep(0.3)
            if (meter.sample() or 0.0) > 0.2:
                return
        pytest.fail("a process that computes all the time was not seen")
    finally:
        other.kill()
        other.wait()


class FakeMeter:
    """Says what a test tells it, one check after the other."""

    def __init__(self, others: Iterable[float | None], elapsed: float = CHECK_INTERVAL_S) -> None:
        self.others = list(others)
        self.elapsed = elapsed

    def elapsed_s(self) -> float:
        return self.elapsed

    def sample(self) -> float | None:
        return self.others.pop(0)


def counts(num_usable: int, *others: float | None) -> list[int]:
    """Free cores after each check."""
    free = FreeCores(num_usable, FakeMeter(others))
    found = []
    for _ in others:
        free.check()
        found.append(free.count)
    return found


def test_a_core_is_given_up_at_once_and_taken_back_after_some_calm_checks() -> None:
    assert counts(4, 0.0, 0.7, 1.0, 0.1, 0.0, 0.1, 0.0) == [4, 3, 3, 3, 3, 4, 4]


def test_a_moment_of_calm_is_not_enough() -> None:
    assert counts(4, 1.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0) == [3, 3, 3, 3, 3, 3, 4]


def test_a_little_company_takes_no_core_and_holds_one_that_it_had() -> None:
    assert counts(4, 0.2, 0.3, 0.2) == [4, 4, 4]
    assert counts(4, 1.0, 0.2, 0.3, 0.2, 0.25) == [3, 3, 3, 3, 3]


def test_one_core_always_stays() -> None:
    assert counts(2, 3.9, 2.0) == [1, 1]


def test_what_is_unknown_changes_nothing() -> None:
    assert counts(4, 1.0, None, None, None) == [3, 3, 3, 3]


def test_nothing_is_measured_before_it_is_time() -> None:
    free = FreeCores(4, FakeMeter([], elapsed=CHECK_INTERVAL_S / 2))

    assert not free.check()


def test_a_time_of_rest_is_not_taken_for_the_present() -> None:
    meter = FakeMeter([2.0, 0.0], elapsed=STALE_S * 2)
    free = FreeCores(4, meter)
    free.begin()
    meter.elapsed = CHECK_INTERVAL_S
    free.check()

    assert free.count == 4
    assert meter.others == []


def test_the_time_of_loading_tells_whether_the_machine_is_busy() -> None:
    assert FreeCores(4, FakeMeter([1.2], elapsed=60.0)).look_back()
    assert not FreeCores(4, FakeMeter([0.1], elapsed=60.0)).look_back()
    assert not FreeCores(4, FakeMeter([], elapsed=0.01)).look_back()
