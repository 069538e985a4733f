"""Quality by output, the worst of them, and the margin of the fidelity check."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.compile import quality
from edge_scnet.compile.quality import OutputQuality


def real(db: float | None, elements: int = 100_000) -> OutputQuality:
    """An output of real numbers with this SQNR."""
    noise = 0.0 if db is None else 10 ** (-db / 10)
    return OutputQuality(signal=1.0, noise=noise, largest=1.0, elements=elements, differing=0)


def whole(differing: int, elements: int = 1000) -> OutputQuality:
    return OutputQuality(
        signal=0, noise=0, largest=0, elements=elements, differing=differing, whole=True
    )


def falls_short(engine: OutputQuality, simulation: OutputQuality) -> bool:
    return quality.falls_short(engine, simulation, quality.least_db(simulation))


def test_whole_numbers_that_differ_do_not_read_as_identical() -> None:
    counted = quality.fidelity_of(whole(3), whole(2), images=8)
    assert (counted.engine_db, counted.engine_differing, counted.simulation_differing) == (
        None,
        3,
        2,
    )
    assert quality.fidelity_words(counted) == (
        "fidelity: 3 whole numbers are others than in float (simulated 2)"
    )
    same = quality.fidelity_of(real(40.0), real(None), images=8)
    assert quality.fidelity_words(same) == "fidelity 40.0 dB (simulated exact)"


@pytest.mark.parametrize(
    ("engine", "simulation", "fails"),
    [
        (6.8, 24.8, True),
        (29.9, 29.7, False),
        (17.1, 16.7, False),
        (22.7, 24.8, True),
        (22.9, 24.8, False),
        (None, 30.0, False),
        (40.0, None, True),
        # another order of float sums
        (110.0, None, False),
        (90.0, 120.0, False),
        (79.0, None, True),
    ],
)
def test_margin_separates_every_case_seen(
    engine: float | None, simulation: float | None, fails: bool
) -> None:
    assert falls_short(real(engine), real(simulation)) is fails


def test_the_noise_of_few_elements_is_uncertain() -> None:
    assert quality.margin_db(640) == quality.margin_db(10**6) == quality.FIDELITY_MARGIN_DB
    # 64 images, one probability each: two right engines are 1.1 dB apart, one deviation
    assert quality.margin_db(64) == pytest.approx(2 + 3 * 1.086, abs=0.01)
    ratios = [
        np.square(a).sum() / np.square(b).sum()
        for a, b in np.random.default_rng(0).standard_normal((4000, 2, 64))
    ]
    assert np.std(10 * np.log10(ratios)) == pytest.approx(1.086, rel=0.1)
    assert not falls_short(real(20.0, 64), real(25.0, 64))
    assert falls_short(real(19.0, 64), real(25.0, 64))


def test_each_output_is_judged_by_itself() -> None:
    large, small = np.full(4, 1000, np.float32), np.ones(4, np.float32)
    qualities = quality.qualities_of([large, small, 0 * small], [large, 0.9 * small, small * 0])
    assert [q.db for q in qualities] == [None, pytest.approx(20, abs=0.01), None]


@pytest.mark.parametrize(
    ("engines", "simulations", "worst"),
    [
        # nearest to what it must have, not the lowest
        ((real(30.0), real(20.0)), (real(30.0), real(21.0)), 1),
        # should be as good as float and is not
        ((real(30.0), real(60.0)), (real(30.0), real(None)), 1),
        ((real(None), real(20.0)), (real(None), real(21.0)), 1),
        ((real(None), real(None)), (real(None), real(None)), 0),
        # whole numbers have no ratio, and are wrong all the same
        ((real(20.0), whole(500)), (real(21.0), whole(0)), 1),
        ((whole(1), real(30.0)), (whole(1), real(30.0)), 1),
        ((real(None), whole(1)), (real(None), whole(1)), 1),
    ],
)
def test_the_worst_output_is_the_nearest_to_its_limit(
    engines: tuple[OutputQuality, ...], simulations: tuple[OutputQuality, ...], worst: int
) -> None:
    least = [quality.least_db(simulation) for simulation in simulations]
    assert quality.worst_output(engines, simulations, least) == worst


@pytest.mark.parametrize(
    ("engine", "simulation", "fails"),
    [
        (whole(0), whole(0), False),
        (whole(20), whole(0), False),
        (whole(21), whole(0), True),
        (whole(120), whole(50), False),
        (whole(121), whole(50), True),
        # a constant: one value, wrong in every batch
        (whole(1, 1), whole(0, 1), True),
        (whole(4, 4), whole(0, 4), True),
    ],
)
def test_whole_numbers_may_differ_where_two_values_are_close(
    engine: OutputQuality, simulation: OutputQuality, fails: bool
) -> None:
    assert falls_short(engine, simulation) is fails


def test_equal_infinities_are_no_noise() -> None:
    inf, nan = np.inf, np.nan
    wanted = np.array([1, 2, inf, -inf, nan] * 20, np.float32)
    same = quality.quality_of(wanted, wanted)
    assert (same.differing, same.infinite, same.db) == (0, 60, None)
    noisy = np.where(np.isfinite(wanted), wanted * np.float32(1.01), wanted)
    assert quality.quality_of(wanted, noisy).db == pytest.approx(40, abs=0.01)
    assert not falls_short(same, same)
    other = np.array([1, 2, -inf, -inf, nan] * 20, np.float32)
    assert quality.quality_of(wanted, other).differing == 20
    assert falls_short(quality.quality_of(wanted, other), same)
    finite = np.ones(100, np.float32)
    one_wrong = np.where(np.arange(100) == 7, np.float32(inf), finite)
    assert falls_short(quality.quality_of(finite, one_wrong), quality.quality_of(finite, finite))


def test_a_dead_output_must_stay_as_dead_as_in_the_simulation() -> None:
    dead = np.zeros(1000, np.float32)
    exact, tiny = quality.quality_of(dead, dead), quality.quality_of(dead, dead + 1e-6)
    wrong = quality.quality_of(dead, dead + np.float32(0.1))
    assert not falls_short(tiny, exact) and falls_short(wrong, exact)
    assert not falls_short(wrong, wrong)


def test_an_output_of_another_size_differs_throughout() -> None:
    found = quality.quality_of(np.arange(6), np.arange(4))
    assert (found.elements, found.differing) == (6, 6)


def test_runs_are_joined_whatever_their_outputs_are() -> None:
    runs = [[np.float32(1), np.ones((2, 3))], [np.float32(2), np.zeros((2, 3))]]
    assert [output.shape for output in quality.joined(runs)] == [(2,), (12,)]


def test_nan_and_infinity_are_found_in_any_output() -> None:
    fine = np.ones(3, np.float32)
    assert quality.all_finite([fine, fine, np.arange(3), np.array([True])])
    assert not quality.all_finite([fine, fine * np.float32(np.inf)])
    assert not quality.all_finite([fine * np.float32(np.nan), fine])


def test_an_output_whose_size_depends_on_the_data_is_never_proven() -> None:
    ones = np.ones(5, np.float32)
    resized = quality.quality_of(ones, np.ones(6, np.float32))
    same = quality.quality_of(ones, ones)
    assert falls_short(resized, resized) and falls_short(same, resized)
    assert falls_short(resized, same) and not falls_short(same, same)


def test_an_intended_infinity_allows_no_other_value_to_be_none() -> None:
    wanted = np.ones(1_000_000, np.float32)
    wanted[0] = -np.inf
    broken = wanted.copy()
    broken[1:10_000] = np.nan
    simulation = quality.quality_of(wanted, wanted)
    assert not falls_short(quality.quality_of(wanted, wanted), simulation)
    assert falls_short(quality.quality_of(wanted, broken), simulation)


def test_scores_that_are_constant_beside_right_boxes_are_found() -> None:
    rng = np.random.default_rng(0)
    boxes, scores = rng.random((4, 4, 300)) * 256, 0.02 + 0.002 * rng.standard_normal((4, 8, 300))
    head = np.concatenate([boxes, scores], axis=1).astype(np.float32)
    broken = head.copy()
    broken[:, 4:] = 0.02
    runs = [[image[None]] for image in head]
    assert quality.hidden_parts_db(runs, runs) == [None]
    (found,) = quality.hidden_parts_db(runs, [[image[None]] for image in broken])
    assert found == pytest.approx(0, abs=0.2)
