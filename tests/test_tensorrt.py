"""TensorRT without a GPU: the forms of the files, what the builder makes of them, the bundle and
its script.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import platform
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.compile import board as compile_board
from edge_scnet.compile import bundle, forms, half, plans, reference
from edge_scnet.config.target import TargetSpec, from_dict, load_target
from edge_scnet.core import files
from edge_scnet.core import manifest as artifact
from edge_scnet.core import manifest as core_manifest
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Silent
from edge_scnet.data import batches as data_batches
from edge_scnet.data import samples as dataset
from edge_scnet.errors import (
    ArtifactError,
    BackendError,
    MissingRuntimeError,
    ParityError,
    StorageError,
    TargetError,
)
from edge_scnet.export import from_torch
from edge_scnet.graph import lint
from edge_scnet.graph import model as graph_model
from edge_scnet.graph import run as simulate
from edge_scnet.machine import environment
from edge_scnet.models import zoo
from edge_scnet.pipeline import board as pipeline_board
from edge_scnet.pipeline import build as pipeline
from edge_scnet.quantize import calibrate, ranges_file, recipe
from edge_scnet.quantize.statistics import Ranges
from edge_scnet.report.store import load_report
from edge_scnet.runtimes.tensorrt import backend as trt
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt import trtexec
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.tool import Built, Outcome

JETSON = load_target("jetson")
NO_IMAGES = np.zeros((0, 1, 28, 28), np.float32)
ON_X86_LINUX = sys.platform == "linux" and platform.machine() == "x86_64"
needs_rtx = pytest.mark.skipif(
    trt.RTX.unavailable() is not None, reason="TensorRT-RTX is not installed (extra rtx)"
)


@pytest.fixture(scope="module")
def ranges(built: Built) -> Ranges:
    return ranges_file.load_ranges(built.folder / "ranges.npz")


@pytest.fixture(scope="module")
def qdq(built: Built, ranges: Ranges) -> ir.Model:
    """The bundled model in the `tensorrt` scheme."""
    model = ir.load(built.folder / "model.onnx")
    return recipe.assemble(
        recipe.prepare(model, ranges, JETSON.quant, weight_bits=8, images=NO_IMAGES)
    ).model


@pytest.fixture(scope="module")
def batches(built: Built) -> list[np.ndarray]:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = dataset.open_samples(built.evaluation, model=spec, role="evaluation")
    return np.split(data_batches.load(samples, spec, range(32)), 32)


def outputs(model: ir.Model, batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([run[0] for run in simulate.run_onnx(model, batches)])


# The forms.


def test_fp16_around_int8_is_in_the_file(
    qdq: ir.Model, ranges: Ranges, batches: list[np.ndarray]
) -> None:
    made = half.to_half(qdq, ranges.tensors)
    assert made.kept == {}
    onnx.checker.check_model(ir.serde.serialize_model(made.model), full_check=True)
    scales = {
        node.inputs[1].dtype for node in made.model.graph if node.op_type == "DequantizeLinear"
    }
    assert scales == {ir.DataType.FLOAT16}
    assert not any(
        v.dtype == ir.DataType.FLOAT
        for n in made.model.graph
        for v in n.outputs
        if n.op_type in ("Conv", "Add", "Mul")
    )
    assert {value.dtype for value in (*made.model.graph.inputs, *made.model.graph.outputs)} == {
        ir.DataType.FLOAT
    }
    # one Cast, of the output: the input goes straight into its Q
    assert [node.op_type for node in made.model.graph].count("Cast") == 1
    quality = sqnr_db(outputs(qdq, batches), outputs(made.model, batches))
    assert quality is not None and quality > 30


def test_the_pair_of_a_tensor_says_one_scale_in_both_types(qdq: ir.Model, ranges: Ranges) -> None:
    model = half.to_half(qdq, ranges.tensors).model
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            reader = next(use.node for use in node.outputs[0].uses())
            first, second = (
                n.inputs[1].const_value.numpy().astype(np.float32) for n in (node, reader)
            )
            np.testing.assert_array_equal(first, second)


def test_a_tensor_beyond_fp16_stays_fp32_and_is_named(
    qdq: ir.Model, ranges: Ranges, batches: list[np.ndarray]
) -> None:
    name = "layer2.0.conv3"
    large = {**ranges.tensors, name: replace(ranges.tensors[name], maximum=1e6)}
    made = half.to_half(qdq, large)
    assert name in made.kept and "1,000,000" in made.kept[name]
    onnx.checker.check_model(ir.serde.serialize_model(made.model), full_check=True)
    node = next(node for node in made.model.graph if node.name == name)
    assert node.outputs[0].dtype == ir.DataType.FLOAT
    # INT8 fuses only where the DequantizeLinear is next to the convolution
    assert all(value.producer().op_type == "DequantizeLinear" for value in node.inputs[:2])
    quality = sqnr_db(outputs(qdq, batches), outputs(made.model, batches))
    assert quality is not None and quality > 30


def one_convolution(scales: np.ndarray, codes: np.ndarray, opset: int = 19) -> ir.Model:
    i8 = np.int8
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="x/Q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="x/DQ"),
        helper.make_node(
            "DequantizeLinear", ["c", "ws", "wz"], ["w"], axis=0, name="conv/weight/DQ"
        ),
        helper.make_node("Conv", ["d", "w", "b"], ["y"], name="conv"),
    ]
    arrays = {
        "s": np.float32(0.02),
        "z": i8(0),
        "c": codes,
        "ws": scales,
        "wz": np.zeros(len(scales), i8),
        "b": np.ones(2, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


def test_a_scale_too_small_for_fp16_keeps_its_layer_in_fp32() -> None:
    codes = np.full((2, 3, 1, 1), 5, np.int8)
    assert half.to_half(one_convolution(np.array([0.01, 0.02], np.float32), codes), {}).kept == {}
    made = half.to_half(one_convolution(np.array([0.01, 1e-9], np.float32), codes), {})
    assert "too small" in made.kept["conv"]
    weight = next(node for node in made.model.graph if node.name == "conv/weight/DQ")
    np.testing.assert_array_equal(
        weight.inputs[1].const_value.numpy(), np.array([0.01, 1e-9], np.float32)
    )


def test_the_scale_of_a_channel_without_codes_is_never_zero() -> None:
    codes = np.full((2, 3, 1, 1), 5, np.int8)
    codes[1] = 0
    made = half.to_half(one_convolution(np.array([0.01, 1e-9], np.float32), codes), {})
    weight = next(node for node in made.model.graph if node.name == "conv/weight/DQ")
    assert made.kept == {} and (weight.inputs[1].const_value.numpy() > 0).all()


def test_an_opset_without_fp16_scales_is_refused() -> None:
    with pytest.raises(ValueError, match="from opset 19"):
        half.to_half(
            one_convolution(
                np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8), opset=17
            ),
            {},
        )


def test_float_weights_before_q_compute_the_same(qdq: ir.Model, batches: list[np.ndarray]) -> None:
    made = forms.to_float_weights(qdq)
    np.testing.assert_array_equal(outputs(qdq, batches[:4]), outputs(made, batches[:4]))
    assert "weight-form" in {finding.rule for finding in lint.lint(qdq, "tensorrt", max_opset=17)}
    assert "weight-form" not in {
        finding.rule for finding in lint.lint(made, "tensorrt", max_opset=17)
    }


def test_int8_weights_are_a_quarter_of_the_float_file(
    built: Built, qdq: ir.Model, tmp_path: Path
) -> None:
    graph_model.save(qdq, tmp_path / "q.onnx")
    weights = sum(
        v.const_value.nbytes
        for v in ir.load(built.folder / "model.onnx").graph.initializers.values()
    )
    codes = sum(v.const_value.nbytes for v in qdq.graph.initializers.values())
    assert codes < 0.3 * weights


def test_a_mean_becomes_a_pool_in_opset_17(built: Built, batches: list[np.ndarray]) -> None:
    from edge_scnet.export.opset import lower

    model = ir.load(built.folder / "model.onnx")
    before = outputs(model, batches[:4])
    lowered = lower(model, 17)
    assert lowered.opset_imports[""] == 17
    np.testing.assert_allclose(outputs(lowered, batches[:4]), before, rtol=1e-5, atol=1e-5)
    with pytest.raises(ArtifactError, match="cannot be written in opset 12"):
        lower(lowered, 12)


# The builder, through TensorRT-RTX.


@pytest.mark.skipif(not ON_X86_LINUX, reason="TensorRT-RTX is for x86-64 Linux and Windows")
def test_the_builder_is_there_in_ci() -> None:
    if not os.environ.get("CI"):
        pytest.skip("outside CI it is an extra")
    assert trt.RTX.unavailable() is None, (
        "the dev extra brings TensorRT-RTX: without it the gate below would sleep"
    )


@needs_rtx
def test_the_parser_and_builder_take_every_convolution_in_int8(
    built: Built, qdq: ir.Model, ranges: Ranges, tmp_path: Path
) -> None:
    made = forms.forms_of(ir.load(built.folder / "model.onnx"), qdq, ranges, JETSON)
    graph_model.save(made.int8, tmp_path / core_manifest.INT8_FORM)
    graph_model.save(made.fp16, tmp_path / core_manifest.FP16_FORM)
    convolutions = [str(node.name) for node in qdq.graph if node.op_type == "Conv"]
    shares: list[tuple[str, float]] = []
    rtx = load_target("rtx")
    source = plans.PlanSource(folder=tmp_path, int8_convolutions=convolutions)
    facts = plans.build_pair(trt.RTX, rtx, source, lambda *told: shares.append(told))
    assert facts[core_manifest.INT8_PLAN]["int8_convolutions"] == len(convolutions) == 46
    assert facts[core_manifest.INT8_PLAN]["copies"] == []
    assert shares[-1] == (core_manifest.INT8_PLAN, 1.0)
    with pytest.raises(ParityError, match="1 of 1 convolutions"):
        plans.build_pair(
            trt.RTX, rtx, replace(source, int8_convolutions=["no.such"]), lambda *_: None
        )
    assert not (tmp_path / core_manifest.INT8_PLAN).exists(), (
        "a refused plan must not lie there as if it were good"
    )


@needs_rtx
def test_all_117_convolutions_of_scnet50_are_taken_in_int8(tmp_path: Path) -> None:
    import torch

    from edge_scnet.scnet import scnet50

    torch.manual_seed(0)
    module = scnet50()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(
                layer.bias, 0.0, 0.2
            )  # folded they are the real biases that a parser may refuse
            layer.momentum = None
    images = torch.randn(8, 3, 128, 128)
    with torch.inference_mode():
        module.train()(images)
    model = from_torch.export_torch(module.eval(), (1, 3, 128, 128), opset=JETSON.opset)
    assert all(
        node.inputs[2].const_value.numpy().any() for node in model.graph if node.op_type == "Conv"
    )
    graph_model.save(model, tmp_path / "model.onnx")
    found = calibrate.calibrate(
        tmp_path / "model.onnx", [images.numpy()], expected_images=8, samples_hash=""
    )
    scheme = replace(JETSON.quant, rounding="nearest", bias_correction=False)
    written = recipe.assemble(
        recipe.prepare(model, found, scheme, weight_bits=8, images=NO_IMAGES)
    ).model
    made = forms.forms_of(model, written, found, JETSON)
    assert made.kept_fp32 == {}
    graph_model.save(made.int8, tmp_path / core_manifest.INT8_FORM)
    graph_model.save(made.fp16, tmp_path / core_manifest.FP16_FORM)
    convolutions = [str(node.name) for node in model.graph if node.op_type == "Conv"]
    source = plans.PlanSource(folder=tmp_path, int8_convolutions=convolutions)
    facts = plans.build_pair(trt.RTX, load_target("rtx"), source, lambda *_: None)
    assert facts[core_manifest.INT8_PLAN]["int8_convolutions"] == len(convolutions) == 117
    # the best placement known: no copy, FP16 in nothing but the head's edges
    assert (
        facts[core_manifest.INT8_PLAN]["copies"] == []
        and facts[core_manifest.INT8_PLAN]["layers"].get("fp16", 0) <= 2
    )
    assert (tmp_path / core_manifest.INT8_PLAN).stat().st_size < 38e6


@needs_rtx
def test_what_the_parser_refuses_is_named(tmp_path: Path) -> None:
    model = one_convolution(np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8))
    next(node for node in model.graph if node.op_type == "Conv").op_type = "Convoluted"
    ir.save(model, tmp_path / "m.onnx")
    with pytest.raises(BackendError, match=r"refuses m\.onnx:\n.*conv \(Convoluted\)") as caught:
        trt.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert caught.value.hint and list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]


@needs_rtx
def test_a_dynamic_input_without_a_profile_is_refused(tmp_path: Path) -> None:
    model = one_convolution(np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8))
    proto = ir.serde.serialize_model(model)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del proto.graph.value_info[:]
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(
        BackendError, match=r"input 'x' has the dynamic shape .* no optimization profile"
    ):
        trt.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")


def test_a_crash_of_the_builder_is_an_error_not_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trt, "_BUILDER", "tests.helpers.processes:crash")
    monkeypatch.setattr(trt.TensorRt, "unavailable", lambda self: None)
    with pytest.raises(BackendError, match=r"TensorRT-RTX crashed on m\.onnx \(signal SIGSEGV\)"):
        trt.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert not list(tmp_path.iterdir())


# Layers, from synthetic texts after the field lists of the log and the inspector.

LOG = """Engine generation completed
Name: conv1_myl0_1, LayerType: correlation, Inputs: [ { Name: a, Dimensions: [1,4,8,8], Datatype: Int8, Format: (NHWC) } ], \
Constants: [ { Name: w, Datatype: Half } ], Outputs: [ { Name: b, Datatype: Half } ], TacticName: , StreamId: 0, \
Metadata: [ONNX Layer: conv1][ONNX Layer: conv1/weight/DQ]
Name: x, LayerType: wait, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, Metadata: """
INSPECTOR_10 = {
    "Layers": [
        {
            "Name": "conv1 + relu",
            "LayerType": "CaskConvolution",
            "ParameterType": "Convolution",
            "Inputs": [
                {
                    "Name": "a",
                    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
                }
            ],
            "Outputs": [{"Name": "b", "Format/Datatype": "Row major linear FP16 format"}],
            "Metadata": "[ONNX Layer: conv1]\u001e[ONNX Layer: relu]",
        },
        {
            "Name": "Reformatting CopyNode",
            "LayerType": "Reformat",
            "Inputs": [],
            "Outputs": [],
            "Metadata": "",
        },
    ],
    "Bindings": ["a", "b"],
}
INSPECTOR_11 = {
    "Layers": [
        {
            "Name": "conv1_myl0_1",
            "LayerType": "correlation",
            "Inputs": [{"Name": "a", "Datatype": "Int8", "Format": "NHWC"}],
            "Outputs": [{"Name": "b", "Datatype": "Half"}],
            "Metadata": "[ONNX Layer: conv1]",
        }
    ],
    "I/O Tensors": [{"Name": "a"}],
}


def test_layers_are_read_from_all_three_texts() -> None:
    for layers in (
        trt_layers.from_log([LOG]),
        trt_layers.from_inspector(json.dumps(INSPECTOR_10)),
        trt_layers.from_inspector(json.dumps(INSPECTOR_11)),
    ):
        assert (layers[0].reads, layers[0].writes) == (("int8",), ("fp16",))
        assert layers[0].nodes[0] == "conv1" and layers[0].kind in trt_layers.CONVOLUTIONS
        assert trt_layers.executed(layers)[0].precision == "int8"
    assert [layer.is_copy for layer in trt_layers.from_inspector(json.dumps(INSPECTOR_10))] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"Layers": ["conv1"]}', "names only"), ("{}", "no layer"), ("[", "no layer")],
)
def test_an_inspector_that_tells_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        trt_layers.from_inspector(text)


# The bundle.


@pytest.fixture(scope="module")
def packed(
    built: Built,
    qdq: ir.Model,
    ranges: Ranges,
    batches: list[np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A build folder for the target `jetson` with its bundle."""
    folder = tmp_path_factory.mktemp("packed")
    made = forms.forms_of(ir.load(built.folder / "model.onnx"), qdq, ranges, JETSON)
    manifest = replace(artifact.load_manifest(built.folder), target=asdict(JETSON), artifacts={})
    for name, model in (
        (core_manifest.INT8_FORM, made.int8),
        (core_manifest.FP16_FORM, made.fp16),
        ("model.qdq.onnx", qdq),
    ):
        graph_model.save(model, folder / name)
        manifest = manifest.with_artifact(
            artifact.Artifact(
                file=name,
                kind="onnx",
                stage="compile",
                sha256=files.sha256_file(folder / name),
                size_bytes=1,
                key="k",
                facts={"int8_convolutions": ["conv1"]},
            )
        )
    samples = dataset.open_samples(built.evaluation, model=manifest.model, role="evaluation")
    known = reference.make(
        built.folder / "model.onnx", folder / "model.qdq.onnx", samples, manifest.model, batch=1
    )
    bundle.write_bundle(BuildFolder(path=folder, manifest=manifest), JETSON, known, samples)
    return folder / bundle.BUNDLE


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        return {name: file.read() for name, file in found.items() if file is not None}


