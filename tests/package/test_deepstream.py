"""DeepStream's settings: what the element computes is what the engine was judged with."""

from __future__ import annotations

import configparser
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.compile.bundle import unpack
from edge_scnet.core.facts import PlanFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import Artifact, load_manifest, save_manifest
from edge_scnet.core.preprocessing import IMAGENET_STD, Preprocessing
from edge_scnet.core.spec import InputForm, TaskSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.package import deepstream
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.tensors import Tensor, Tensors, tensors_of
from edge_scnet.pipeline.package import package
from tests.helpers.deepstream_schema import plugin_control
from tests.helpers.hostile import check_fit
from tests.helpers.served import HOSTILE, PIXELS, RULE, model, of_tensorrt
from tests.package.test_labels import nvinfer_reads

# The keys of gstnvinfer_property_parser.h, DeepStream 9.2, that are used.
KEYS = {
    "gpu-id",
    "gie-unique-id",
    "process-mode",
    "model-engine-file",
    "network-mode",
    "network-type",
    "batch-size",
    "infer-dims",
    "model-color-format",
    "net-scale-factor",
    "offsets",
    "maintain-aspect-ratio",
    "symmetric-padding",
    "scaling-filter",
    "output-blob-names",
    "classifier-threshold",
    "output-tensor-meta",
    "num-detected-classes",
    "labelfile-path",
}


def settings(facts: PackageFacts) -> dict[str, str]:
    text = deepstream.nvinfer(facts, tensors_of(facts))
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",))
    parser.read_string(text)
    assert parser.sections() == ["property"]
    found = dict(parser["property"])
    assert found.keys() <= KEYS
    return found


def with_rule(folder: Path, rule: Preprocessing, **changes: Any) -> PackageFacts:
    return of_tensorrt(folder, model=model(preprocessing=rule, **changes))


def test_a_classifier_s_settings(tmp_path: Path) -> None:
    found = settings(of_tensorrt(tmp_path))
    assert found["model-engine-file"] == "engine.plan"
    assert found["infer-dims"] == "3;32;48"
    assert found["network-mode"] == "1"
    assert found["network-type"] == "1"
    assert found["model-color-format"] == "0"
    assert found["output-blob-names"] == "logits"
    assert found["labelfile-path"] == "labels.txt"
    assert "onnx-file" not in found


@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        replace(RULE, pixel_max=255.0, mean=(123.0, 117.0, 104.0), std=(58.0, 58.0, 58.0)),
        replace(RULE, mean=(), std=()),
        replace(RULE, mean=(), std=(), pixel_max=255.0),
        replace(RULE, colour="BGR", mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0)),
    ],
)
def test_it_makes_the_numbers_that_the_engine_was_judged_with(
    tmp_path: Path, rule: Preprocessing
) -> None:
    found = settings(with_rule(tmp_path, rule))
    codes = np.arange(256.0)[:, None]
    scale, offsets = float(found["net-scale-factor"]), found["offsets"].split(";")
    made = scale * (codes - np.array(list(map(float, offsets))))
    mean, std = np.array(rule.mean or (0.0,) * 3), np.array(rule.std or (1.0,) * 3)
    np.testing.assert_allclose(made, (codes * rule.pixel_max / 255 - mean) / std, atol=1e-12)
    assert found["model-color-format"] == {"RGB": "0", "BGR": "1"}[rule.colour]


def test_several_stds_are_refused_with_the_way_out(tmp_path: Path) -> None:
    facts = with_rule(tmp_path, replace(RULE, std=IMAGENET_STD))
    with pytest.raises(
        ArtifactError, match=r"one factor for all channels .*0\.229 0\.224 0\.225"
    ) as raised:
        deepstream.contents(facts)
    assert "takes bytes" in raised.value.hint


def test_grey_in_three_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="grey in all of its 3 channels"):
        deepstream.contents(with_rule(tmp_path, replace(RULE, colour="grey")))


def test_grey_of_one_channel(tmp_path: Path) -> None:
    rule = replace(RULE, colour="grey", mean=(0.5,), std=(0.25,))
    found = settings(with_rule(tmp_path, rule, input_shape=(1, 32, 48)))
    assert (found["model-color-format"], found["infer-dims"]) == ("2", "1;32;48")


@pytest.mark.parametrize(
    ("changes", "ratio", "symmetric"),
    [
        ({"resize": "stretch"}, "0", "0"),
        ({"resize": "letterbox", "pad_value": (0,)}, "1", "1"),
        ({"resize": "letterbox", "pad_anchor": "top-left"}, "1", "0"),
    ],
)
def test_letterboxes(tmp_path: Path, changes: dict[str, Any], ratio: str, symmetric: str) -> None:
    found = settings(with_rule(tmp_path, replace(RULE, **changes)))
    assert (found["maintain-aspect-ratio"], found["symmetric-padding"]) == (ratio, symmetric)


def test_what_it_does_otherwise_is_said(tmp_path: Path) -> None:
    rule = replace(RULE, resize="letterbox", pad_value=(114,))
    text = str(deepstream.contents(with_rule(tmp_path, rule))["README.md"])
    assert "pads with 0, and the figures are of pictures padded with 114" in text
    text = str(deepstream.contents(with_rule(tmp_path, RULE))["README.md"])
    assert "stretches a frame to the input" in text


