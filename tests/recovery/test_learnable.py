"""A Q/DQ graph read, learned and written again in the same form."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import torch

from edge_scnet.graph.lint import lint
from edge_scnet.graph.run import run_onnx
from tests.recovery.conftest import Small


def arrays(model: ir.Model) -> dict[str, np.ndarray]:
    return {n: v.const_value.numpy() for n, v in model.graph.initializers.items()}


def test_nothing_learned_writes_the_same_file(small: Small) -> None:
    before, after = arrays(ir.load(small.qdq)), arrays(small.student().written())
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert array.dtype == after[name].dtype and np.array_equal(array, after[name]), name


def test_all_kinds_of_parameters_are_found(small: Small) -> None:
    counts = {kind: len(members) for kind, members in small.student().parameters.items()}
    # the input, "r", "l" and "c"; "r" is behind a ReLU, and keeps its zero point of 0
    assert counts == {"weight": 3, "weight_scale": 3, "scale": 4, "zero_point": 3, "bias": 3}


def test_what_was_learned_is_what_the_file_computes(small: Small) -> None:
    student = small.distiller().student
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in student.named():
            step = 3.0 if name.startswith(("weight:", "zero_point:")) else 0.05
            parameter.add_(step * torch.randn_like(parameter))
    written = student.written()
    onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)
    assert lint(written, "openvino") == lint(ir.load(small.qdq), "openvino")
    feeds = small.samples.take([0])
    want = run_onnx(written, [feeds["input"].numpy()])[0][0]
    with torch.no_grad():
        found = student.compute(feeds)[student.outputs[0]].numpy()
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-4)


def test_a_zero_point_of_0_and_the_range_of_codes_stay(small: Small) -> None:
    student = small.student()
    with torch.no_grad():
        for parameter in student.parameters["weight"].values():
            parameter.mul_(10)
        for parameter in student.parameters["zero_point"].values():
            parameter.sub_(1000)
    before, after = arrays(ir.load(small.qdq)), arrays(student.written())
    zeros = [n for n, a in before.items() if n.endswith("zero_point") and a.dtype == np.uint8]
    assert {int(after[n]) for n in zeros if before[n] == 0} == {0}
    assert {int(after[n]) for n in zeros if before[n] != 0} == {1}
    codes = [a for n, a in after.items() if n.endswith("_int8")]
    assert all(np.abs(a).max() == 127 for a in codes)


def test_a_tensor_that_its_codes_hold_exactly_is_not_learned(small: Small) -> None:
    student = small.student()
    scale = float(student.constants["r_scale"])
    values = {name: torch.tensor([0.4]) for name in student.quantized}
    values["r"] = torch.arange(5) * scale
    student.keep_exact(values)
    assert "r_scale" not in student.parameters["scale"]
    assert len(student.parameters["scale"]) == 3
