"""Readouts: what each task's evaluator says of one sample, and where that is in its image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_scnet.core.json_records import encode_pretty
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.placement import Placement
from edge_scnet.core.targets import Boxes
from edge_scnet.errors import DataError
from edge_scnet.tasks.readout import (
    Classes,
    Labels,
    Mask,
    Numbers,
    Objects,
    Output,
    Outputs,
    Points,
    Readout,
    Vector,
    Words,
    placement_in_map,
    read,
    scaled,
    truth_of,
)
from edge_scnet.tasks.readout_json import record_of
from edge_scnet.tasks.readout_words import details, headline, shares
from edge_scnet.tasks.registry import evaluator_for
from edge_scnet.tasks.user import UserEvaluator
from tests.helpers.images import prepared
from tests.tasks.cases import context, spec, targets


def said(kind: str, *outputs: np.ndarray, **options: Any) -> Readout:
    given = context(kind, 1, **options)
    return read(evaluator_for(given), given, [np.asarray(each) for each in outputs], 0)


def as_json(readout: Readout, size: tuple[int, int] | None) -> Any:
    said = record_of(readout, size, image="a.png", drawn=None)
    return msgspec.json.decode(msgspec.json.encode(said))


def test_each_task_says_what_its_outputs_mean() -> None:
    one = said("binary", np.float32([[2.0]])).form
    assert isinstance(one, Classes) and one.indices == (1, 0)
    assert one.shares == pytest.approx((0.8807971, 0.1192029))
    # two columns of probabilities stay what they are
    two = said("binary", np.float32([[0.7, 0.3]])).form
    assert isinstance(two, Classes) and two.indices == (0, 1)
    assert two.shares == pytest.approx((0.7, 0.3))
    labels = said("multilabel", np.float32([[3.0, -3.0]])).form
    assert isinstance(labels, Labels) and labels.applies.tolist() == [True, False]
    assert labels.scores is not None and labels.scores[0] == pytest.approx(0.95257413)
    vector = said("embedding", np.float32([[3.0, 4.0]])).form
    assert isinstance(vector, Vector) and vector.values.tolist() == [3.0, 4.0]
    numbers = said("regression", np.float32([[3.0, 4.0]])).form
    assert isinstance(numbers, Numbers) and numbers.values.tolist() == [3.0, 4.0]
    assert isinstance(said("regression", np.zeros((1, 1, 40, 40), np.float32)).form, Outputs)
    ranges = said("features", np.float32([[1.0, np.nan, 5.0]])).form
    assert isinstance(ranges, Outputs) and (ranges.outputs[0].low, ranges.outputs[0].high) == (1, 5)


def test_boxes_are_in_pixels_of_the_image() -> None:
    # end2end's rows: corners in the input's pixels, score, class
    rows = np.float32([[[2, 4, 8, 8, 0.9, 1], [0, 0, 4, 4, 0.2, 0]]])
    rule = replace(prepared(spec(3, 16, 16), resize="stretch"), classes=("cat", "dog"))
    options = {"image_sizes": ((32, 16),), "spec": rule, "arguments": {"decode": "end2end"}}
    readout = said("detection", rows, **options)
    assert details(readout) == ("dog 90.0 %  4.0, 4.0, 16.0, 8.0",)
    assert headline(readout, (32, 16)) == "1 object that scores 25 % or more"


def test_points_are_in_pixels_of_the_image() -> None:
    # an image of 32 x 32 in an input of 16 x 16
    options = {"image_sizes": ((32, 32),), "spec": prepared(spec(3, 16, 16), resize="stretch")}
    form = said("keypoints", np.float32([[0.5, 0.25]]), **options).form
    assert isinstance(form, Points) and form.positions.tolist() == [[16.0, 8.0]]


def test_a_map_lies_in_its_image() -> None:
    # 32 x 16 letterboxed into 16 x 16: rows 4 to 12 of the input, 1 to 3 of a map of 4 x 4
    rule = prepared(spec(3, 16, 16), resize="letterbox")
    output = np.zeros((1, 2, 4, 4), np.float32)
    output[0, 1, 1, :2] = 1.0
    form = said("segmentation", output, image_sizes=((32, 16),), spec=rule).form
    assert isinstance(form, Mask)
    at_image = form.at_image(32, 16)
    assert at_image[:8, :16].all() and not at_image[8:].any() and not at_image[:, 16:].any()
    # what is padded counts for nothing
    drawn = Readout(task="segmentation", form=form)
    assert shares(drawn, (32, 16)) == [("class 0", 75.0), ("class 1", 25.0)]
    assert headline(drawn, (32, 16)) == "class 0 75.0 %, class 1 25.0 %"


def test_what_the_network_does_not_see_has_no_class() -> None:
    # 8 x 4 is cut to the middle 4 x 4
    rule = prepared(spec(3, 4, 4), resize="crop")
    given = context("segmentation", 1, image_sizes=((8, 4),), spec=rule)
    placed = placement_in_map(given, 0, (4, 4))
    at_image = Mask(classes=np.ones((4, 4), int), placement=placed).at_image(8, 4)
    assert at_image[0].tolist() == [-1, -1, 1, 1, 1, 1, -1, -1]


def test_a_map_of_one_channel_has_its_class_and_the_background() -> None:
    rule = replace(spec(3, 16, 16), classes=("road",))
    head = OutputHead(name="m", shape=(1, 1, 2, 2), ending="sigmoid")
    found = said("segmentation", np.float32([[[[0.9, 0.1], [0.2, 0.4]]]]), spec=rule, heads=[head])
    assert headline(found, None) == "background 75.0 %, road 25.0 %"


def test_ground_truth_is_read_as_the_outputs_are() -> None:
    boxes = Boxes(
        corners=np.float32([[0, 0, 4, 4]]),
        classes=np.array([1]),
        crowd=np.zeros(1, bool),
        areas=np.float32([16]),
    )
    cases = [
        ("boxes", boxes, Objects),
        ("mask", np.full((4, 4), 255), Mask),
        ("keypoints", np.float32([[1, 2, 1], [3, 4, 0]]), Points),
        ("labels", np.uint8([0, 1]), Labels),
        ("values", np.float32([5]), Numbers),
        ("identity", 3, Words),
    ]
    for kind, value, form in cases:
        given = context("features", 1, targets=targets(kind, [value], ("a", "b")))
        found = truth_of(given, 0, "any")
        assert found is not None and isinstance(found.form, form)
    given = context("segmentation", 1, targets=targets("mask", [np.array([[255, 7]])]))
    mask = truth_of(given, 0, "segmentation")
    assert mask is not None and isinstance(mask.form, Mask)
    assert mask.form.at_image(2, 1).tolist() != [[255, 7]] and mask.form.ignore == 255
    assert truth_of(context("features", 1), 0, "features") is None
    labelled = truth_of(context("binary", 1, labels=(1,)), 0, "binary")
    assert labelled is not None and labelled.form == Classes(indices=(1,))


def test_a_readout_grows_with_its_image() -> None:
    placed = Placement(scale_x=0.5, scale_y=0.5, offset_x=1.0, offset_y=0.0)
    mask = Mask(classes=np.arange(16).reshape(4, 4), placement=placed)
    larger = scaled(Readout(task="", form=mask), 2, 2).form
    assert isinstance(larger, Mask)
    assert (larger.at_image(8, 8)[::2, ::2] == mask.at_image(4, 4)).all()
    points = Points(positions=np.array([[1.0, 2.0]]), visible=np.array([True]))
    grown = scaled(Readout(task="", form=points), 2, 3).form
    assert isinstance(grown, Points) and grown.positions.tolist() == [[2.0, 6.0]]


def test_objects_below_the_threshold_are_left_out() -> None:
    form = Objects(
        corners=np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 9.0, 9.0]]),
        classes=np.array([1, 0]),
        scores=np.array([0.5, 0.1]),
        threshold=0.25,
    )
    readout = Readout(task="detection", form=form, names=("cat", "dog"))
    assert headline(readout, (9, 9)) == "1 object that scores 25 % or more"
    assert details(readout) == ("dog 50.0 %  1.0, 2.0, 3.0, 4.0",)
    assert as_json(readout, (9, 9)) == {
        "form": "objects",
        "image": "a.png",
        "task": "detection",
        "drawn": None,
        "objects": [{"class": "dog", "score": 0.5, "corners": [1.0, 2.0, 3.0, 4.0]}],
    }


def test_json_has_no_nan() -> None:
    readout = Readout(task="regression", form=Numbers(values=np.array([np.nan, 1 / 3])))
    assert as_json(readout, None)["values"] == [
        {"value": "value 0", "is": None},
        {"value": "value 1", "is": 0.333333333},
    ]


def test_json_has_no_nan_of_any_form() -> None:
    """Seen: NaN logits of a classifier, whose probabilities were printed as NaN."""
    nan = np.array([np.nan])
    objects = Objects(corners=np.full((1, 4), np.inf), classes=np.array([0]), scores=nan + np.inf)
    for form in (
        Classes(indices=(0,), shares=(float("nan"),)),
        Labels(applies=np.array([True]), scores=nan),
        objects,
        Points(positions=np.full((1, 2), np.nan), visible=np.array([True])),
        Vector(values=nan),
        Outputs(
            outputs=(Output(name="o", shape=(1,), dtype="float64", low=0.0, high=1.0, mean=np.inf),)
        ),
    ):
        said = record_of(Readout(task="t", form=form), None, image="a", drawn=None)
        encode_pretty(said)


class Own:
    """A user's evaluator."""

    task = "mine"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def reduce(self, *_: Any) -> list[Any]:
        return []

    def compare(self, *_: Any) -> Any:
        return None

    def read(self, outputs: Any, index: int) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_users_evaluator_says_sentences() -> None:
    given = context("m:e", 1)
    found = UserEvaluator("m:e", Own(["two lines", "of words"]), given).read([], 0)
    assert headline(found, None) == "two lines" and details(found) == ("of words",)
    with pytest.raises(DataError, match=r"read returned int; a sentence"):
        UserEvaluator("m:e", Own(3), given).read([], 0)
    with pytest.raises(DataError, match=r"m:e: read of 0.png failed: KeyError: 'x'"):
        UserEvaluator("m:e", Own(KeyError("x")), given).read([], 0)
    bare = Own("")
    bare.read = None
    assert isinstance(UserEvaluator("m:e", bare, given).read([np.zeros((1, 2))], 0).form, Outputs)
