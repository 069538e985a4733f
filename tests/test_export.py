"""The exported graph's form, parity with PyTorch, and users' ONNX files, good and bad. Exports are
slow: they are shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from torch import Tensor, nn

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core import spec as core_spec
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.export import from_onnx as export
from edge_scnet.export import from_torch
from edge_scnet.export import parity as parity_module
from edge_scnet.export.from_onnx import check_weights, import_onnx, probe_onnx
from edge_scnet.export.from_torch import export_torch
from edge_scnet.export.parity import check_onnx_parity, check_parity, first_differing_module
from edge_scnet.export.static import check_static
from edge_scnet.graph import run as simulate
from edge_scnet.graph.model import save
from edge_scnet.graph.names import MODULE_KEY
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from edge_scnet.scnet import SCNet, scnet20

SHAPE_ARITHMETIC = {
    "Shape",
    "Slice",
    "Gather",
    "Expand",
    "Range",
    "ConstantOfShape",
    "Size",
    "NonZero",
}
GREY_SHAPE, TINY_SHAPE = (1, 1, 28, 28), (1, 3, 16, 16)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Beside another busy process two threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def estimated(model: nn.Module, shape: Sequence[int]) -> nn.Module:
    """With BatchNorm statistics of random images: on untouched ones activations die out or explode,
    and parity says little.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.randn(16, *shape[1:]))
    return model.eval()


def random_images(shape: Sequence[int], count: int = 8) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, *shape[1:])).astype(np.float32)


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def clone(model: ir.Model) -> ir.Model:
    return ir.serde.deserialize_model(ir.serde.serialize_model(model))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return estimated(scnet20(in_channels=1), GREY_SHAPE)


@pytest.fixture(scope="module")
def exported(network: nn.Module) -> ir.Model:
    return export_torch(network, GREY_SHAPE, opset=18)


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    """An SCNet of two blocks, for what needs several exports."""
    torch.manual_seed(1)
    return estimated(
        SCNet((1, 1), num_classes=5, planes=8, stem="3x3", avg_down=True, avd=True), TINY_SHAPE
    )


@pytest.fixture(scope="module")
def tiny_dynamic(tiny: nn.Module) -> ir.Model:
    return export_torch(tiny, TINY_SHAPE, opset=18, dynamic_batch=True)


