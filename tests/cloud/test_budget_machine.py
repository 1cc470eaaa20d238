"""Whatever happens in whatever order, a budget is never passed but by what attempts cost more."""

import math
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from edge_llm.cloud.account import SCHEMA
from edge_llm.cloud.budget import Budget, Reservation
from edge_llm.cloud.periods import periods_at
from edge_llm.config import BudgetConfig
from edge_llm.errors import BudgetExceededError
from edge_llm.store import open_store

DAY = 86_400.0
START = 1_795_348_800.0
LIMITS = BudgetConfig(daily_usd=1.0, monthly_usd=3.0, daily_bytes=1000, monthly_bytes=3000)
CENTS = st.integers(0, 60)


class Charge:
    """What one reservation counts for, and what it cost beyond itself."""

    def __init__(self, cents: int) -> None:
        self.held = self.counted = cents


class BudgetMachine(RuleBasedStateMachine):
    """Reserves, settles, releases, forgets, dies, and turns the clock."""

    open_charges = Bundle("open_charges")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "budget.sqlite"
        self.now = START
        self.all: list[Budget] = []
        self.budget = self.opened()
        # Charges since the clock first showed the latest day, or month, that it ever showed; and
        # how many limits they may fill: one more for each step forward that ended before it.
        self.last = {"daily": "", "monthly": ""}
        self.latest = dict(self.last)
        self.since: dict[str, list[Charge]] = {"daily": [], "monthly": []}
        self.limits = {"daily": 1, "monthly": 1}

    def opened(self) -> Budget:
        # Without waiting for the disk: no power is cut here.
        store = open_store(self.path, SCHEMA, durable=False)
        self.all.append(Budget(store, LIMITS, lambda: self.now))
        return self.all[-1]

    def see(self) -> None:
        for period in periods_at(self.now):
            kind, name = period.kind, period.name
            if name > self.latest[kind]:
                self.latest[kind], self.since[kind], self.limits[kind] = name, [], 1
            elif self.last[kind] < name < self.latest[kind]:
                self.limits[kind] += 1
            self.last[kind] = name

    @rule(target=open_charges, cents=CENTS)
    def reserve(self, cents: int) -> tuple[Reservation | None, Charge]:
        return self.reserved(cents)

    def reserved(self, cents: int) -> tuple[Reservation | None, Charge]:
        self.see()
        left = self.budget.status()
        assert left.left_usd is not None
        assert left.left_bytes is not None
        fits = cents == 0 or (cents <= round(left.left_usd * 100) and cents * 10 <= left.left_bytes)
        charge = Charge(cents)
        if not fits:
            with pytest.raises(BudgetExceededError):
                self.budget.reserve(cents / 100, cents * 10)
            return None, charge
        reservation = self.budget.reserve(cents / 100, cents * 10)
        for charges in self.since.values():
            charges.append(charge)
        return reservation, charge

    @rule(one=consumes(open_charges), cents=CENTS)
    def settle(self, one: tuple[Reservation | None, Charge], cents: int) -> None:
        reservation, charge = one
        if reservation is not None:
            reservation.settle(cents / 100, cents * 10)
            reservation.settle(0.0, 0)
            charge.counted = cents

    @rule(one=consumes(open_charges))
    def release(self, one: tuple[Reservation | None, Charge]) -> None:
        reservation, charge = one
        if reservation is not None:
            reservation.release()
            charge.counted = 0

    @rule(one=consumes(open_charges))
    def forget(self, one: tuple[Reservation | None, Charge]) -> None:
        """Its process was killed: what it held stays spent."""

    @rule(seconds=st.floats(0, 2 * DAY))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(days=st.sampled_from([-400, -30, -1, 1, 30, 400]))
    def jump(self, days: int) -> None:
        # What nobody looks at, no clock has shown.
        self.see()
        self.budget.reserve(0.0, 0)
        before = self.budget.status()
        self.now = max(0.0, self.now + days * DAY)
        if days < 0:
            after = self.budget.status()
            assert (after.left_usd or 0) <= (before.left_usd or 0) + 1e-9
            assert (after.left_bytes or 0) <= (before.left_bytes or 0)

    @rule(target=open_charges, cents=CENTS)
    def reserve_in_a_glitch(self, cents: int) -> tuple[Reservation | None, Charge]:
        self.see()
        self.budget.reserve(0.0, 0)
        self.now -= DAY
        reserved = self.reserved(cents)
        self.now += DAY
        return reserved

    @rule()
    def start_again(self) -> None:
        # As another process would: what the first holds may still be settled.
        self.budget = self.opened()

    @invariant()
    def is_never_passed(self) -> None:
        for kind, limit in (("daily", 100), ("monthly", 300)):
            charges = self.since[kind]
            beyond = sum(max(0, charge.counted - charge.held) for charge in charges)
            room = limit * self.limits[kind]
            assert sum(charge.counted for charge in charges) <= room + beyond

    @invariant()
    def says_what_is_left(self) -> None:
        status = self.budget.status()
        left = max(0.0, min(1.0 - status.day.usd, 3.0 - status.month.usd))
        assert math.isclose(status.left_usd or 0.0, left, abs_tol=1e-8)

    def teardown(self) -> None:
        for budget in self.all:
            budget.close()
        self.folder.cleanup()


TestBudget = BudgetMachine.TestCase
TestBudget.settings = settings(max_examples=60, stateful_step_count=40)
