"""Budgets on real files: exact sums, limits, periods, and clocks that jump."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_llm.cloud.account import SCHEMA
from edge_llm.cloud.budget import Budget, open_budget
from edge_llm.config import BudgetConfig
from edge_llm.errors import BudgetExceededError, InvalidParameterError, StoreBusyError, StoreError
from edge_llm.store import open_store

NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC
DAY = 86_400.0


class Clock:
    """Shows what it is told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget.sqlite"


Open = Callable[..., Budget]


@pytest.fixture
def opened(path: Path, clock: Clock) -> Open:
    def open_(**limits: float) -> Budget:
        return open_budget(path, BudgetConfig(**limits), clock=clock)  # type: ignore[arg-type]

    return open_


def test_a_reservation_counts_until_it_is_settled(opened: Open) -> None:
    budget = opened(daily_usd=1.0, monthly_bytes=1000)

    held = budget.reserve(0.4, 300)
    before = budget.status()
    held.settle(0.1, 200)
    after = budget.status()

    assert (before.day.usd, before.reserved_usd, before.left_usd) == (0.4, 0.4, 0.6)
    assert (before.month.sent_bytes, before.reserved_bytes, before.left_bytes) == (300, 300, 700)
    assert (after.day.usd, after.reserved_usd, after.left_usd) == (0.1, 0.0, 0.9)
    assert (after.month.sent_bytes, after.left_bytes) == (200, 800)


def test_what_was_not_sent_costs_nothing(opened: Open) -> None:
    budget = opened(daily_usd=1.0)

    budget.reserve(1.0, 10).release()

    assert budget.status().day.usd == 0.0
    budget.reserve(1.0, 10)


def test_settling_twice_counts_once(opened: Open) -> None:
    budget = opened()
    held = budget.reserve(0.5, 10)

    held.settle(0.2, 5)
    held.settle(0.4, 9)
    held.release()

    assert (budget.status().day.usd, budget.status().day.sent_bytes) == (0.2, 5)


def test_an_attempt_whose_end_nobody_told_counts_in_full(opened: Open) -> None:
    budget = opened(daily_usd=1.0)

    with pytest.raises(KeyError), budget.reserve(0.7, 10):
        raise KeyError

    assert budget.status().day.usd == 0.7


def test_tenths_of_a_dollar_add_up_to_one(opened: Open) -> None:
    budget = opened(daily_usd=1.0)

    for _ in range(10):
        budget.reserve(0.1, 0)

    assert budget.status().left_usd == 0.0
    with pytest.raises(BudgetExceededError):
        budget.reserve(1e-9, 0)


def test_the_error_says_which_limit_and_when_it_resets(opened: Open) -> None:
    budget = opened(daily_usd=0.5, monthly_usd=20.0, daily_bytes=100)
    budget.reserve(0.4, 10)

    with pytest.raises(BudgetExceededError) as raised:
        budget.reserve(0.25, 10)

    error = raised.value
    assert (error.limit, error.allowed, error.spent, error.requested) == (
        "daily_usd", 0.5, 0.4, 0.25,
    )  # fmt: skip
    assert error.resets_at == NOON + DAY / 2
    assert str(error) == (
        "daily_usd is 0.5 USD, 0.4 USD of it used; this request may take 0.25 USD"
        " (the limit resets at 2026-11-23 00:00 UTC)"
    )


def test_of_several_limits_the_one_that_lasts_longest_is_named(opened: Open) -> None:
    budget = opened(daily_usd=1.0, monthly_usd=1.0)
    budget.reserve(1.0, 0)

    with pytest.raises(BudgetExceededError, match=r"monthly_usd.*resets at 2026-12-01 00:00"):
        budget.reserve(0.1, 0)


def test_what_can_never_fit_is_told_so(opened: Open) -> None:
    with pytest.raises(BudgetExceededError, match="no reset helps; raise daily_bytes") as raised:
        opened(daily_bytes=100).reserve(0.0, 101)

    assert raised.value.resets_at is None


def test_a_limit_of_zero_lets_only_what_is_free_pass(opened: Open) -> None:
    budget = opened(daily_usd=0.0)

    budget.reserve(0.0, 10_000)
    with pytest.raises(BudgetExceededError):
        budget.reserve(1e-9, 0)


def test_a_new_day_gives_new_room_and_the_month_goes_on(opened: Open, clock: Clock) -> None:
    budget = opened(daily_usd=1.0, monthly_usd=1.5)
    budget.reserve(1.0, 0)
    clock.now += DAY

    budget.reserve(0.5, 0)

    with pytest.raises(BudgetExceededError, match="monthly_usd"):
        budget.reserve(0.1, 0)
    clock.now += 9 * DAY
    assert budget.status().month.usd == 0.0


def test_what_is_settled_the_next_day_belongs_to_the_day_it_began(
    opened: Open, clock: Clock
) -> None:
    budget = opened(daily_usd=1.0)
    held = budget.reserve(1.0, 0)
    clock.now += DAY

    held.settle(0.3, 0)

    assert budget.status().day.usd == 0.0
    clock.now -= DAY
    assert budget.status().day.usd == 0.3