class NamedLikeTheGraph(nn.Module):
    """Modules called as the graph's own input and output; returns a list, as some do."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.bn, self.logits = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.bn(self.input(x))
        return [torch.softmax(self.logits(features.mean((2, 3))), 1)]


@pytest.fixture(scope="module")
def named() -> nn.Module:
    torch.manual_seed(2)
    return estimated(NamedLikeTheGraph(), TINY_SHAPE)


@pytest.fixture(scope="module")
def named_exported(named: nn.Module) -> ir.Model:
    return export_torch(named, TINY_SHAPE, opset=20)


# The form of the graph


@pytest.mark.parametrize(
    ("fixture", "opset", "classes"), [("exported", 18, 10), ("named_exported", 20, 5)]
)
def test_a_static_export_is_static_folded_and_of_the_asked_opset(
    fixture: str, opset: int, classes: int, request: pytest.FixtureRequest
):
    model: ir.Model = request.getfixturevalue(fixture)
    assert not SHAPE_ARITHMETIC & set(ops(model))
    assert "BatchNormalization" not in ops(model)
    assert model.graph.opset_imports[""] == opset
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == [
        "input",
        "logits",
    ]
    assert list(model.graph.outputs[0].shape or ()) == [1, classes]
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)


def test_nodes_and_their_outputs_are_named_after_modules(exported: ir.Model, network: nn.Module):
    modules = dict(network.named_modules())
    convolutions = [node for node in exported.graph if node.op_type in ("Conv", "Gemm")]
    assert sorted(node.name or "" for node in convolutions) == sorted(
        name for name, module in modules.items() if isinstance(module, (nn.Conv2d, nn.Linear))
    )
    for node in exported.graph:
        assert node.metadata_props.get(MODULE_KEY, "") in modules
        assert node.outputs[0].name == ("logits" if node.op_type == "Gemm" else node.name)
    gates = [node.name for node in exported.graph if node.op_type == "Sigmoid"]
    assert gates == [f"layer{s}.{b}.scconv/Sigmoid" for s in (1, 2, 3) for b in (0, 1)]
    names = [node.name for node in exported.graph]
    assert len(set(names)) == len(names)


def test_the_file_holds_no_stack_traces_and_no_paths(exported: ir.Model, tmp_path: Path):
    save(exported, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    content = (tmp_path / "model.onnx").read_bytes()
    # the weights are random bytes: only runs of printable characters are text
    text = "\n".join(run.decode() for run in re.findall(rb"[ -~]{6,}", content))
    for word in (
        "site-packages",
        'File "',
        "scnet.py",
        "stack_trace",
        "pkg.torch",
        str(Path(__file__).parents[1]),
        str(Path.home()),
    ):
        assert word not in text, word


def test_saving_and_loading_changes_nothing(exported: ir.Model, tmp_path: Path):
    save(exported, tmp_path / "model.onnx")
    image = random_images(GREY_SHAPE, 1)
    assert np.array_equal(
        run_onnx(tmp_path / "model.onnx", [image])[0][0], run_onnx(exported, [image])[0][0]
    )


def test_an_opset_the_exporter_cannot_write_is_refused(
    tiny: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    class Program:
        model = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 18}), ir_version=10)

    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Program)
    with pytest.raises(ArtifactError, match="the exporter wrote opset 18, the target wants 20"):
        export_torch(tiny, TINY_SHAPE, opset=20)


def test_opset_17_is_written_though_the_exporter_starts_at_18(tiny: nn.Module):
    image = random_images(TINY_SHAPE, 1)
    model = export_torch(tiny, TINY_SHAPE, opset=17)
    assert model.opset_imports[""] == 17 and "ReduceMean" not in {
        node.op_type for node in model.graph
    }
    newest = export_torch(tiny, TINY_SHAPE, opset=20)
    np.testing.assert_allclose(
        run_onnx(model, [image])[0][0], run_onnx(newest, [image])[0][0], rtol=1e-5, atol=1e-6
    )


def test_modules_named_input_and_logits_do_not_clash_with_the_graphs_own(named_exported: ir.Model):
    assert [
        (node.name, node.outputs[0].name)
        for node in named_exported.graph
        if node.op_type in ("Conv", "Gemm")
    ] == [
        ("input", "input:0"),
        ("logits", "logits:0"),
    ]


class Counted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(x)


class Answers(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": x}


def test_modules_that_cannot_be_exported(tiny: nn.Module):
    with pytest.raises(ArtifactError, match="computes shapes at run time: NonZero at") as caught:
        export_torch(Counted(), TINY_SHAPE, opset=18)
    assert "F.interpolate" in str(caught.value.hint)
    with pytest.raises(
        ArtifactError, match="Answers returns a dict; a tensor or a tuple of tensors is needed"
    ):
        export_torch(Answers(), TINY_SHAPE, opset=18)
    with pytest.raises(
        ArtifactError, match=r"SCNet does not run on a 1 x 3 x 3 x 3 input: .*too small"
    ) as caught:
        export_torch(tiny, (1, 3, 3, 3), opset=18)
    assert "--input-size" in str(caught.value.hint)


# Parity with PyTorch


def test_parity_of_scnet20(network: nn.Module, exported: ir.Model, monkeypatch: pytest.MonkeyPatch):
    # the other batches are exported again, and slow: see the tiny one
    monkeypatch.setattr(parity_module, "PARITY_BATCHES", (1,))
    parity = check_parity(network, exported, random_images(GREY_SHAPE), opset=18)
    assert (parity.batches, parity.images) == ((1,), 1)
    assert 0 < parity.worst < 2e-5


def test_parity_exports_again_at_the_other_batches(
    named: nn.Module, named_exported: ir.Model, monkeypatch: pytest.MonkeyPatch
):
    assert parity_module.PARITY_BATCHES == (
        1,
        2,
        8,
    )  # all three below, where the batch is dynamic: each costs an export here
    monkeypatch.setattr(parity_module, "PARITY_BATCHES", (2,))
    calls = []
    real = from_torch.export_torch

    def counted(model: nn.Module, shape: Sequence[int], **options: Any) -> ir.Model:
        calls.append(tuple(shape))
        return real(model, shape, **options)

    monkeypatch.setattr(parity_module, "export_torch", counted)
    parity = check_parity(named, named_exported, random_images(TINY_SHAPE, 20), opset=20)
    assert calls == [(2, 3, 16, 16)]
    assert (parity.batches, parity.images) == (
        (1, 2),
        2,
    )  # the graph's own batch, 1, is compared too
    assert 0 < parity.worst < 2e-5


def damaged(model: ir.Model, name: str, change: Any) -> ir.Model:
    copy = clone(model)
    value = copy.graph.initializers[name]
    assert value.const_value is not None
    value.const_value = ir.tensor(change(value.const_value.numpy().copy()), name=name)
    return copy


@pytest.mark.parametrize(
    ("weight", "change", "module"),
    [
        ("layer2.0.scconv.k3.0.weight", lambda w: w * 1.5, "layer2.0.scconv.k3.1"),
        ("layer1.0.conv1_a.weight", lambda w: w[::-1].copy(), "layer1.0.bn1_a"),
        ("layer2.0.k1.0.weight", lambda w: np.full_like(w, np.nan), "layer2.0.k1.1"),
        ("fc.bias", lambda b: b[::-1] + 1, "fc"),
    ],
)
def test_a_damaged_graph_fails_and_the_first_module_that_differs_is_named(
    network: nn.Module, exported: ir.Model, weight: str, change: Any, module: str
):
    with pytest.raises(ParityError) as caught:
        check_parity(
            network, damaged(exported, weight, change), random_images(GREY_SHAPE), opset=18
        )
    assert (
        "the exported graph differs from PyTorch at batch 1 on real images: "
        in caught.value.message
    )
    assert caught.value.message.endswith(f"first module that differs: {module}")


def test_a_sound_graph_has_no_differing_module(network: nn.Module, exported: ir.Model):
    before = exported.graph.outputs[0].name
    assert first_differing_module(network, exported, random_images(GREY_SHAPE, 1)) is None
    assert [value.name for value in exported.graph.outputs] == [before]


def test_another_top1_within_the_tolerance_is_a_failure(
    network: nn.Module, exported: ir.Model, monkeypatch: pytest.MonkeyPatch
):
    real = parity_module.run_onnx

    def tied(model: Any, batches: Any, outputs: Any = None) -> Any:
        found = real(model, batches, outputs)
        logits = found[0][0]
        if (
            not outputs
        ):  # the last class by a hair, with an allowance that hides the difference itself
            logits[:, (logits[0].argmax() + 1) % 10] = logits.max() + 1e-6
        return found

    monkeypatch.setattr(parity_module, "run_onnx", tied)
    monkeypatch.setattr(parity_module, "PARITY_TOLERANCE", 10.0)
    with pytest.raises(ParityError, match="top-1 different"):
        check_parity(network, exported, random_images(GREY_SHAPE), opset=18)


# A dynamic batch


def test_a_dynamic_batch_leaves_only_shapes_that_feed_resize(tiny_dynamic: ir.Model):
    assert SHAPE_ARITHMETIC & set(ops(tiny_dynamic)) <= {"Shape"}
    assert "Resize" in ops(tiny_dynamic)
    for node in tiny_dynamic.graph:
        if node.op_type == "Shape":
            pending = list(node.outputs[0].uses())
            assert pending
            for use in pending:
                assert use.node.op_type == "Concat"
                assert {(u.node.op_type, u.idx) for u in use.node.outputs[0].uses()} == {
                    ("Resize", 3)
                }
    with pytest.raises(ArtifactError, match="computes shapes at run time: Shape at layer"):
        check_static(tiny_dynamic, dynamic_batch=False)


def test_a_dynamic_batch_runs_and_agrees_at_any_size(tiny: nn.Module, tiny_dynamic: ir.Model):
    images = random_images(TINY_SHAPE)
    for batch in (1, 2, 3):
        assert run_onnx(tiny_dynamic, [images[:batch]])[0][0].shape == (batch, 5)
    parity = check_parity(tiny, tiny_dynamic, images, opset=18, dynamic_batch=True)
    assert (parity.batches, parity.images) == ((1, 2, 8), 8) and parity.worst < 2e-5


# Shape arithmetic that no exporter would leave, by hand


def small_graph(*nodes: onnx.NodeProto, sizes: Sequence[int] = (8, 8)) -> ir.Model:
    constants = {"zero": 0, "rest": [3, 16, 16], "flat": [-1], "starts": [0], "ends": [4]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, *sizes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array(value, np.int64), name)
            for name, value in constants.items()
        ],
    )
    return ir.serde.deserialize_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    )


BATCH = helper.make_node("Shape", ["x"], ["n"], end=1)
SIZES = helper.make_node("Concat", ["n", "rest"], ["sizes"], axis=0)
FLAT = helper.make_node("Concat", ["n", "flat"], ["s"], axis=0)
RESIZE = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")


COMPUTED_END = (
    helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
    helper.make_node("Reshape", ["m", "flat"], ["one"]),
    helper.make_node("Cast", ["one"], ["end"], to=TensorProto.INT64),
)


def test_only_the_batch_entry_of_resize_may_be_computed():
    check_static(small_graph(BATCH, SIZES, RESIZE), dynamic_batch=True)
    with pytest.raises(ArtifactError, match="Shape at Shape"):
        check_static(small_graph(BATCH, SIZES, RESIZE), dynamic_batch=False)


@pytest.mark.parametrize(
    ("nodes", "culprit"),
    [
        ((BATCH, SIZES, RESIZE, helper.make_node("Reshape", ["x", "sizes"], ["z"])), "Shape"),
        ((BATCH, FLAT, helper.make_node("Reshape", ["x", "s"], ["y"])), "Shape"),
        (
            (
                helper.make_node("Shape", ["x"], ["all"]),
                helper.make_node("Gather", ["all", "zero"], ["y"]),
            ),
            "Shape",
        ),
        ((BATCH, SIZES, helper.make_node("Resize", ["x", "", "sizes"], ["y"])), "Shape"),
        ((*COMPUTED_END, helper.make_node("Slice", ["x", "starts", "end"], ["y"])), "Slice"),
        ((helper.make_node("NonZero", ["x"], ["y"]),), "NonZero"),
    ],
)
def test_other_shape_arithmetic_is_refused(nodes: tuple[onnx.NodeProto, ...], culprit: str):
    with pytest.raises(ArtifactError, match=f"computes shapes at run time: {culprit} at"):
        check_static(small_graph(*nodes), dynamic_batch=True)


def test_a_slice_of_data_by_constants_is_static():
    check_static(
        small_graph(helper.make_node("Slice", ["x", "starts", "ends"], ["y"])), dynamic_batch=False
    )


def test_shape_arithmetic_inside_a_branch_is_seen():
    output = helper.make_tensor_value_info("inner", TensorProto.INT64, None)
    branch = helper.make_graph([helper.make_node("NonZero", ["x"], ["inner"])], "b", [], [output])
    condition = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.ones((), bool))
    )
    graph = small_graph(
        condition, helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ArtifactError, match="NonZero"):
        check_static(graph, dynamic_batch=False)


# Users' ONNX files

Dim = int | str


def user_model(
    *,
    batch: Dim = "N",
    channels: Dim = 3,
    height: Dim = 8,
    width: Dim = 8,
    folder: Path | None = None,
    location: str | None = None,
    elem_type: int = TensorProto.FLOAT,
    second_input: bool = False,
    weights_as_inputs: bool = False,
    flatten_to: list[int] | None = None,
) -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, global pooling, a traced flatten (Shape, Gather, Concat,
    Reshape), Gemm.
    """
    rng = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)),
        "bn.scale": rng.uniform(0.5, 1.5, 4),
        "bn.bias": rng.standard_normal(4),
        "bn.mean": rng.standard_normal(4),
        "bn.var": rng.uniform(0.5, 1.5, 4),
        "fc.weight": rng.standard_normal((4, 4)),
        "fc.bias": rng.standard_normal(4),
    }
    initializers = [
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "conv.weight"], ["c"], name="image", pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "bn.scale", "bn.bias", "bn.mean", "bn.var"],
            ["b"],
            name="probabilities",
        ),
        helper.make_node("Relu", ["b"], ["r"], name="act"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
    ]
    if flatten_to is None:
        initializers += [
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.array([-1]), "minus"),
        ]
        axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
        initializers.append(axes)
        nodes += [
            helper.make_node("Shape", ["p"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["n"]),
            helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
            helper.make_node("Concat", ["n1", "minus"], ["shape"], axis=0),
        ]
    else:
        initializers.append(numpy_helper.from_array(np.array(flatten_to, np.int64), "shape"))
    nodes += [
        helper.make_node("Reshape", ["p", "shape"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["probabilities"], name="fc"),
    ]
    inputs = [helper.make_tensor_value_info("image", elem_type, [batch, channels, height, width])]
    if second_input:
        inputs.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    if weights_as_inputs:
        inputs = [
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in initializers
        ] + inputs
    if location is not None:
        tensor = initializers[0]
        if folder is not None:
            (folder / location).write_bytes(tensor.raw_data)
        set_external_data(tensor, location)
        tensor.ClearField("raw_data")
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 4])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=3 if weights_as_inputs else 8
    )


