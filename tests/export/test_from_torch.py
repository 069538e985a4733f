"""The exported graph's form and names. Exports are slow: they are shared."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.export.from_torch import export_torch
from edge_scnet.export.parity import check_parity
from edge_scnet.export.torch_call import outputs_of
from edge_scnet.graph.model import save
from edge_scnet.graph.names import MODULE_KEY
from edge_scnet.graph.run import run_onnx
from tests.helpers.networks import SHAPE_ARITHMETIC, TINY_SHAPE, ops, random_images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixture", "opset", "classes"),
    [
        ("exported", 18, 10),
        ("tiny_exported", 18, 5),
        ("named_exported", 20, 5),
    ],
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


@pytest.mark.slow
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


def test_the_file_holds_no_stack_traces_and_no_paths(tiny_exported: ir.Model, tmp_path: Path):
    save(tiny_exported, tmp_path / "model.onnx")
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
        str(Path(__file__).parents[2]),
        str(Path.home()),
    ):
        assert word not in text, word


def test_saving_and_loading_changes_nothing(tiny_exported: ir.Model, tmp_path: Path):
    save(tiny_exported, tmp_path / "model.onnx")
    image = random_images(TINY_SHAPE, 1)
    assert np.array_equal(
        run_onnx(tmp_path / "model.onnx", [image])[0][0], run_onnx(tiny_exported, [image])[0][0]
    )


def test_an_opset_the_exporter_cannot_write_is_refused(
    tiny: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    class Program:
        model = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 18}), ir_version=10)

    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Program)
    with pytest.raises(ArtifactError, match="the exporter wrote opset 18, the target wants 20"):
        export_torch(tiny, TINY_SHAPE, opset=20)


@pytest.mark.slow
def test_opset_17_is_written_though_the_exporter_starts_at_18(
    tiny: nn.Module, tiny_exported: ir.Model
):
    image = random_images(TINY_SHAPE, 1)
    model = export_torch(tiny, TINY_SHAPE, opset=17)
    assert model.opset_imports[""] == 17 and "ReduceMean" not in {
        node.op_type for node in model.graph
    }
    np.testing.assert_allclose(
        run_onnx(model, [image])[0][0], run_onnx(tiny_exported, [image])[0][0], rtol=1e-5, atol=1e-6
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
    def forward(self, x: Tensor) -> dict[str, object]:
        return {"out": x, "count": 3}


@pytest.mark.slow
class Policy(nn.Module):
    """Several inputs and outputs, of which one passes through and one comes twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.action = nn.Parameter(torch.ones(4))

    def forward(
        self, image: Tensor, state: Tensor, *, step: Tensor, scale: float = 2.0
    ) -> dict[str, Any]:
        action = torch.relu(self.conv(image)).mean((2, 3)) * self.action + scale * state
        return {"action": action, "pair": (action, step + 1), "none": None, "state": state}


def policy_batch(batch: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return batch_of_arrays(
        {
            "step": np.arange(batch, dtype=np.int64),
            "image": rng.standard_normal((batch, 3, 8, 8)).astype(np.float32),
            "state": rng.standard_normal((batch, 4)).astype(np.float32),
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True])
def test_inputs_and_outputs_keep_their_names(dynamic: bool, tmp_path: Path):
    torch.manual_seed(0)
    module = Policy().eval()
    model = export_torch(module, policy_batch(2), opset=18, dynamic_batch=dynamic)
    assert sorted(str(value.name) for value in model.graph.inputs) == ["image", "state", "step"]
    names = ["action", "pair_0", "pair_1", "state_out"]
    assert [value.name for value in model.graph.outputs] == names
    save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    batch = policy_batch(5 if dynamic else 2)
    outputs = run_onnx(tmp_path / "model.onnx", [batch])[0]
    for output, wanted in zip(outputs, outputs_of(module, batch), strict=True):
        np.testing.assert_allclose(output, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_parity_of_a_module_of_several_inputs():
    torch.manual_seed(0)
    module = Policy().eval()
    model = export_torch(module, policy_batch(2), opset=18)
    proven = check_parity(module, model, policy_batch(8), opset=18, batches=(2,))
    assert proven.batches == (2,) and proven.worst < 1e-5
    # a copy: the graph holds the module's own tensors
    module = copy.deepcopy(module)
    module.conv.weight.data *= 1.1
    with pytest.raises(ParityError, match="first module that differs: conv"):
        check_parity(module, model, policy_batch(8), opset=18, batches=(2,))


@pytest.mark.slow
def test_modules_that_cannot_be_exported(tiny: nn.Module):
    with pytest.raises(ArtifactError, match="computes shapes at run time: NonZero at") as caught:
        export_torch(Counted(), TINY_SHAPE, opset=18)
    assert "F.interpolate" in str(caught.value.hint)
    with pytest.raises(
        ArtifactError,
        match="Answers returns an int inside others; a tensor, or a tuple or a dict of tensors, is",
    ):
        export_torch(Answers(), TINY_SHAPE, opset=18)
    with pytest.raises(
        ArtifactError, match=r"SCNet does not run on a 1 x 3 x 3 x 3 input: .*too small"
    ) as caught:
        export_torch(tiny, (1, 3, 3, 3), opset=18)
    assert "--input-size" in str(caught.value.hint)