def test_other_tasks_get_tensors(tmp_path: Path) -> None:
    facts = replace(of_tensorrt(tmp_path), task=None)
    found = settings(facts)
    assert (found["network-type"], found["output-tensor-meta"]) == ("100", "1")
    assert len(nvinfer_reads(str(deepstream.contents(facts)["labels.txt"]))) == len(HOSTILE)


def test_names_of_outputs_are_no_lists(tmp_path: Path) -> None:
    facts = of_tensorrt(tmp_path)
    outputs = tuple(
        Tensor(name=name, dtype="float32", shape=(1, 2)) for name in ("a;b", "c\\d", " e")
    )
    text = deepstream.nvinfer(facts, Tensors(inputs=(), outputs=outputs))
    # as GKeyFile escapes them
    assert "output-blob-names=a\\;b;c\\\\d;\\se\n" in text


def test_the_files(tmp_path: Path) -> None:
    files = deepstream.contents(of_tensorrt(tmp_path))
    assert set(files) == {
        "README.md",
        "config_infer_primary.txt",
        "engine.plan",
        "labels.json",
        "labels.txt",
    }
    assert tuple(json.loads(str(files["labels.json"]))) == HOSTILE
    (group,) = nvinfer_reads(str(files["labels.txt"]))
    assert len(group) == len(HOSTILE)
    for name in ("README.md", "config_infer_primary.txt", "labels.json"):
        check_fit(str(files[name]))


def test_a_plan_of_bytes_is_for_gst_nvinferserver(tmp_path: Path) -> None:
    """Of any std, for the plan has it in itself."""
    facts = of_tensorrt(
        tmp_path, input=PIXELS, model=model(preprocessing=replace(RULE, std=IMAGENET_STD))
    )
    files = deepstream.contents(facts)
    assert set(files) == {
        "README.md",
        "config_inferserver_primary.txt",
        "labels.json",
        "labels.txt",
        "models/net/config.pbtxt",
        "models/net/labels.txt",
        "models/net/1/model.plan",
    }
    found = parsed(str(files["config_inferserver_primary.txt"]))
    inferred = found["infer_config"]
    assert inferred["backend"]["triton"]["model_name"] == "net"
    assert inferred["backend"]["triton"]["model_repo"]["root"] == ["models"]
    assert inferred["backend"]["outputs"] == [{"name": "logits"}]
    before = inferred["preprocess"]
    assert (before["network_format"], before["tensor_order"]) == (
        "IMAGE_FORMAT_RGB",
        "TENSOR_ORDER_NHWC",
    )
    # the codes as they are
    assert before["normalize"] == {"scale_factor": 1.0}
    assert inferred["postprocess"]["labelfile_path"] == "labels.txt"
    assert "TYPE_UINT8" in str(files["models/net/config.pbtxt"])
    assert "Gst-nvinfer cannot feed" in str(files["README.md"])


def parsed(text: str) -> dict[str, Any]:
    """Protobuf's text format by the schema that DeepStream publishes, as far as it is written."""
    from google.protobuf import json_format, text_format

    message = plugin_control()()
    text_format.Parse(text, message)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["deepstream", "triton"])
def test_a_board_s_build_by_the_names_of_its_own_graph(
    packed: Path, tmp_path: Path, form: str
) -> None:
    """The graphs and the manifest are those of a real bundle; of the plan only the name is."""
    folder = unpack(packed, tmp_path)
    manifest = load_manifest(folder)
    # as --task said: there is no report that could tell
    said = replace(manifest.model, task=TaskSpec(kind="classification"))
    manifest = replace(manifest, model=said, input=InputForm())
    (folder / "engine.plan").write_bytes(b"a plan, which is only copied")
    plan = Artifact(
        file="engine.plan",
        kind="tensorrt-plan",
        stage="compile",
        sha256=sha256_file(folder / "engine.plan"),
        size_bytes=28,
        key="k",
        facts=PlanFacts(
            precision="int8",
            runtime="tensorrt",
            tensorrt="10.3.0",
            machine={"jetson_model": "NVIDIA Jetson Orin Nano Developer Kit"},
        ),
    )
    save_manifest(folder, manifest.with_artifact(plan))
    with pytest.raises(ArtifactError, match="did not ship: it was not measured"):
        package(folder, form=form, out=tmp_path / "out")
    package(folder, form=form, out=tmp_path / "out", anyway=True)
    if form == "triton":
        text = (tmp_path / "out/models/scnet20-fashion-mnist/config.pbtxt").read_text()
        assert 'name: "input"' in text and 'name: "logits"' in text
        assert "dims: [1, 28, 28]" in text
    else:
        text = (tmp_path / "out/config_infer_primary.txt").read_text()
        assert "output-blob-names=logits\n" in text
        assert "infer-dims=1;28;28\n" in text and "model-color-format=2\n" in text
        labels = (tmp_path / "out/labels.txt").read_text()
        assert nvinfer_reads(labels) == [list(manifest.model.classes)]
    card = (tmp_path / "out/card.md").read_text()
    assert "NVIDIA Jetson Orin Nano Developer Kit, with exactly the TensorRT" in card


def test_a_plan_of_bytes_for_several_frames_is_refused(tmp_path: Path) -> None:
    facts = of_tensorrt(tmp_path, input=PIXELS)
    with pytest.raises(ArtifactError, match="takes 4 frames at once and no fewer"):
        deepstream.contents(replace(facts, target=replace(facts.target, batch=4)))