def written(folder: Path, model: onnx.ModelProto, name: str = "net.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def refused(call: Any, *arguments: Any, **options: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        call(*arguments, **options)
    return caught.value


def probed(path: Path, **options: Any) -> core_spec.ModelSpec:
    given = ModelOptions(**options)
    return probe_onnx(zoo.resolve(str(path), given), given).spec


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    "options", [{}, {"weights_as_inputs": True}, {"batch": 1, "flatten_to": [1, -1]}]
)
def test_a_users_file_is_made_static_folded_and_converted(
    tmp_path: Path, batch: int, options: dict[str, Any]
):
    path = written(tmp_path, user_model(**options))
    model = import_onnx(path, batch=batch, input_size=8, opset=18)
    assert ops(model) == ["Conv", "Relu", "GlobalAveragePool", "Reshape", "Gemm"]
    assert model.graph.opset_imports[""] == 18
    assert [(value.name, list(value.shape or ())) for value in model.graph.inputs] == [
        ("image", [batch, 3, 8, 8])
    ]
    assert [value.name for value in model.graph.outputs] == ["probabilities"]
    # a node called as the input or the output (legal) must not take their tensors' names
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    parity = check_onnx_parity(path, model, random_images((1, 3, 8, 8)))
    assert parity.batches == (batch,) and parity.worst < 1e-5


