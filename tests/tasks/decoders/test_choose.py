"""Decoders by name, by the outputs' shapes, and the user's own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.errors import DataError
from edge_scnet.tasks.decoders import DECODERS, decoder
from edge_scnet.tasks.decoders.base import DecodeOptions, Detections, ImageInfo
from edge_scnet.tasks.decoders.choose import named, told

INFO = ImageInfo(width=96, height=96, classes=3, entry="cat.png", options=DecodeOptions())
OUTPUTS = {"output": np.zeros((180, 8), np.float32)}
MODULE = """
import numpy as np
from edge_scnet.tasks.decoders.base import Detections

def good(outputs, info):
    assert list(outputs) == ["output"] and info.width == 96
    return [[0, 0, 4, 4], [1, 1, 9, 9]], [0.2, 0.9], [2, 0]

def record(outputs, info):
    return Detections(corners=np.zeros((0, 4)), scores=np.zeros(0), classes=np.zeros(0))

def nothing(outputs, info):
    return [], [], []

def raises(outputs, info):
    table = {}
    return table[info.entry]

def leaves(outputs, info):
    raise SystemExit(3)

def none(outputs, info):
    pass

def two(outputs, info):
    return np.zeros((1, 4)), np.zeros(1)

def wide(outputs, info):
    return np.zeros((2, 5)), np.zeros(2), np.zeros(2, int)

def short(outputs, info):
    return np.zeros((2, 4)), np.zeros(2), np.zeros(1, int)

def table(outputs, info):
    return np.zeros((2, 4)), np.zeros((2, 1)), np.zeros(2, int)

def nan(outputs, info):
    return np.full((2, 4), np.nan), np.zeros(2), np.zeros(2, int)

def texts(outputs, info):
    return np.zeros((1, 4)), np.zeros(1), np.array(["cat"])

def negative(outputs, info):
    return np.zeros((1, 4)), np.zeros(1), np.array([-1])

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "decode_functions_of_a_user"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_an_own_function_is_found_beside_the_caller_and_its_boxes_are_sorted(module: str):
    found = named(f"{module}:good")(OUTPUTS, INFO)
    assert found.scores.tolist() == pytest.approx([0.9, 0.2])
    assert found.corners.tolist() == [[1, 1, 9, 9], [0, 0, 4, 4]]
    assert found.classes.tolist() == [0, 2]


@pytest.mark.parametrize("name", ["record", "nothing"])
def test_an_own_function_may_find_nothing(module: str, name: str):
    found = named(f"{module}:{name}")(OUTPUTS, INFO)
    assert isinstance(found, Detections)
    assert found.corners.shape == (0, 4) and found.scores.shape == found.classes.shape == (0,)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "at cat.png failed: KeyError: 'cat.png' (decode_functions_of_a_user.py, line"),
        ("leaves", "at cat.png failed: SystemExit: 3"),
        ("none", "returns a NoneType at cat.png; three arrays are wanted"),
        ("two", "returns a tuple of 2 at cat.png; three arrays are wanted"),
        ("wide", "returns at cat.png corners 2 x 5; wanted 2 x 4"),
        ("short", "returns at cat.png classes 1; wanted 2"),
        ("table", "returns at cat.png scores 2 x 1; wanted n"),
        ("nan", "returns at cat.png corners that are not all finite numbers"),
        ("texts", "returns at cat.png classes that are not all finite numbers"),
        ("negative", "returns at cat.png the class -1; wanted are indices from 0"),
    ],
)
def test_what_an_own_function_does_wrong_is_said_with_the_image(module: str, name: str, words: str):
    with pytest.raises(DataError) as caught:
        named(f"{module}:{name}")(OUTPUTS, INFO)
    assert words in caught.value.message and "cat.png" in caught.value.message
    assert "decode(outputs, info)" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_anywhere:decode", "No module named"),
        ("json:decode", "has no attribute 'decode'"),
    ],
)
def test_a_function_that_cannot_be_imported(name: str, words: str):
    with pytest.raises(DataError, match=words):
        named(name)


def test_a_name_that_is_no_function(module: str):
    with pytest.raises(DataError, match="is a int, no function"):
        named(f"{module}:number")


def test_an_unknown_name_names_the_choices_and_the_nearest():
    with pytest.raises(DataError, match="no decoder 'yolo8'; there are yolox, ") as caught:
        named("yolo8")
    assert caught.value.hint == "--decode yolov8"


def test_the_only_decoder_that_fits_is_taken():
    assert told({"output0": (7, 189)}, INFO) == "yolov8"


def test_several_decoders_that_fit_are_named():
    with pytest.raises(DataError, match="output 180 x 8, fit 2 decoders: yolox, yolov5") as caught:
        told({"output": (180, 8)}, INFO)
    assert caught.value.hint == "say which: --decode yolox"


def test_where_none_fits_all_are_named_with_their_outputs():
    with pytest.raises(DataError) as caught:
        told({"heat": (21, 24, 24)}, INFO)
    for name in DECODERS:
        assert f"{name}: {decoder(name).TITLE}" in caught.value.message
    assert "heat 21 x 24 x 24" in caught.value.message


def test_the_option_lists_the_decoders():
    from edge_scnet.config.model_options import ModelOptions
    from edge_scnet.core.json_records import field_types

    words = str(field_types(ModelOptions)["decode"])
    assert f": {', '.join(DECODERS)}, or package.module:function" in words
