"""Two engines on the same images: counts, bounds and the words for them."""

from __future__ import annotations

import pytest

from edge_scnet.report.findings import Verdict
from edge_scnet.report.paired import PairedDrop, advice, lost_and_won, paired_drop, three_way
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, paired_difference_interval


def test_images_are_counted_by_what_changed() -> None:
    before, now = [True, True, True, False, False], [True, False, False, True, False]
    assert lost_and_won(before, now) == (2, 1)
    drop = paired_drop(before, now)
    low, high = paired_difference_interval(2, 1, 5, z=Z_ONE_SIDED_95)
    assert drop == PairedDrop(images=5, lost=2, won=1, low_pp=100 * low, high_pp=100 * high)
    assert drop.drop_pp == pytest.approx(20.0)
    with pytest.raises(ValueError):
        lost_and_won(before, now[:-1])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-1.0, 0.5, "pass"), (0.5, 1.0, "inconclusive"), (0.51, 1.0, "fail"), (0.0, 0.51, None)],
)
def test_the_ends_of_an_interval_decide(low: float, high: float, verdict: Verdict | None) -> None:
    assert three_way(low, high, 0.5) == (verdict or "inconclusive")


@pytest.mark.parametrize(
    ("lost", "won", "movement", "question"),
    [
        (30, 10, "fell by 2.00 pp", "prove a loss of more than 0.5 pp"),
        (10, 12, "rose by 0.10 pp", "exclude a loss of 0.5 pp"),
        (3, 3, "is equal", "exclude a loss of 0.5 pp"),
    ],
)
def test_a_drop_in_words(lost: int, won: int, movement: str, question: str) -> None:
    images = 1000 if lost == 30 else 2000
    drop = PairedDrop(images=images, lost=lost, won=won, low_pp=-0.25, high_pp=1.5)
    assert drop.movement == movement and drop.undecided(0.5) == question
    assert drop.counts == f"{lost} lost, {won} won" and drop.range == "-0.25 to 1.50 pp"


def test_a_score_next_to_nothing_has_its_words() -> None:
    """As of a limit of 1e-320 pp."""
    assert "lies at the limit itself" in advice(1000, 1e-320)