def test_a_clock_that_goes_back_gives_no_room(opened: Open, clock: Clock) -> None:
    budget = opened(daily_usd=1.0)
    budget.reserve(0.9, 0)
    for jump in (-DAY, -40 * DAY, -NOON):
        clock.now = NOON + jump
        assert budget.status().left_usd == pytest.approx(0.1)
        with pytest.raises(BudgetExceededError):
            budget.reserve(0.2, 0)


def test_what_is_spent_while_the_clock_is_behind_counts_when_it_is_right_again(
    opened: Open, clock: Clock
) -> None:
    budget = opened(daily_usd=1.0)
    budget.reserve(0.5, 0)
    clock.now -= 3 * DAY
    budget.reserve(0.4, 0)
    clock.now = NOON

    assert budget.status().day.usd == pytest.approx(0.9)


def test_a_clock_that_was_far_ahead_does_not_close_the_budget_for_years(
    opened: Open, clock: Clock
) -> None:
    budget = opened(daily_usd=1.0, monthly_usd=100.0)
    clock.now = NOON + 20_000 * DAY
    budget.reserve(1.0, 0)
    clock.now = NOON
    with pytest.raises(BudgetExceededError):
        budget.reserve(0.1, 0)

    clock.now += DAY

    budget.reserve(1.0, 0)


@pytest.mark.parametrize("now", [-5.0, float("nan"), float("inf"), 1e300])
def test_a_clock_without_sense_is_some_day(opened: Open, clock: Clock, now: float) -> None:
    clock.now = now

    opened(daily_usd=1.0).reserve(1.0, 0)


@pytest.mark.parametrize(
    ("usd", "sent"), [(-0.1, 0), (0.0, -1), (float("nan"), 0), (float("inf"), 0), (1e7, 0)]
)
def test_an_amount_that_is_none_is_refused(opened: Open, usd: float, sent: int) -> None:
    with pytest.raises(InvalidParameterError):
        opened().reserve(usd, sent)


def test_a_reservation_nobody_settles_stays_spent_and_its_row_goes(
    opened: Open, clock: Clock, path: Path
) -> None:
    budget = opened(monthly_usd=1.0)
    lost = budget.reserve(0.6, 0)
    clock.now += 2 * DAY

    budget.reserve(0.1, 0)
    assert budget.status().reserved_usd == 0.1
    lost.settle(0.2, 0)
    assert budget.status().month.usd == pytest.approx(0.7)

    with open_store(path, SCHEMA) as store, store.reading() as rows:
        assert rows.row("SELECT count(*) FROM reservation") == (1,)


def test_an_attempt_that_cost_more_counts_what_it_cost(opened: Open, clock: Clock) -> None:
    budget = opened(monthly_usd=1.0)
    held, lost = budget.reserve(0.6, 0), budget.reserve(0.1, 0)

    held.settle(0.8, 0)
    clock.now += 2 * DAY
    budget.reserve(0.0, 0)
    lost.settle(0.3, 0)

    assert budget.status().month.usd == pytest.approx(1.1)
    assert budget.status().left_usd == 0.0


def test_a_settlement_that_could_not_be_written_can_be_tried_again(
    path: Path, opened: Open
) -> None:
    budget = opened()
    held = budget.reserve(0.5, 0)
    other = open_store(path, SCHEMA)
    budget._store._checked().execute("PRAGMA busy_timeout=20")

    with other.transaction(), pytest.raises(StoreBusyError):
        held.settle(0.1, 0)
    assert budget.status().day.usd == 0.5
    held.settle(0.1, 0)

    assert budget.status().day.usd == 0.1


def test_a_damaged_account_lets_nothing_be_spent(path: Path, opened: Open) -> None:
    path.write_bytes(b"x" * 4096)

    with pytest.raises(StoreError):
        opened()


def test_neither_budget_nor_reservation_shows_more_than_numbers(opened: Open) -> None:
    assert repr(opened().reserve(0.5, 7)) == "Reservation(0.5 USD, 7 bytes, open)"


SPENDER = """
import sys
from pathlib import Path
from edge_llm.cloud.budget import open_budget
from edge_llm.config import BudgetConfig
from edge_llm.errors import BudgetExceededError
budget = open_budget(Path(sys.argv[1]), BudgetConfig(daily_usd=1.0))
granted = 0
for _ in range(100):
    try:
        budget.reserve(0.01, 1)
        granted += 1
    except BudgetExceededError:
        pass
print(granted)
"""


def test_several_processes_never_get_more_than_there_is(path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", SPENDER, str(path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    granted = [int(process.communicate()[0]) for process in started]

    # Midnight may fall between two of them.
    assert sum(granted) in range(100, 201)
    assert max(granted) <= 100
    budget = open_budget(path, BudgetConfig(daily_usd=1.0))
    assert budget.status().month.usd <= sum(granted) / 100 + 1e-9
