"""Plans of steps, and their rates."""

from __future__ import annotations

from edge_scnet.recovery.schedule import Schedule


def test_a_plan_leaves_a_tenth_of_the_time() -> None:
    schedule = Schedule(step=3)
    schedule.plan(100.0, 1.0)
    assert schedule.planned == 3 + 90


def test_a_plan_stays_where_the_time_is_enough_and_is_cut_where_it_is_not() -> None:
    schedule = Schedule(step=10, progress=0.5, increment=0.05)
    schedule.plan(1000.0, 1.0)
    assert schedule.planned == 20
    schedule.plan(5.0, 1.0)
    assert schedule.planned == 15
    for _ in range(5):
        assert not schedule.is_over
        schedule.advance()
    assert schedule.is_over


def test_the_rate_rises_and_falls_to_nothing() -> None:
    schedule = Schedule(increment=0.01)
    rates = []
    while not schedule.is_over:
        rates.append(schedule.rate)
        schedule.advance()
    assert len(rates) == 100
    assert rates[0] < 0.3 < 0.9 < max(rates[:10]) and rates[-1] < 0.01


def test_a_time_that_is_over_plans_one_step() -> None:
    schedule = Schedule(step=3)
    schedule.plan(-1.0, 1.0)
    assert schedule.planned == 4
