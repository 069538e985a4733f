"""The model repository of Triton, held to its published schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.package import triton
from edge_scnet.package.tensors import Tensor, Tensors, tensors_of
from tests.helpers.hostile import check_fit
from tests.helpers.served import HOSTILE, PIXELS, ir, model, of_openvino, of_tensorrt, part
from tests.helpers.triton_schema import ENUMS, FIELDS, from_table, published
from tests.package.test_labels import triton_reads


@pytest.fixture(scope="module")
def schema() -> Any:
    """The message ModelConfig: Triton's own, or the table where that is not installed."""
    return published() or from_table()


def parsed(schema: Any, text: str) -> Any:
    from google.protobuf import text_format

    return text_format.Parse(text, schema())


def value_of(message: Any, field: str) -> str:
    """A value of an enumeration by its name."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    return str(kind.values_by_number[getattr(message, field)].name)


def test_the_table_is_as_triton_has_it() -> None:
    real = published()
    if real is None:
        pytest.skip("tritonclient, which ships model_config.proto, is not installed")
    file = real.DESCRIPTOR.file
    for name, fields in FIELDS.items():
        outer, *inner = name.split(".")
        message = file.message_types_by_name[outer]
        for each in inner:
            message = message.nested_types_by_name[each]
        own = from_table().DESCRIPTOR.file.message_types_by_name[outer]
        for each in inner:
            own = own.nested_types_by_name[each]
        for field, number, _ in fields:
            theirs, ours = message.fields_by_name[field], own.fields_by_name[field]
            assert theirs.number == ours.number == number
            assert (theirs.type, theirs.is_repeated) == (ours.type, ours.is_repeated)
    for name, values in ENUMS.items():
        outer, _, inner = name.rpartition(".")
        group = (
            file.message_types_by_name[outer].enum_types_by_name
            if outer
            else file.enum_types_by_name
        )
        assert tuple(value.name for value in group[inner].values) == values


def test_an_ir_s_settings(schema: Any, tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    config = parsed(schema, triton.config(facts, tensors_of(facts)))
    assert (config.name, config.backend, config.platform) == ("net", "openvino", "")
    assert config.max_batch_size == 0
    (image,) = config.input
    assert (image.name, list(image.dims)) == ("input", [3, 32, 48])
    assert list(image.reshape.shape) == [1, 3, 32, 48]
    assert value_of(image, "data_type") == "TYPE_FP32"
    assert value_of(image, "format") == "FORMAT_NCHW"
    (logits,) = config.output
    assert (logits.name, list(logits.dims)) == ("logits", [len(HOSTILE)])
    assert list(logits.reshape.shape) == [1, len(HOSTILE)]
    assert logits.label_filename == "labels.txt"
    (group,) = config.instance_group
    assert (value_of(group, "kind"), group.count) == ("KIND_CPU", 1)
    assert config.version_policy.latest.num_versions == 1
    (warm_up,) = config.model_warmup
    assert (warm_up.batch_size, warm_up.count) == (1, 10)
    assert warm_up.inputs["input"].zero_data
    assert list(warm_up.inputs["input"].dims) == [3, 32, 48]
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "PERFORMANCE_HINT": "LATENCY"
    }


def test_threads_and_bf16_are_parameters_of_the_backend(schema: Any, tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    facts = replace(facts, target=replace(facts.target, threads=3), opened_in="bf16")
    config = parsed(schema, triton.config(facts, tensors_of(facts)))
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": "3",
        "HINT_BF16": "YES",
    }


def test_a_plan_s_settings(schema: Any, tmp_path: Path) -> None:
    facts = of_tensorrt(tmp_path)
    config = parsed(schema, triton.config(facts, tensors_of(facts)))
    assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
    assert value_of(config.instance_group[0], "kind") == "KIND_GPU"
    assert not config.parameters


def test_a_batch_and_sizes_that_are_not_known_keep_the_engine_s_shapes(
    schema: Any, tmp_path: Path
) -> None:
    facts = of_openvino(tmp_path)
    facts = replace(facts, target=replace(facts.target, batch=4))
    shapes = Tensors(
        inputs=(Tensor(name="input", dtype="float32", shape=(4, 3, 32, 48)),),
        outputs=(
            Tensor(name="boxes", dtype="float16", shape=(-1, 6)),
            Tensor(name="count", dtype="int64", shape=()),
        ),
    )
    config = parsed(schema, triton.config(facts, shapes))
    assert list(config.input[0].dims) == [4, 3, 32, 48]
    assert not config.input[0].HasField("reshape")
    assert value_of(config.input[0], "format") == "FORMAT_NONE"
    boxes, count = config.output
    assert (list(boxes.dims), value_of(boxes, "data_type")) == ([-1, 6], "TYPE_FP16")
    # the schema asks for a dimension at least
    assert (list(count.dims), list(count.reshape.shape)) == ([1], [])
    assert count.HasField("reshape")


@pytest.mark.parametrize("name", [*HOSTILE[1:6], "images:0", "größe", 'a"b\\c\td', "{}[]<>#"])
def test_names_of_tensors_are_quoted(schema: Any, tmp_path: Path, name: str) -> None:
    facts = of_openvino(tmp_path)
    shapes = Tensors(
        inputs=(Tensor(name=name, dtype="float32", shape=(1, 3, 32, 48)),),
        outputs=(Tensor(name=name, dtype="float32", shape=(1, 2)),),
    )
    config = parsed(schema, triton.config(facts, shapes))
    assert config.input[0].name == name
    assert config.output[0].name == name
    assert list(config.model_warmup[0].inputs) == [name]


def test_the_files_of_an_ir(tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    files = triton.contents(facts)
    assert set(files) == {
        "README.md",
        "client.py",
        "labels.json",
        "models/net/config.pbtxt",
        "models/net/labels.txt",
        "models/net/1/model.xml",
        "models/net/1/model.bin",
    }
    assert len(triton_reads(str(files["models/net/labels.txt"]))) == len(HOSTILE)
    for name, content in files.items():
        if isinstance(content, str) and not name.endswith("labels.txt"):
            check_fit(content)
        if name.endswith(".py"):
            compile(str(content), name, "exec")


def test_a_plan_is_called_as_triton_looks_for_it(tmp_path: Path) -> None:
    files = triton.contents(of_tensorrt(tmp_path))
    assert "models/net/1/model.plan" in files
    assert "TensorRT is 10.3.0; a plan loads with no other" in str(files["README.md"])


def test_without_names_there_are_no_labels(schema: Any, tmp_path: Path) -> None:
    files = triton.contents(of_openvino(tmp_path, model=model(()), xml=ir(outputs=7)))
    assert not any("labels" in name for name in files)
    config = parsed(schema, str(files["models/net/config.pbtxt"]))
    assert config.output[0].label_filename == ""


def test_a_type_that_triton_lacks_is_refused(tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    shapes = Tensors(
        inputs=(Tensor(name="x", dtype="complex64", shape=(1,)),),
        outputs=(Tensor(name="y", dtype="float32", shape=(1,)),),
    )
    with pytest.raises(ArtifactError, match="triton has no type for 'x', which is complex64"):
        triton.config(facts, shapes)


def test_a_model_s_name_becomes_a_folder_s(tmp_path: Path) -> None:
    spec: ModelSpec = model(name='net/of "mine"; rm -rf')
    files = triton.contents(of_openvino(tmp_path, model=spec))
    assert "models/net_of_mine_rm_-rf/config.pbtxt" in files


def test_an_engine_of_bytes(schema: Any, tmp_path: Path) -> None:
    facts = of_openvino(tmp_path, xml=ir(pixels=True), input=PIXELS)
    config = parsed(schema, triton.config(facts, tensors_of(facts)))
    (image,) = config.input
    assert value_of(image, "data_type") == "TYPE_UINT8"
    assert value_of(image, "format") == "FORMAT_NHWC"
    assert (list(image.dims), list(image.reshape.shape)) == ([32, 48, 3], [1, 32, 48, 3])
    assert value_of(config.model_warmup[0].inputs["input"], "data_type") == "TYPE_UINT8"
    client = str(triton.contents(facts)["client.py"])
    assert '\'input\': ("uint8", "UINT8", (32, 48, 3))' in client
    assert "MEAN" not in client


@pytest.mark.parametrize(("threads", "settings"), [(0, {}), (3, {"intra_op_thread_count": "3"})])
def test_an_onnx_file_s_settings(
    schema: Any, tmp_path: Path, threads: int, settings: dict[str, str]
) -> None:
    facts = of_openvino(tmp_path)
    shapes = tensors_of(facts)
    facts = replace(
        facts,
        kind="onnx",
        runtime="onnxruntime",
        files=(part(tmp_path, "model-int8.onnx", b"a graph, which is only copied"),),
        target=replace(load_target("onnxruntime"), threads=threads),
    )
    config = parsed(schema, triton.config(facts, shapes))
    assert (config.backend, config.platform) == ("onnxruntime", "onnxruntime_onnx")
    assert value_of(config.instance_group[0], "kind") == "KIND_CPU"
    found = {key: value.string_value for key, value in config.parameters.items()}
    assert found == settings
    assert "models/net/1/model.onnx" in triton.repository(facts, shapes, folder="models/net")