def repacked(path: Path, change: Callable[[dict[str, bytes]], None], out: Path) -> Path:
    contents = members(path)
    change(contents)
    with tarfile.open(out, "w:gz") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out


def test_a_bundle_opens_to_what_was_packed(packed: Path, tmp_path: Path) -> None:
    bundle.unpack(packed, tmp_path)
    names = {name.rpartition("/")[2] for name in members(packed)}
    assert names == {file.name for file in tmp_path.iterdir()}
    assert (tmp_path / core_manifest.INT8_FORM).read_bytes() == (
        packed.parent / core_manifest.INT8_FORM
    ).read_bytes()
    listed = json.loads((tmp_path / "evaluation.json").read_text())
    assert len(listed["content_hashes"]) == len(listed["labels"]) == 600
    known = reference.load(tmp_path / "reference.npz")
    assert (
        known.images.shape == (64, 1, 28, 28)
        and known.outputs[0].shape == (64, 10)
        and 25 < known.simulation_db[0] < 45
    )
    assert from_dict(artifact.load_manifest(tmp_path).target) == JETSON


PREFIX = "scnet20-fashion-mnist-jetson"


def header(contents: dict[str, bytes], **changes: Any) -> None:
    name = f"{PREFIX}/bundle.json"
    contents[name] = json.dumps({**json.loads(contents[name]), **changes}).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.update({f"{PREFIX}/engine.onnx": b"other"}),
            "engine.onnx is not what was packed",
        ),
        (lambda c: c.pop(f"{PREFIX}/engine.onnx"), "lacks engine.onnx"),
        (lambda c: c.pop(f"{PREFIX}/bundle.json"), "holds no bundle.json"),
        (lambda c: c.update({"../evil": b""}), r"holds '../evil'"),
        (lambda c: c.update({"/etc/evil": b""}), r"holds '/etc/evil'"),
        (
            lambda c: c.update({f"{PREFIX}/sitecustomize.py": b""}),
            "sitecustomize.py', which no bundle",
        ),
        (lambda c: header(c, schema=9, edge_scnet="7.0"), "schema 9, made by edge-scnet 7.0"),
        (lambda c: c.update({f"{PREFIX}/bundle.json": b"["}), "cannot be read"),
    ],
)
def test_a_bundle_that_is_not_ours_is_refused(
    change: Callable[[dict[str, bytes]], None], words: str, packed: Path, tmp_path: Path
) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(ArtifactError, match=words):
        bundle.unpack(repacked(packed, change, tmp_path / "b.tar.gz"), tmp_path / "into")
    assert not (tmp_path / "evil").exists()


