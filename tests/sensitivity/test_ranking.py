"""Which modules come first, and how many are predicted to keep a limit."""

from __future__ import annotations

import pytest

from edge_scnet.sensitivity import ranking
from edge_scnet.sensitivity.costs import Costs
from edge_scnet.sensitivity.noise import ModuleNoise
from edge_scnet.sensitivity.result import Candidate, Limit


def modules(**shares: float) -> list[ModuleNoise]:
    return [ModuleNoise(node=name, share=share, multiply_adds=1) for name, share in shares.items()]


def engine(
    sqnr_db: float | None, drop: float | None = None, *, within: bool | None = None
) -> Candidate:
    return Candidate(
        keep_float=(),
        sqnr_db=sqnr_db,
        drop_upper95_pp=drop,
        time_ratio=1.0,
        time_low=None,
        time_high=None,
        within=within,
    )


def test_modules_come_by_noise_over_cost_and_none_is_free() -> None:
    found = modules(a=0.5, b=0.3, c=0.2)
    assert ranking.ranked(found, Costs({"a": 0.5, "b": 0.1, "c": 0.01})) == ["c", "b", "a"]
    # faster in float, or within what timing resolves: the noise decides
    assert ranking.ranked(found, Costs({"a": 0.001, "b": -0.2, "c": 0.0})) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("limit", "base", "share"),
    [
        (Limit(min_sqnr_db=25.0), engine(15.0), 0.1),
        (Limit(min_gain_db=3.0103), engine(15.0), 0.5),
        # a drop falls as the root of the noise
        (Limit(max_drop_pp=0.5), engine(15.0, 1.0), 0.25),
        (Limit(max_drop_pp=0.5), engine(15.0, within=False), 0.25),
        (Limit(max_drop_pp=0.5, min_gain_db=10.0), engine(15.0, 1.0), 0.1),
        (Limit(min_sqnr_db=10.0), engine(15.0), 1.0),
    ],
)
def test_a_limit_leaves_room_for_a_share_of_the_noise(
    limit: Limit, base: Candidate, share: float
) -> None:
    assert ranking.noise_to_leave(base, limit) == pytest.approx(share, rel=1e-3)


def test_as_many_are_taken_as_leave_no_more_of_the_noise() -> None:
    # the sum of what each causes alone is more than the noise of all: shares are of the sum
    found = modules(a=1.0, b=0.5, c=0.3, d=0.2)
    names = ["a", "b", "c", "d"]
    assert ranking.noise_left(["a"], found) == pytest.approx(0.5)
    assert [ranking.next_length(names, found, share) for share in (0.5, 0.4, 0.01)] == [1, 2, 4]
    assert ranking.next_length(names, found, 0.5, above=2) == 3


def test_an_engine_that_leaves_more_than_was_predicted_is_followed_by_a_stricter_aim() -> None:
    base, tried = engine(10.0), engine(14.0)
    # 40 % are left where 20 % were to be
    assert ranking.corrected(0.2, tried, base, 0.2) == pytest.approx(0.1, rel=0.01)
    assert ranking.corrected(0.2, engine(10.0), base, 0.2) == pytest.approx(0.04)
    # the noise went as predicted, the limit of a task is not kept all the same
    assert ranking.corrected(0.2, engine(20.0), base, 0.2) == pytest.approx(0.1)
