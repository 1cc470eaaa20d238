from edge_llm.device.clock import Moment, read_clock

NOW = Moment(1_800_000_000.0, 1000.0, "b")


def test_while_the_machine_runs_the_wall_does_not_matter() -> None:
    earlier = Moment(0.0, 400.0, "b")

    assert earlier.was_this_boot(NOW)
    assert earlier.elapsed_s(NOW) == 600.0


def test_after_a_restart_the_wall_counts_and_the_running_time_at_least() -> None:
    before = Moment(NOW.wall_s - 5000.0, 70_000.0, "a")

    assert not before.was_this_boot(NOW)
    assert before.elapsed_s(NOW) == 5000.0
    assert Moment(NOW.wall_s + 5000.0, 0.0, "a").elapsed_s(NOW) == 1000.0


def test_a_wall_that_was_never_set_says_nothing() -> None:
    assert Moment(60.0, 60.0, "a").elapsed_s(NOW) == 1000.0
    assert Moment(NOW.wall_s, 60.0, "a").elapsed_s(Moment(60.0, 7.0, "b")) == 7.0


def test_where_no_start_has_a_name_less_running_time_is_another_start() -> None:
    assert not Moment(NOW.wall_s, 2000.0, "").was_this_boot(Moment(NOW.wall_s, 1000.0, ""))


def test_this_machine_goes_forward() -> None:
    first, second = read_clock(), read_clock()

    assert first.was_this_boot(second)
    assert first.elapsed_s(second) >= 0