def test_a_link_in_a_bundle_is_refused(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(f"{PREFIX}/engine.onnx")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    (tmp_path / "into").mkdir()
    with pytest.raises(ArtifactError, match="nothing was unpacked"):
        bundle.unpack(path, tmp_path / "into")


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no archive", mtime=0)])
def test_no_bundle_is_an_error(
    content: bytes, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(content)
    outcome = invoke("compile", path, "--out", tmp_path / "out")
    assert outcome.code == 6 and "b.tar.gz" in outcome.stderr and outcome.hint
    assert not (tmp_path / "out").exists()


def test_a_truncated_bundle_is_an_error(
    packed: Path, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(packed.read_bytes()[:-5000])
    outcome = invoke("compile", path, "--out", tmp_path / "out")
    assert outcome.code == 6 and "is damaged" in outcome.stderr


def on_board(
    monkeypatch: pytest.MonkeyPatch, model: str | None, version: str | None, free_mib: int = 8192
) -> None:
    facts = replace(environment.collect(), jetson_model=model)
    monkeypatch.setattr(environment, "collect", lambda: facts)
    monkeypatch.setattr(compile_board, "available_memory_bytes", lambda: free_mib << 20)
    monkeypatch.setattr(
        trt.TensorRt,
        "unavailable",
        lambda self: None if version else "the package 'tensorrt' is not installed",
    )
    monkeypatch.setattr(
        trt.TensorRt, "versions", lambda self: {self.title: version} if version else {}
    )


class Silence(Silent):
    """Warnings about the few images of a test are none of it."""

    def warn(self, message: str) -> None: ...


ORIN = "NVIDIA Jetson Orin Nano Developer Kit"


@pytest.mark.parametrize(
    ("model", "version", "free", "target", "error", "words"),
    [
        (
            "NVIDIA Jetson Nano Developer Kit",
            "8.2.1",
            9999,
            "jetson",
            TargetError,
            "computes no INT8",
        ),
        ("quill jetson tx2", "8.2.1", 9999, "jetson", TargetError, "computes no INT8"),
        (ORIN, None, 9999, "jetson", MissingRuntimeError, "'tensorrt' is not installed"),
        (None, "10.3.0", 9999, "jetson", TargetError, "is no Jetson"),
        (
            "NVIDIA Jetson AGX Thor",
            "10.13.0",
            9999,
            "jetson",
            TargetError,
            "this board is NVIDIA Jetson AGX Thor",
        ),
        (ORIN, "8.6.2", 9999, "jetson", TargetError, "TensorRT 8.6.2 is on this board"),
        (ORIN, "12.0", 9999, "jetson", TargetError, "TensorRT 12.0 is on this board"),
        (
            ORIN,
            "10.3.0",
            900,
            "jetson",
            StorageError,
            "900 MiB of memory are free, the build may take 1,536",
        ),
        (ORIN, "10.3.0", 9999, "cpu", TargetError, "is no target of a board"),
    ],
)
def test_another_board_is_refused(
    model: str | None,
    version: str | None,
    free: int,
    target: str,
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_board(monkeypatch, model, version, free)
    with pytest.raises(error, match=words) as caught:
        compile_board.check_board(load_target(target))
    assert caught.value.hint


def test_a_pc_with_tensorrt_makes_a_bundle_and_no_plan(
    copied: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_board(monkeypatch, None, "10.3.0")
    monkeypatch.setattr(
        trt.TensorRt,
        "build",
        lambda *_, **__: pytest.fail("a plan for another device was built"),
    )
    text = Path("targets/jetson.toml").read_text().replace("opset = 19", "opset = 20")
    (tmp_path / "board.toml").write_text(text)
    copied.folder.rename(copied.folder.with_name("board"))  # the same export and statistics
    out = copied.folder.parents[1]
    result = pipeline.build(
        target=str(tmp_path / "board.toml"),
        calib=copied.calib,
        out=out,
        until="compile",
        events=Silence(),
    )
    assert (
        bundle.BUNDLE in result.manifest.artifacts
        and core_manifest.INT8_PLAN not in result.manifest.artifacts
    )


def test_boards_without_int8_are_refused_by_name() -> None:
    for name in ("jetson-nano", "jetson-tx2"):
        with pytest.raises(TargetError, match="computes no INT8") as caught:
            load_target(name)
        assert "engine-fp16.onnx" in str(caught.value.hint)


def test_a_bundle_of_another_version_says_so(packed: Path) -> None:
    manifest = json.loads(members(packed)[f"{PREFIX}/manifest.json"])
    del manifest["target"]["board"]["max_opset"]
    with pytest.raises(
        TargetError, match=r"another version of edge-scnet: .*board\.max_opset is missing"
    ) as caught:
        from_dict(manifest["target"])
    assert "edge-scnet build" in str(caught.value.hint)


def test_its_own_board_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(monkeypatch, ORIN, "10.3.0.30")
    compile_board.check_board(JETSON)
    compile_board.check_board(load_target("jetson-orin-nano"))
    with pytest.raises(TargetError, match="is for orin nx"):
        compile_board.check_board(load_target("jetson-orin-nx"))


@needs_rtx
def test_compiling_a_bundle_gives_plans_and_their_manifest(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Outcome]
) -> None:
    # TensorRT-RTX's builder stands in for the board's; all before and after it is what runs there
    on_board(monkeypatch, ORIN, "10.3.0.30")
    stand_in = replace(trt.TENSORRT, modules=trt.RTX.modules)
    monkeypatch.setattr(pipeline_board, "TENSORRT", stand_in)
    outcome = invoke("compile", packed, "--out", tmp_path)
    assert outcome.code == 0, outcome.stderr
    folder = tmp_path / "scnet20-fashion-mnist" / "jetson"
    assert f"next: edge-scnet profile {folder / 'engine.plan'}" in outcome.stdout
    for name in (core_manifest.INT8_PLAN, core_manifest.FP16_PLAN):
        BuildFolder.open(folder).verified(name)
    # elsewhere it is refused before it is loaded
    monkeypatch.undo()
    refused = invoke("profile", folder / "engine.plan")
    assert (
        refused.code == 3
        and "was built on NVIDIA Jetson Orin Nano" in refused.stderr
        and "edge-scnet build" in refused.hint
    )


@needs_rtx
@pytest.mark.parametrize("wrong", ["engine.plan", "engine-fp16.plan", None])
def test_plans_are_compared_with_the_reference_where_a_gpu_can_run_them(
    wrong: str | None,
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Outcome],
) -> None:
    # there is no GPU here: the session gives the reference's own outputs, or zeros
    on_board(monkeypatch, ORIN, "10.3.0.30")
    monkeypatch.setattr(pipeline_board, "TENSORRT", replace(trt.TENSORRT, modules=trt.RTX.modules))
    monkeypatch.setattr(trt.TensorRt, "unavailable_to_run", lambda self: None)
    (tmp_path / "b").mkdir()
    known = reference.load(bundle.unpack(packed, tmp_path / "b") / "reference.npz")

    class Session:
        input_shape = (1, 1, 28, 28)

        def __init__(self, gain: float) -> None:
            self.gain = gain

        def infer(self, batch: np.ndarray) -> list[np.ndarray]:
            at = next(i for i in range(len(known.images)) if (known.images[i] == batch[0]).all())
            return [known.outputs[0][at : at + 1] * np.float32(self.gain)]

    monkeypatch.setattr(
        trt.TensorRt,
        "open",
        lambda self, path, options: contextlib.nullcontext(
            Session(0.5 if path.name == wrong else 0.99)
        ),
    )
    outcome = invoke("compile", packed, "--out", tmp_path)
    folder = tmp_path / "scnet20-fashion-mnist" / "jetson"
    if wrong is None:
        assert outcome.code == 0 and "fidelity 40.0 dB (simulated" in outcome.stderr
        facts = artifact.load_manifest(folder).artifacts[core_manifest.INT8_PLAN].facts["fidelity"]
        assert (
            facts["engine_db"] == pytest.approx(40)
            and facts["simulation_db"] == known.simulation_db[0]
        )
    else:
        assert (
            outcome.code == 7
            and f"{wrong} does not compute what the float graph does: 6.0 dB" in outcome.stderr
        )
        assert not (folder / wrong).exists()


# The script.

# Prints and exports what trtexec does, in its words and with numbers made up.
FAKE_TRTEXEC = """#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v@NUMBER@] # $*"
ms=1.0
for word; do
    case $word in
        --saveEngine=*) echo plan >"${word#*=}" ;;
        --loadEngine=*fp16*) ms=2.0 ;;
        --exportTimes=*) echo "[{\\"computeMs\\": $ms, \\"latencyMs\\": $ms}, {\\"computeMs\\": $ms}]" >"${word#*=}" ;;
        --exportProfile=*) echo '@PROFILE@' >"${word#*=}" ;;
        --exportLayerInfo=*) echo '@LAYERS@' >"${word#*=}" ;;
    esac
done
echo "$*" >>"${CALLS:-calls}"
@FAIL@
echo "[11/24/2026-12:00:00] [I] Throughput: 987.5 qps"
echo "[11/24/2026-12:00:00] [I] GPU Compute Time: min = $ms ms, max = $ms ms, mean = $ms ms, median = $ms ms, \
percentile(90%) = $ms ms, percentile(99%) = $ms ms"
echo "&&&& PASSED TensorRT.trtexec [TensorRT v@NUMBER@] # $*"
"""
PROFILE = [
    {"count": 50},
    {"name": "conv1 + relu", "timeMs": 5.0, "averageMs": 0.1, "medianMs": 0.09, "percentage": 100},
]


def fake_trtexec(path: Path, number: str, fail: str = "") -> Path:
    text = FAKE_TRTEXEC.replace("@NUMBER@", number).replace("@FAIL@", fail)
    path.write_text(
        text.replace("@LAYERS@", json.dumps(INSPECTOR_10)).replace("@PROFILE@", json.dumps(PROFILE))
    )
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


@pytest.fixture
def script(packed: Path, tmp_path: Path) -> Callable[..., tuple[Outcome, Path]]:
    """Runs the bundle's build.sh with a trtexec of the test's."""
    bundle.unpack(packed, tmp_path)

    def run(number: str, fail: str = "", target: TargetSpec = JETSON) -> tuple[Outcome, Path]:
        manifest = artifact.load_manifest(tmp_path)
        # the build machine's own memory must not decide
        text = bundle._script(
            manifest, replace(target, board=replace(target.board, workspace_mib=16))
        )
        (tmp_path / "build.sh").write_text(text)
        sums = (tmp_path / "SHA256SUMS").read_text().splitlines()
        kept = [line for line in sums if not line.endswith("build.sh")]
        (tmp_path / "SHA256SUMS").write_text("\n".join(kept) + "\n")
        fake = fake_trtexec(tmp_path / "trtexec", number, fail)
        done = subprocess.run(
            ["sh", "build.sh"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "TRTEXEC": str(fake)},
        )
        return Outcome(done.returncode, done.stdout, done.stderr), tmp_path

    return run


@pytest.mark.parametrize(
    ("number", "target", "has", "has_not"),
    [
        (
            "100300",
            "jetson",
            [
                "--stronglyTyped",
                "--useCudaGraph --useSpinWait --noDataTransfers",
                "--skipInference",
            ],
            ["--int8"],
        ),
        ("110401", "jetson", ["--skipInference"], ["--stronglyTyped", "--useCudaGraph", "--int8"]),
        (
            "8502",
            "jetson-xavier",
            ["--int8 --fp16", "--buildOnly", "--useCudaGraph"],
            ["--stronglyTyped", "--skipInference"],
        ),
    ],
)
def test_the_script_speaks_the_language_of_the_version(
    number: str,
    target: str,
    has: list[str],
    has_not: list[str],
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    outcome, folder = script(number, target=load_target(target))
    assert outcome.code == 0, outcome.stderr
    calls = (folder / "calls").read_text()
    assert all(words in calls for words in has) and not any(words in calls for words in has_not)
    assert (folder / "engine.plan").is_file() and (folder / "engine-fp16.plan").is_file()
    with tarfile.open(folder / "results.tar.gz") as archive:
        assert "./engine.1.times.json" in archive.getnames()


@pytest.mark.parametrize("number", ["8602", "120000"])
def test_the_script_refuses_another_version(
    number: str, script: Callable[..., tuple[Outcome, Path]]
) -> None:
    outcome, folder = script(number)
    assert outcome.code == 3 and "target jetson is for 10.3" in outcome.stderr and outcome.hint
    assert not (folder / "engine.plan").exists()


TEGRASTATS = """#!/bin/sh
echo $$ >pid
while :; do echo 'RAM 4722/7844MB (lfb 1x4MB) GR3D_FREQ 99%@1020 gpu@47.6C VDD_IN 5336mW/4970mW'; sleep 0.05; done
"""


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board's programs on PATH, with what they print on one."""
    folder = tmp_path_factory.mktemp("bin")
    for name, text in {
        "tegrastats": TEGRASTATS,
        "nvpmodel": "#!/bin/sh\necho 'NV Power Mode: MAXN_SUPER'; echo 2",
        "jetson_clocks": (
            "#!/bin/sh\necho 'GPU MinFreq=1020000000 MaxFreq=1020000000 CurrentFreq=1020000000'"
        ),
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_script_packs_what_the_board_says_of_itself(
    programs: None,
    script: Callable[..., tuple[Outcome, Path]],
    tmp_path_factory: pytest.TempPathFactory,
    invoke: Callable[..., Outcome],
) -> None:
    outcome, board = script("100300")
    assert outcome.code == 0, outcome.stderr
    assert gone(int((board / "pid").read_text()))
    folder = tmp_path_factory.mktemp("workstation")
    for name in ("manifest.json", "results.tar.gz"):
        (folder / name).write_bytes((board / name).read_bytes())
    shown = invoke("profile", folder / "results.tar.gz")
    assert shown.code == 0, shown.stderr
    assert "board: power mode MAXN_SUPER, clocks pinned" in shown.stdout
    assert (
        "5.3 W (peak 5.3) for the module, GPU at 1020 to 1020 MHz, 99 % busy, at most 47.6 C (gpu)"
        in shown.stdout
    )
    state = load_report(folder / "report.json").board
    assert state is not None and state.throttled is False and state.samples > 5


def test_tegrastats_ends_with_a_script_that_fails(
    programs: None, script: Callable[..., tuple[Outcome, Path]]
) -> None:
    outcome, board = script("100300", "case $* in *engine.2.times*) echo '[E] no'; exit 1 ;; esac")
    assert outcome.code == 8 and gone(int((board / "pid").read_text()))


def test_the_script_times_as_profile_does(script: Callable[..., tuple[Outcome, Path]]) -> None:
    for number, version in (("100300", "10.3.0"), ("110401", "11.4.1")):
        _, folder = script(number)
        timed = [
            line for line in (folder / "calls").read_text().splitlines() if "--exportTimes" in line
        ]
        assert len(timed) == 2 * trtexec.ROUNDS
        assert all(" ".join(trtexec.timing_options(version, seconds=2)) in line for line in timed)
        order = ["engine-fp16" if "engine-fp16.plan" in line else "engine" for line in timed]
        assert order == [
            stem for number in range(1, trtexec.ROUNDS + 1) for stem in trtexec.round_order(number)
        ]
        layers = [
            line
            for line in (folder / "calls").read_text().splitlines()
            if "--exportProfile" in line
        ]
        assert all(" ".join(trtexec.LAYER_OPTIONS) in line for line in layers)
        (folder / "calls").unlink()


def test_the_script_shows_trtexecs_first_error_and_leaves_no_half_plan(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    fail = (
        "case $* in *--saveEngine=engine.plan.part*) echo '[E] Error[4]: first'; echo '[E] second';"
        " exit 1 ;; esac"
    )
    outcome, folder = script("100300", fail)
    assert outcome.code == 8 and "first" in outcome.stderr and "second" not in outcome.stderr
    assert "engine.build.log" in outcome.hint
    assert not list(folder.glob("*.part")) and not (folder / "engine.plan").exists()


def test_the_script_refuses_a_file_that_changed(
    script: Callable[..., tuple[Outcome, Path]], tmp_path: Path
) -> None:
    (tmp_path / "engine.onnx").write_bytes(b"other")
    outcome, _ = script("100300")
    assert outcome.code == 6 and "not what was packed" in outcome.stderr


def test_names_are_quoted_in_the_script(packed: Path, tmp_path: Path) -> None:
    bundle.unpack(packed, tmp_path)
    manifest = artifact.load_manifest(tmp_path)
    evil = replace(manifest, model=replace(manifest.model, name="a'; touch evil; '"))
    assert """model='a'"'"'; touch evil; '"'"''""" in bundle._script(evil, JETSON)


# The results.


def test_a_boards_results_become_a_report_and_a_verdict(
    script: Callable[..., tuple[Outcome, Path]],
    packed: Path,
    tmp_path_factory: pytest.TempPathFactory,
    invoke: Callable[..., Outcome],
) -> None:
    outcome, board = script("100300")
    assert outcome.code == 0, outcome.stderr
    folder = tmp_path_factory.mktemp("workstation")
    for name in ("manifest.json", "results.tar.gz"):
        (folder / name).write_bytes((board / name).read_bytes())
    shown = invoke("profile", folder / "results.tar.gz")
    assert shown.code == 0, shown.stderr
    # half the time in each of six rounds
    assert (
        "2.00x" in shown.stdout
        and "FP16's speed" in shown.stdout
        and "not judged: no evaluation images" in shown.stdout
    )
    report = load_report(folder / "report.json")
    assert [row.name for row in report.engines] == ["fp16", "int8"]
    assert (
        report.engines[1].convolutions == {"int8": 1}
        and report.engines[1].throughput_per_second == 987.5
    )
    assert report.engines[1].speedup is not None and report.engines[1].speedup.rounds == 6
    assert report.environment["tensorrt"] == "10.3.0"
    # those of another build are refused
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"]["engine.onnx"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    other = invoke("profile", folder / "results.tar.gz")
    assert other.code == 6 and "is not of the engine.onnx" in other.stderr
    (folder / "results.tar.gz").write_bytes((board / "results.tar.gz").read_bytes()[:200])
    cut = invoke("profile", folder / "results.tar.gz")
    assert cut.code == 6 and "is damaged" in cut.stderr


def test_plans_that_the_script_made_can_be_profiled_where_they_lie(
    script: Callable[..., tuple[Outcome, Path]],
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Outcome],
) -> None:
    outcome, folder = script("100300")
    assert outcome.code == 0, outcome.stderr
    monkeypatch.setenv("TRTEXEC", str(folder / "trtexec"))
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    shown = invoke("profile", folder)
    assert shown.code == 0, shown.stderr
    assert (
        "2.00x" in shown.stdout
        and load_report(folder / "report.json").environment["tensorrt"] == "10.3.0"
    )
    (folder / "engine.plan").write_text("another")
    changed = invoke("profile", folder)
    assert changed.code == 6 and "engine.plan is not the file that was built" in changed.stderr
    board = json.loads((folder / "board.json").read_text())
    for content, words in (
        (json.dumps({**board, "engine_sha256": "0"}), "another engine.onnx"),
        ("{", "cannot be read"),
    ):
        (folder / "board.json").write_text(content)
        refused = invoke("profile", folder / "engine.plan")
        assert refused.code == 6 and words in refused.stderr and "build.sh" in refused.hint


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "[{}]", "no"])
def test_times_that_tell_nothing_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"computeMs|no queries|Expecting"):
        trtexec.parse_times(text)


# The whole way.


def test_a_build_for_a_board_is_simulated_judged_and_packed(
    copied: Built, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    target = tmp_path / "board.toml"
    target.write_text(
        (Path("targets/jetson.toml"))
        .read_text()
        .replace("opset = 19", "opset = 20")
        .replace("max_drop_pp = 0.5", "max_drop_pp = 5")
    )
    copied.folder.rename(copied.folder.with_name("board"))  # the same export and statistics
    outcome = invoke(
        "build",
        "--target",
        target,
        "--calib",
        copied.calib,
        "--eval",
        copied.evaluation,
        "--out",
        copied.folder.parents[1],
    )
    assert outcome.code == 0, outcome.stderr
    assert "accurate in simulation, speed not measured" in outcome.stdout
    assert "compiled: no" in outcome.stdout and "edge-scnet compile bundle.tar.gz" in outcome.stdout
    folder = copied.folder.with_name("board")
    report = json.loads((folder / "report.json").read_text())
    assert [row["name"] for row in report["engines"]] == ["fp32", "int8 simulated"]
    assert (
        report["engines"][1]["latency"] is None
        and report["engines"][1]["accuracy"]["agreement_percent"] > 98
    )
    (tmp_path / "into").mkdir()
    bundle.unpack(folder / "bundle.tar.gz", tmp_path / "into")
    again = invoke("profile", folder)
    assert (
        again.code == 6 and "holds no plans" in again.stderr and "edge-scnet compile" in again.hint
    )


def test_a_target_of_tensorrt_needs_its_board() -> None:
    for changes, words in (
        ({"board": None}, r"\[board\] is missing"),
        ({"isa": "avx2"}, 'isa is "avx2"'),
        ({"device": "CPU"}, "device 'CPU'"),
        ({"quant": load_target("cpu").quant}, 'needs "tensorrt"'),
    ):
        with pytest.raises(TargetError, match=words):
            trt.TENSORRT.check_target(replace(JETSON, **changes))