def test_a_dynamic_size_is_made_static(tmp_path: Path):
    path = written(tmp_path, user_model(height="H", width="W"))
    assert refused(probed, path).hint == "pass --input-size PIXELS"
    spec = probed(path, input_size=12)
    assert (spec.input_size, spec.channels, spec.num_classes) == (12, 3, 4)
    model = import_onnx(path, batch=2, input_size=12, opset=18)
    assert list(model.graph.inputs[0].shape or ()) == [2, 3, 12, 12]
    assert run_onnx(model, [random_images((1, 3, 12, 12), 2)])[0][0].shape == (2, 4)


def test_external_data_in_the_models_own_folder(tmp_path: Path):
    path = written(tmp_path, user_model(folder=tmp_path, location="weights.bin"))
    model = import_onnx(path, batch=1, input_size=8, opset=18)
    assert check_onnx_parity(path, model, random_images((1, 3, 8, 8))).worst < 1e-5
    (tmp_path / "copy").mkdir()
    save(model, tmp_path / "copy" / "model.onnx")
    assert len(list((tmp_path / "copy").iterdir())) == 1  # in one file


def test_a_graph_changed_by_folding_fails_parity(tmp_path: Path):
    path = written(tmp_path, user_model())
    model = import_onnx(path, batch=1, input_size=8, opset=18)
    wrong = damaged(model, "fc.bias", lambda bias: bias + 1)
    with pytest.raises(ParityError, match=r"folding changed net.onnx: .* of the output range"):
        check_onnx_parity(path, wrong, random_images((1, 3, 8, 8)))


