"""Whether engines take bytes or floats, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.config.target import InputSettings, TargetSpec, load_target
from edge_scnet.core.events import Silent
from edge_scnet.core.manifest import Artifact, Manifest
from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from edge_scnet.core.spec import InputForm, ModelSpec, TensorSpec
from edge_scnet.data.sample_set import SampleSet, in_memory
from edge_scnet.errors import TargetError
from edge_scnet.pipeline.input_form import decided_form, still_right, with_input_type

CPU = load_target("cpu")
RULE = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
SPEC = ModelSpec(name="net", arch="net", input_shape=(3, 32, 48), preprocessing=RULE)


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, detail: str) -> None:
        self.lines.append(f"{name}: {detail}")


BYTES = InputForm(dtype="uint8", layout="NHWC", colour="RGB")


def pictures(deep: int = 0) -> SampleSet:
    return SampleSet(
        root=Path("/pictures"),
        kind="folder",
        entries=("a.png",),
        labels=None,
        label_rule=None,
        class_names=None,
        content_hashes=("0",),
        deep=deep,
    )


def asking(**values: object) -> TargetSpec:
    return replace(CPU, input=InputSettings(**values))


def test_pictures_of_8_bits_are_taken_as_bytes() -> None:
    heard = Heard()
    assert decided_form(SPEC, CPU, heard, pictures(), None) == BYTES
    assert heard.lines == [
        "engines: take bytes: uint8 1 x 32 x 48 x 3, RGB, 0 to 255, not normalised"
    ]
    grey = replace(SPEC, input_shape=(1, 28, 28))
    assert decided_form(grey, CPU, heard, pictures()).colour == "grey"
    bgr = replace(SPEC, preprocessing=replace(RULE, colour="BGR"))
    assert decided_form(bgr, CPU, heard, pictures()).colour == "BGR"


MORE = TensorSpec(name="state", shape=(4,))
KEPT_IN_FLOAT = {
    "arrays": (SPEC, [in_memory(np.zeros((2, 3, 32, 48), np.float32), "x")], "samples are arrays"),
    "one set of arrays": (
        SPEC,
        [pictures(), in_memory(np.zeros((2, 3, 32, 48), np.float32), "x")],
        "samples are arrays",
    ),
    "16 bits": (SPEC, [pictures(deep=2)], "2 pictures have 16 bits a pixel"),
    "several inputs": (replace(SPEC, more_inputs=(MORE,)), [pictures()], "2 inputs"),
    "no picture": (replace(SPEC, input_shape=(8, 32, 48)), [pictures()], "8 x 32 x 48"),
    "nothing known": (SPEC, [], "without samples"),
}


@pytest.mark.parametrize("case", KEPT_IN_FLOAT)
def test_where_bytes_would_lose_something_it_stays_float_and_the_build_says_why(case: str) -> None:
    spec, sets, words = KEPT_IN_FLOAT[case]
    heard = Heard()
    assert decided_form(spec, CPU, heard, *sets) == InputForm()
    (line,) = heard.lines
    assert line.startswith("engines: take float32: ") and words in line
    with pytest.raises(TargetError, match=words) as caught:
        decided_form(spec, asking(type="uint8"), heard, *sets)
    assert caught.value.hint and "--input float" in caught.value.hint


def test_the_target_or_an_option_asks_for_floats_or_another_order_of_colours() -> None:
    heard = Heard()
    assert decided_form(SPEC, asking(type="float"), heard, pictures()) == InputForm()
    assert decided_form(SPEC, with_input_type(CPU, "float"), heard, pictures()) == InputForm()
    asked = with_input_type(asking(type="float", colour="BGR"), "uint8")
    assert decided_form(SPEC, asked, heard, pictures()) == replace(BYTES, colour="BGR")
    grey = replace(SPEC, input_shape=(1, 28, 28))
    with pytest.raises(TargetError, match="takes no colours"):
        decided_form(grey, asking(colour="BGR"), heard, pictures())


def manifest(form: InputForm, rule: Preprocessing = RULE) -> Manifest:
    entry = Artifact(
        file="model.onnx", kind="onnx", stage="export", sha256="", size_bytes=1, key=""
    )
    engine = replace(entry, file="model.xml", kind="openvino-ir", stage="compile")
    return Manifest(
        model=replace(SPEC, preprocessing=rule),
        target={},
        floor="avx2",
        precision_hint="f32",
        rebuild="",
        input=form,
        artifacts={"model.onnx": entry, "model.xml": engine},
    )


def test_engines_with_another_preprocessing_inside_are_not_listed_any_more() -> None:
    """A build that is interrupted before its engines are made anew must not describe the old ones
    with what the new ones will take.
    """
    other = replace(RULE, mean=(0.0, 0.0, 0.0))
    graphs, both = {"model.onnx"}, {"model.onnx", "model.xml"}
    for old, new, kept in (
        (manifest(BYTES), manifest(BYTES), both),
        (manifest(InputForm()), manifest(InputForm(), other), both),
        (manifest(InputForm()), manifest(BYTES), graphs),
        (manifest(BYTES), manifest(InputForm()), graphs),
        (manifest(BYTES), manifest(BYTES, other), graphs),
        (manifest(BYTES), manifest(replace(BYTES, colour="BGR")), graphs),
    ):
        assert set(still_right(old, new)) == kept


def test_plans_take_floats_until_bytes_are_asked_for() -> None:
    """DeepStream feeds floats; TensorRT before 10 is not known to take bytes through a Cast."""
    heard = Heard()
    assert decided_form(SPEC, load_target("jetson"), heard, pictures()) == InputForm()
    assert "--input uint8 asks for bytes" in heard.lines[0]
    asked = with_input_type(load_target("jetson"), "uint8")
    assert decided_form(SPEC, asked, heard, pictures()) == BYTES
    old = with_input_type(load_target("jetson-xavier"), "uint8")
    with pytest.raises(TargetError, match="TensorRT before 10"):
        decided_form(SPEC, old, heard, pictures())
