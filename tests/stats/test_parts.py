"""Parts of small numbers in an output are measured apart from the large ones that hide them."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.stats.accuracy import LEAST_DB, output_rows, output_stats
from edge_scnet.stats.parts import RowSums

RANDOM = np.random.default_rng(0)
# 4 rows of pixels, 8 of probabilities that vary about a mean
PIXELS = (RANDOM.random((20, 4, 300)) * 256).astype(np.float32)
SCORES = (0.02 + 0.002 * RANDOM.standard_normal((20, 8, 300))).astype(np.float32)
HEAD = np.concatenate([PIXELS, SCORES], axis=1)


def hidden_db(reference: np.ndarray, other: np.ndarray) -> float | None:
    sums = RowSums()
    for chunk in np.array_split(np.arange(len(reference)), 3):
        sums.add(reference[chunk], other[chunk] - reference[chunk])
    return sums.hidden_part_db()


@pytest.mark.parametrize("turned", [False, True])
def test_constant_scores_beside_right_boxes_are_seen(turned: bool) -> None:
    constant, noisy = HEAD.copy(), HEAD.copy()
    constant[:, 4:] = 0.02
    noisy[:, 4:] += 0.0002 * RANDOM.standard_normal(SCORES.shape).astype(np.float32)
    heads = (HEAD, constant, noisy)
    wanted, broken, right = [np.swapaxes(head, 1, 2) if turned else head for head in heads]
    assert hidden_db(wanted, broken) == pytest.approx(0, abs=0.1)
    assert hidden_db(wanted, right) == pytest.approx(20, abs=0.1)
    assert hidden_db(wanted, wanted) is None


def test_an_output_of_one_scale_has_no_parts() -> None:
    wrong = SCORES * np.float32(0.5)
    assert hidden_db(SCORES, wrong) is None
    # a single small row is the noise of a network, no part; nor is one that is dead
    one = SCORES.copy()
    one[:, 0] *= 1e-3
    assert hidden_db(one, wrong) is None
    dead = SCORES.copy()
    dead[:, :4] = 0
    assert hidden_db(dead, wrong) is None
    assert hidden_db(HEAD[:, :, 0], HEAD[:, :, 0] + 1) is None


def test_the_lowest_figure_is_the_outputs() -> None:
    powers = {"signal_power": [1000.0, 1.0], "noise_power": [1.0, 0.001]}
    assert output_stats(9, **powers).sqnr_db == pytest.approx(30)
    assert output_stats(9, **powers, hidden_db=[-0.8, None]).sqnr_db == -0.8
    rows = output_rows(["a", "b"], [1000.0, 1.0], [1000.0, 1.0], [1.0, 0.001], [-0.8, None])
    assert [row.sqnr_db for row in rows] == [-0.8, pytest.approx(30)]


def test_a_row_smaller_still_does_not_hide_the_small_part() -> None:
    head = HEAD.copy()
    head[:, 4] *= 1e-8
    constant = head.copy()
    constant[:, 5:] = 0.02
    assert hidden_db(head, constant) == pytest.approx(0, abs=0.1)


def test_noise_where_nothing_should_be_is_the_worst_and_no_noise_is_none() -> None:
    assert output_stats(9, signal_power=[0.0], noise_power=[1.0]).sqnr_db == LEAST_DB
    assert output_stats(9, signal_power=[0.0], noise_power=[0.0]).sqnr_db is None
    (row,) = output_rows(["a"], [0.0], [1.0], [1.0])
    assert row.sqnr_db == LEAST_DB and not row.identical
