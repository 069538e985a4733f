"""The proof of what lies in front of outputs whose size depends on the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.compile.fidelity import RealImages, check_fidelity
from edge_scnet.compile.front import check_front
from edge_scnet.compile.quality import qualities_of
from edge_scnet.compile.reference import Reference, load, to_npz
from edge_scnet.config.target import load_target
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX
from edge_scnet.errors import ParityError
from edge_scnet.graph.model import save
from edge_scnet.graph.run import run_onnx
from edge_scnet.runtimes import in_memory
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.in_memory import Engine

TEXT = """
    <ir_version: 9, opset_import: ["" : 20]>
    detector (float[1, 3, 64, 4] x) => (int64[n, 3] kept)
    <int64[1] many = {5}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] axis = {1}>
    {
        boxes = ReduceMean <keepdims = 0> (x, axis)
        turned = Transpose <perm = [0, 2, 1]> (boxes)
        scores = Slice (turned, zero, one, axis)
        kept = NonMaxSuppression (boxes, scores, many)
    }
"""


def test_the_tensors_in_front_are_compared_where_every_output_counts(tmp_path: Path) -> None:
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(TEXT), strict_mode=True)
    for name in (FLOAT_ONNX, QDQ_ONNX):
        save(ir.serde.deserialize_model(proto), tmp_path / name)
    images = np.random.default_rng(0).normal(0, 1, (8, 3, 64, 4)).astype(np.float32)
    factor = 1.0

    def compiler(path: Path) -> Engine:
        graph = ir.load(path)
        names = tuple(str(value.name) for value in graph.graph.outputs)

        def compute(batch: np.ndarray) -> list[np.ndarray]:
            given = run_onnx(graph, [batch])[0]
            return [
                array if name == "boxes" else array * factor
                for name, array in zip(names, given, strict=True)
            ]

        return Engine(compute=compute, input_shape=(1, 3, 64, 4), output_names=names)

    with in_memory.registered(compiler=compiler) as runtime:
        arguments = (runtime, load_target("cpu"), tmp_path, images, OpenOptions())
        found = check_front(*arguments)
        assert found is not None and found.engine_db is None and found.images == 8
        factor = 0.5  # the scores alone
        with pytest.raises(ParityError, match="output scores"):
            check_front(*arguments)
        built = runtime.build(tmp_path / QDQ_ONNX, load_target("cpu"), tmp_path / "engine.mem")
        nothing = check_fidelity(
            runtime,
            built.engine,
            float_model=tmp_path / FLOAT_ONNX,
            qdq_model=tmp_path / QDQ_ONNX,
            images=RealImages(prepared=images),
            options=OpenOptions(),
        )
    assert nothing is None


@pytest.mark.parametrize("sized", [None, (0, 2), ()])
def test_a_bundle_s_reference_says_which_outputs_it_has(
    sized: tuple[int, ...] | None, tmp_path: Path
) -> None:
    outputs = tuple(np.full((2, 3), i, np.float32) for i in (sized if sized is not None else (0,)))
    images = np.zeros((2, 3, 4, 4), np.float32)
    simulation = qualities_of(outputs, outputs)
    made = Reference(images=images, outputs=outputs, simulation=simulation, sized=sized)
    (tmp_path / "reference.npz").write_bytes(to_npz(made))
    read = load(tmp_path / "reference.npz")
    assert read.sized == sized and len(read.outputs) == len(outputs)
    of_engine = [np.zeros(1), np.ones(1), np.full(1, 2.0)]
    wanted = [0, 1, 2] if sized is None else list(sized)
    assert [array.item() for array in read.of(of_engine)] == wanted


def test_a_bundle_s_reference_may_hold_bytes(tmp_path: Path) -> None:
    outputs = (np.ones((2, 3), np.float32),)
    made = Reference(
        images=np.full((2, 4, 4, 3), 200, np.uint8),
        outputs=outputs,
        simulation=qualities_of(outputs, outputs),
    )
    (tmp_path / "reference.npz").write_bytes(to_npz(made))
    read = load(tmp_path / "reference.npz")
    assert read.images.dtype == np.uint8 and np.array_equal(read.images, made.images)
