"""Drawings: at the right place, in colours that are seen, at the image's own size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_scnet.core.placement import Placement
from edge_scnet.pipeline.drawing import can_draw, colour_of, draw
from edge_scnet.tasks.readout import (
    Classes,
    Labels,
    Mask,
    Numbers,
    Objects,
    Outputs,
    Points,
    Readout,
    Vector,
    Words,
)

WHITE, BLACK = np.full((300, 400, 3), 255, np.uint8), np.zeros((300, 400, 3), np.uint8)


def objects(*corners: tuple[float, ...], names: tuple[str, ...] = ("one", "two")) -> Readout:
    count = len(corners)
    form = Objects(
        corners=np.array(corners, np.float32).reshape(count, 4),
        classes=np.arange(count),
        scores=np.linspace(1, 0.5, count) if count else np.zeros(0),
    )
    return Readout(task="detection", form=form, names=names)


def drawn(readout: Readout, picture: np.ndarray = WHITE) -> np.ndarray:
    return np.asarray(draw(picture.copy(), readout))


def test_colours_are_far_from_each_other_and_never_dark() -> None:
    colours = [np.array(colour_of(i), float) for i in range(12)]
    apart = [np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2)]
    assert min(apart) > 80
    for i in range(200):
        red, green, blue = colour_of(i)
        assert max(red, green, blue) >= 200 and min(red, green, blue) >= 0
    assert len({colour_of(i) for i in range(60)}) == 60


def test_a_box_is_drawn_where_it_is_and_nowhere_else() -> None:
    for picture in (WHITE, BLACK):
        out = drawn(objects((100, 120, 300, 250)), picture)
        assert out.shape == picture.shape
        # the middle of each edge has the class's colour and a dark rim
        for x, y in ((100, 185), (299, 185), (200, 120), (200, 249)):
            near = out[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).tolist()
            assert list(colour_of(0)) in near and [16, 16, 20] in near
        assert (out[150:220, 140:260] == picture[150:220, 140:260]).all()
        assert (out[260:] == picture[260:]).all()


def test_boxes_at_and_beyond_the_edge_are_drawn() -> None:
    out = drawn(objects((-50, -50, 500, 500)))
    assert out[150, 0].tolist() == list(colour_of(0)) and out[299, 200].tolist() == list(
        colour_of(0)
    )
    for corners in (
        (500, 500, 600, 600),
        (300, 200, 100, 50),
        (np.nan, 0, np.inf, 9),
        (5, 5, 5, 5),
    ):
        drawn(objects(corners))
    assert (drawn(objects()) == WHITE).all()


def test_captions_do_not_hide_each_other() -> None:
    same = tuple((100.0, 100.0, 300.0, 200.0) for _ in range(3))
    out = drawn(objects(*same, names=("a", "b", "c")))
    for i in range(3):
        # a caption is a ground of the colour
        assert (out == colour_of(i)).all(axis=2).sum() > 150


def test_a_mask_shines_through_and_its_ground_is_clear() -> None:
    classes = np.zeros((2, 2), int)
    classes[0, 1] = 3
    placed = Placement(scale_x=2 / 400, scale_y=2 / 300, offset_x=0, offset_y=0)
    mask = Readout(task="segmentation", form=Mask(classes=classes, placement=placed))
    out = drawn(mask, BLACK)
    assert out[75, 300].tolist() == pytest.approx([c / 2 for c in colour_of(3)], abs=1)
    assert (out[200:] == 0).all()
    # its edge has the whole colour; the image's own edge is none
    assert out[75, 200].tolist() == list(colour_of(3)) and out[75, 399].tolist() != list(
        colour_of(3)
    )
    named = Readout(task="segmentation", form=mask.form, names=("road", "a", "b", "c"))
    assert (drawn(named, BLACK)[250, 50] > 0).any()


def test_points_are_dots_and_those_that_are_not_visible_are_not() -> None:
    points = Points(
        positions=np.array([[50.0, 60.0], [200.0, 150.0], [np.nan, 3.0]]),
        visible=np.array([True, False, True]),
    )
    out = drawn(Readout(task="keypoints", form=points))
    assert out[60, 50].tolist() == list(colour_of(0)) and (out[140:160, 190:210] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (20, 1500), (1500, 20), (96, 400)])
def test_pictures_of_all_sizes_are_drawn_on(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    for readout in (
        objects((0, 0, size[1], size[0])),
        Readout(task="classification", form=Classes(indices=(2,), shares=(0.5,))),
    ):
        out = drawn(readout, picture)
        times = out.shape[0] // size[0]
        assert out.shape[:2] == (size[0] * times, size[1] * times)
        assert (times > 1) == (max(size) < 128)


def test_names_of_any_letters_are_captions() -> None:
    plain = drawn(objects((10, 10, 200, 200), names=()))
    # what the font cannot write is numbered
    assert (drawn(objects((10, 10, 200, 200), names=("猫",))) == plain).all()
    for name in ("", "  ", "line\nbreak", "é" * 500, "\x00"):
        drawn(objects((10, 10, 200, 200), names=(name,)))
        drawn(Readout(task="m", form=Words(lines=(name,))))


def test_what_has_no_place_in_a_picture_is_not_drawn() -> None:
    assert not can_draw(Readout(task="embedding", form=Vector(values=np.ones(3))))
    assert not can_draw(Readout(task="features", form=Outputs(outputs=())))
    assert can_draw(Readout(task="regression", form=Numbers(values=np.ones(1))))
    some = Labels(applies=np.array([True]), scores=np.array([0.5]))
    assert can_draw(Readout(task="multilabel", form=some))
    assert (drawn(Readout(task="embedding", form=Vector(values=np.ones(3)))) == WHITE).all()