def test_nan_weights_of_a_users_file(tmp_path: Path):
    proto = user_model()
    bias = next(t for t in proto.graph.initializer if t.name == "fc.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([0, np.nan, 1, np.inf], np.float32), "fc.bias"))
    model = import_onnx(written(tmp_path, proto), batch=1, input_size=8, opset=18)
    error = refused(check_weights, model, "net.onnx")
    assert error.message == "net.onnx: 'fc.bias' holds 2 NaN or infinite values of 4"
    assert "use an earlier one" in str(error.hint)
    check_weights(
        import_onnx(written(tmp_path, user_model()), batch=1, input_size=8, opset=18), "net.onnx"
    )


# Users' files that are refused


@pytest.mark.parametrize("outside", ["../secret.bin", "sub/../../secret.bin", "/absolute"])
def test_external_data_outside_the_folder(tmp_path: Path, outside: str):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    location = str(tmp_path / "secret.bin") if outside == "/absolute" else outside
    path = written(folder, user_model(folder=folder, location=location))
    assert (tmp_path / "secret.bin").is_file()
    error = refused(export.read_onnx, path)
    assert (
        error.message
        == f"{path}: 'conv.weight' has its data in {location!r}, outside the model's folder"
    )
    assert "save_as_external_data" in str(error.hint)


def test_external_data_that_is_a_link(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = written(folder, user_model(folder=folder, location="../secret.bin"))
    path = written(folder, user_model(location="weights.bin"))
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")
    assert "has its data in 'weights.bin', a link" in refused(export.read_onnx, path).message
    (folder / "weights.bin").unlink()
    (folder / "real.bin").write_bytes((tmp_path / "secret.bin").read_bytes())
    (folder / "weights.bin").symlink_to(
        "real.bin"
    )  # what it points to can be exchanged at any time
    assert "has its data in 'weights.bin', a link" in refused(export.read_onnx, path).message
    (folder / "sub").symlink_to(tmp_path)
    path = written(folder, user_model(location="sub/secret.bin"))
    assert "outside the model's folder" in refused(export.read_onnx, path).message


def test_external_data_of_a_constant_node_outside_the_folder(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    proto = user_model(folder=folder, location="../secret.bin")
    proto.graph.node.insert(
        0, helper.make_node("Constant", [], ["conv.weight"], value=proto.graph.initializer[0])
    )
    del proto.graph.initializer[0]
    assert "outside" in refused(export.read_onnx, written(folder, proto)).message


def test_external_data_missing_or_cut_short(tmp_path: Path):
    path = written(tmp_path, user_model(location="weights.bin"))
    assert (
        refused(export.read_onnx, path).message
        == f"{path}: the external data file 'weights.bin' of 'conv.weight' is missing"
    )
    (tmp_path / "weights.bin").write_bytes(b"\0" * 100)
    assert "is not a valid ONNX file" in refused(export.read_onnx, path).message


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_files(tmp_path: Path, share: float):
    path = written(tmp_path, user_model())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    error = refused(export.read_onnx, path)
    assert (
        error.message.startswith(f"{path} is not a valid ONNX file: ") and "\n" not in error.message
    )
    assert f"({int(len(data) * share):,} bytes)" in str(error.hint)


def test_text_under_an_onnx_name(tmp_path: Path):
    (tmp_path / "net.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is not a valid ONNX file" in refused(export.read_onnx, tmp_path / "net.onnx").message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second_input": True}, "has 2 inputs (image, scale), 1 is supported"),
        (
            {"elem_type": TensorProto.FLOAT16},
            "input 'image' must be float N x C x H x W, it is float16 with 4 dimensions",
        ),
        ({"channels": "C"}, "the input's channels are dynamic"),
    ],
)
def test_inputs_that_are_not_supported(tmp_path: Path, options: dict[str, Any], message: str):
    proto = user_model(**options)
    assert message in refused(export.read_onnx, written(tmp_path, proto)).message


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ({"width": 12}, {}, "the input is 8 x 12, square inputs are supported"),
        ({}, {"input_size": 16}, "the model has input size 8, --input-size says 16"),
        (
            {},
            {"channels": 1, "mean": (0.5,), "std": (0.5,)},
            "the model has channels 3, --channels says 1",
        ),
        ({}, {"num_classes": 10}, "the model has classes 4, --num-classes says 10"),
        ({}, {"class_names": ("a", "b")}, "the model has classes 4, --class-names says 2"),
        ({}, {"mean": (0.5,)}, "the input has 3 channels, and --mean has 1 values"),
        ({}, {"resize": 4}, "--resize 4 is smaller than the crop, --input-size 8"),
    ],
)
def test_options_that_contradict_the_file(
    tmp_path: Path, model: dict[str, Any], options: dict[str, Any], message: str
):
    assert message in refused(probed, written(tmp_path, user_model(**model)), **options).message


