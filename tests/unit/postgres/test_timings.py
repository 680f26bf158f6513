"""The judgement of what was measured, without a server."""

import pytest

from cutoverd.daemon.postgres.validation.timings import FLOOR_SECONDS, ROUNDS_MAX, ROUNDS_MIN, Timings


def timings(old: float, new: float, rounds: int = 5) -> Timings:
    return Timings([old] * rounds, [new] * rounds)


@pytest.mark.parametrize(
    ("old", "new", "slower"),
    [(0.100, 0.140, False), (0.100, 0.154, False), (0.100, 0.156, True), (1.0, 30.0, True), (0.100, 0.010, False)],
)
def test_new_may_take_as_many_times_as_long_as_the_plan_says(old, new, slower):
    assert timings(old, new).is_slower_than(1.5) is slower


def test_a_difference_below_the_floor_decides_nothing_however_large_the_ratio():
    measurement = timings(0.0001, 0.0001 + FLOOR_SECONDS * 0.9)
    assert measurement.ratio > 40
    assert not measurement.is_slower_than(1.5)
    assert timings(0.0001, 0.0002 + FLOOR_SECONDS).is_slower_than(1.5)


def test_a_repetition_that_was_disturbed_decides_nothing():
    assert not Timings([0.1] * 5, [0.1, 0.1, 9.0, 0.1, 7.0]).is_slower_than(1.5)
    assert Timings([0.1, 0.1, 9.0, 0.1, 7.0], [0.2] * 5).is_slower_than(1.5), "nor does it excuse new"


def test_a_query_that_takes_no_time_on_old_is_no_division_by_zero():
    assert timings(0.0, 1.0).is_slower_than(1000)
    assert timings(0.0, 1.0).ratio == pytest.approx(1e6)


def rounds_of(old: float, new: float) -> int:
    measurement = Timings()
    while measurement.wants_more:
        measurement.old.append(old)
        measurement.new.append(new)
    return measurement.rounds


def test_a_quick_query_is_repeated_often_and_a_slow_one_a_few_times():
    assert rounds_of(0.001, 0.002) == ROUNDS_MAX
    assert rounds_of(1.0, 1.0) == 5
    assert rounds_of(20.0, 20.0) == ROUNDS_MIN


def test_both_timings_are_in_the_evidence_and_in_words():
    measurement = Timings([0.001, 0.002, 0.009], [0.010, 0.020, 0.030])
    assert measurement.evidence == {
        "old_ms": {"median": 2.0, "fastest": 1.0, "slowest": 9.0},
        "new_ms": {"median": 20.0, "fastest": 10.0, "slowest": 30.0},
        "ratio": 10.0,
        "rounds": 3,
    }
    assert str(measurement) == "2.0 ms on old, 20.0 ms on new (medians of 3, warm)"
