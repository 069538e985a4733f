"""Where an image comes to lie in the input: worked out by hand, and by what is really drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_scnet.core.placement import geometry_of, placement_of
from edge_scnet.data.images import preprocess
from edge_scnet.errors import DataError
from tests.helpers.images import RGB, prepared

WIDE = replace(RGB, input_shape=(3, 64, 96))
SQUARE = replace(RGB, input_shape=(3, 64, 64))


@pytest.mark.parametrize(
    ("spec", "values", "image", "resized", "corner"),
    [
        (SQUARE, {"resize": "crop"}, (128, 96), (85, 64), (10, 0)),
        (SQUARE, {"resize": "crop", "short_side": 73}, (128, 96), (97, 73), (16, 4)),
        (SQUARE, {"resize": "stretch"}, (128, 96), (64, 64), (0, 0)),
        (SQUARE, {"resize": "stretch", "short_side": 80}, (128, 96), (80, 80), (8, 8)),
        (WIDE, {"resize": "stretch"}, (10, 10), (96, 64), (0, 0)),
        # (64 - 47) / 2 = 8.5 rows of padding above: 8 above, 9 below, as Ultralytics
        (SQUARE, {"resize": "letterbox"}, (100, 73), (64, 47), (0, -8)),
        (WIDE, {"resize": "letterbox"}, (30, 40), (48, 64), (-24, 0)),
        # 73 * 0.64 = 46.72: rounded in the centre, cut off at the upper left, as YOLOX
        (SQUARE, {"resize": "letterbox", "pad_anchor": "top-left"}, (100, 73), (64, 46), (0, 0)),
        (SQUARE, {"resize": "letterbox"}, (6400, 10), (64, 1), (0, -31)),
        (SQUARE, {"resize": "none"}, (100, 64), (100, 64), (18, 0)),
    ],
)
def test_geometry(
    spec: object, values: dict, image: tuple, resized: tuple, corner: tuple[int, int]
) -> None:
    found = geometry_of(image, prepared(spec, **values))
    assert ((found.width, found.height), (found.left, found.top)) == (resized, corner)


@pytest.mark.parametrize("mode", ["crop", "stretch", "letterbox"])
def test_points_of_the_input_and_of_the_image(mode: str) -> None:
    spec = prepared(WIDE, resize=mode)
    placement = placement_of((300, 150), spec)
    boxes = np.array([[10.0, 20.0, 200.0, 140.0], [0.0, 0.0, 300.0, 150.0]])
    there = placement.to_input(boxes)
    np.testing.assert_allclose(placement.to_image(there), boxes)
    if mode == "letterbox":  # 0.32: 96 x 48, 8 rows above
        np.testing.assert_allclose(there[1], [0, 8, 96, 56])
    if mode == "crop":  # 128 x 64, 16 columns cut off at each side
        np.testing.assert_allclose(there[1], [-16, 0, 112, 64])
    if mode == "stretch":
        np.testing.assert_allclose(there[0], [3.2, 20 * 64 / 150, 64, 140 * 64 / 150])
    points = np.array([[[1.0, 2.0]], [[3.0, 4.0]]])
    assert placement.to_image(points).shape == points.shape


@pytest.mark.parametrize(
    "values",
    [
        {"resize": "crop"},
        {"resize": "crop", "short_side": 80},
        {"resize": "stretch"},
        {"resize": "letterbox"},
        {"resize": "letterbox", "pad_anchor": "top-left"},
    ],
)
@pytest.mark.parametrize("size", [(200, 120), (120, 200), (61, 47)])
def test_a_drawn_square_is_where_its_corners_are_said_to_be(
    values: dict, size: tuple[int, int]
) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    x, y, side = width // 2 - 5, height // 2 - 8, 14
    image[y : y + side, x : x + side] = 255
    spec = prepared(WIDE, **values)
    drawn = preprocess(image, spec)[0]
    corners = placement_of(size, spec).to_input(np.array([x, y, x + side, y + side], float))
    # the centre of brightness, in coordinates of pixels' corners
    rows, columns = np.arange(64) + 0.5, np.arange(96) + 0.5
    found = (drawn.sum(0) @ columns / drawn.sum(), drawn.sum(1) @ rows / drawn.sum())
    wanted = ((corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2)
    np.testing.assert_allclose(found, wanted, atol=0.06)
    area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    assert drawn.sum() == pytest.approx(area, rel=0.02)


def test_an_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(DataError, match="an image of 63 x 64 cannot fill an input of 64 x 64") as e:
        geometry_of((63, 64), prepared(SQUARE, resize="none"))
    assert e.value.hint == "--resize-mode crop, stretch or letterbox"
