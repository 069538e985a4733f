"""Keypoints: layouts, units, what errors are relative to, truth in pixels of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import DataError
from edge_scnet.tasks.registry import evaluator_for
from tests.tasks.cases import compared, context, judged, targets

_POINTS = np.random.default_rng(0).uniform(10, 54, (30, 5, 2))


def _evaluator(arguments: dict[str, Any] | None = None, **changes: Any) -> Any:
    given = context("keypoints", 30, shape=(3, 64, 64), arguments=arguments, **changes)
    return evaluator_for(given)


def _kept(output: np.ndarray, arguments: dict[str, Any]) -> np.ndarray:
    array = output.astype(np.float32)
    made = _evaluator(arguments)
    kept = made.reduce([array], [array], range(30))
    found: np.ndarray = made.in_pixels(kept, kept)
    return found


def test_layouts_and_units_are_of_the_same_points() -> None:
    x, y = _POINTS[..., 0], _POINTS[..., 1]
    for output, arguments in (
        (_POINTS.reshape(30, 10), {}),
        (_POINTS.reshape(30, 10) / 64, {}),
        (_POINTS.reshape(30, 10) / 64, {"units": "unit"}),
        (np.concatenate([x, y], axis=1), {"layout": "xxyy"}),
        (np.concatenate([_POINTS, _POINTS[..., :1]], axis=2), {}),
    ):
        assert _kept(output, arguments) == pytest.approx(_POINTS, abs=1e-4)


def test_peaks_of_heatmaps_lie_within_half_a_pixel_of_the_map() -> None:
    y, x = np.mgrid[0:32, 0:32] + 0.5
    distance = (x - _POINTS[..., 0, None, None] / 2) ** 2
    distance = distance + (y - _POINTS[..., 1, None, None] / 2) ** 2
    found = _kept(np.exp(-distance / 8), {})
    assert np.abs(found - _POINTS).max() <= 1.0
    last = np.moveaxis(np.exp(-distance / 8), 1, -1)
    assert np.array_equal(_kept(last, {}), found)
    with pytest.raises(DataError, match="does not tell the points' axis"):
        _kept(np.zeros((30, 5, 5, 5)), {})


def _truth(visible: float = 1.0) -> list[np.ndarray]:
    return [np.concatenate([each, np.full((5, 1), visible)], axis=1) for each in _POINTS]


@pytest.mark.parametrize(
    ("normalise_by", "scale"),
    [
        ("size", np.sqrt(np.prod(np.ptp(_POINTS, axis=1), axis=1))),
        ("image", np.full(30, 64 * np.sqrt(2))),
        ([0, 1], np.linalg.norm(_POINTS[:, 0] - _POINTS[:, 1], axis=1)),
    ],
)
def test_the_normalised_mean_error(normalise_by: Any, scale: np.ndarray) -> None:
    made = _evaluator({"normalise_by": normalise_by}, targets=targets("keypoints", _truth()))
    output = (_POINTS + np.array([3.0, 4.0])).reshape(30, 10).astype(np.float32)
    first, second = compared(made, output, output).metrics[:2]
    assert first.value == pytest.approx(100 * (5.0 / scale).mean(), rel=1e-4)
    assert (second.name, second.unit, second.value) == ("mean error", "px", pytest.approx(5.0))


def test_two_points_of_which_one_is_hidden_are_no_length() -> None:
    known = _truth()
    for each in known[3:]:
        each[1, :2], each[1, 2] = 0.0, 0.0
    made = _evaluator({"normalise_by": [0, 1]}, targets=targets("keypoints", known))
    output = (_POINTS + np.array([3.0, 4.0])).reshape(30, 10).astype(np.float32)
    scale = np.linalg.norm(_POINTS[:3, 0] - _POINTS[:3, 1], axis=1)
    first = compared(made, output, output).metrics[0]
    assert first.value == pytest.approx(100 * (5.0 / scale).mean(), rel=1e-4)


@pytest.mark.parametrize("normalise_by", [[-1, 2], [True, False], [1, 1], [0, 1, 2]])
def test_points_that_are_no_two_numbers_are_refused(normalise_by: Any) -> None:
    with pytest.raises(DataError, match="normalise_by is"):
        _evaluator({"normalise_by": normalise_by})


def test_points_in_one_place_have_no_size() -> None:
    known = [np.tile(each[:1], (5, 1)) for each in _truth()]
    made = _evaluator(targets=targets("keypoints", known))
    output = _POINTS.reshape(30, 10).astype(np.float32)
    with pytest.raises(DataError, match="normalise_by is 'size'") as raised:
        compared(made, output, output)
    assert '{"normalise_by": "image"}' in raised.value.hint


def test_points_are_held_to_the_truth_in_the_image() -> None:
    """Images of 128 x 128, of which the network sees half the size."""
    large = [each * (2, 2, 1) for each in _truth()]
    made = _evaluator(targets=targets("keypoints", large), image_sizes=((128, 128),) * 30)
    output = _POINTS.reshape(30, 10).astype(np.float32)
    assert compared(made, output, output).metrics[1].value == pytest.approx(0.0, abs=1e-3)


def test_truth_that_does_not_fit_is_named() -> None:
    output = _POINTS.reshape(30, 10).astype(np.float32)
    few = targets("keypoints", [each[:4] for each in _truth()])
    with pytest.raises(DataError, match=r"0\.png has 4 keypoints, the output 5"):
        compared(_evaluator(targets=few), output, output)
    hidden = targets("keypoints", _truth(0.0))
    with pytest.raises(DataError, match="the ground truth is empty"):
        compared(_evaluator(targets=hidden), output, output)
    with pytest.raises(DataError, match="9 values a sample"):
        compared(_evaluator(), output[:, :9], output[:, :9])
    with pytest.raises(DataError, match="normalise_by is 'eyes'"):
        _evaluator({"normalise_by": "eyes"})
    with pytest.raises(DataError, match="judged by keypoints, the samples have values"):
        _evaluator(targets=targets("values", [np.zeros(1)] * 30))


def test_another_layout_than_the_networks_proves_nothing() -> None:
    made = _evaluator({"layout": "xxyy"}, targets=targets("keypoints", _truth()))
    output = _POINTS.reshape(30, 10).astype(np.float32)
    finding = judged(compared(made, output, output))
    assert finding.verdict == "inconclusive" and "the layout and the units" in finding.message