def test_the_file_says_channels_and_size_before_the_options_are_judged(tmp_path: Path):
    proto = user_model(width="W")
    proto.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "conv.weight")
    )
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    path = written(tmp_path, proto)
    spec = probed(path, mean=(0.5,), std=(0.5,), resize=10, class_names=tuple("abcd"))
    assert (spec.channels, spec.mean, spec.input_size, spec.resize, spec.num_classes) == (
        1,
        (0.5,),
        8,
        10,
        4,
    )
    assert spec == replace(spec, name="net", arch="onnx", classes=("a", "b", "c", "d"))
    assert (
        "the input has 1 channel, and --mean has no default for such images"
        in refused(probed, path).message
    )


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_a_quantized_file(tmp_path: Path, op: str):
    proto = user_model()
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "q.scale")
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "q.scale"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "q.scale"], ["d"]),
    ]
    if op == "DequantizeLinear":
        proto.graph.initializer.append(numpy_helper.from_array(np.ones((1,), np.uint8), "q"))
        nodes = nodes[1:]
    proto.graph.initializer.append(scale)
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    error = refused(export.read_onnx, written(tmp_path, proto))
    assert error.message.endswith(f"is quantized already: it has {op}")
    assert error.hint == "pass the float model"


def test_what_cannot_be_made_static_or_converted(tmp_path: Path):
    path = written(tmp_path, user_model(batch=1, flatten_to=[1, 4]))
    assert (
        "net.onnx cannot be converted to opset 99 at batch 1: "
        in refused(import_onnx, path, batch=1, input_size=8, opset=99).message
    )


def test_sessions_run_with_optimisations_off_unless_asked(
    exported: ir.Model, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    monkeypatch.setattr(
        ort,
        "InferenceSession",
        lambda source, options, providers: seen.append((options, providers)),
    )
    simulate.ort_session(ort, exported)
    simulate.ort_session(ort, exported, optimize=True)
    levels = [options.graph_optimization_level for options, _ in seen]
    assert levels == [
        ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ]
    assert all(providers == ["CPUExecutionProvider"] for _, providers in seen)
