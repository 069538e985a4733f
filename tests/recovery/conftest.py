"""A small network, quantized, and samples to recover it with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.quantizer import recipe
from edge_scnet.recovery.distill import Distiller
from edge_scnet.recovery.executor import TorchGraph
from edge_scnet.recovery.learnable import LearnableGraph
from edge_scnet.recovery.samples import RecoverySamples, samples_of
from tests.helpers.float_graphs import SCHEME, biased_conv, ir_graph, named_node, random_weights
from tests.helpers.statistics import calibrated


@dataclass(frozen=True)
class Small:
    """The files, and samples of the set that they were calibrated with."""

    float_onnx: Path
    qdq: Path
    samples: RecoverySamples

    def student(self) -> LearnableGraph:
        return LearnableGraph(ir.load(self.qdq), weight_bits=8)

    def distiller(self) -> Distiller:
        teacher = TorchGraph(ir.load(self.float_onnx))
        return Distiller(self.student(), teacher, self.samples, group=1)


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network is slower on two, and much slower where others compute as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_scnet.recovery.train.usable_cores", lambda: 1)
        yield


@pytest.fixture(scope="package")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Three convolutions behind thresholds that cut far too much: most of it can be learned."""
    folder = tmp_path_factory.mktemp("small")
    model = ir_graph(
        [
            biased_conv("input", "w1", "a"),
            named_node("Relu", ["a"], "r"),
            biased_conv("r", "w2", "b"),
            named_node("LeakyRelu", ["b"], "l"),
            biased_conv("l", "w3", "c"),
            named_node("GlobalAveragePool", ["c"], "y"),
        ],
        random_weights("w1", "w2", "w3"),
    )
    ir.save(model, folder / "model.onnx")
    arrays = np.random.default_rng(5).standard_normal((64, 4, 8, 8)).astype(np.float32)
    ranges = calibrated(folder / "model.onnx", 0.3 * arrays)
    prepared = recipe.prepare(model, ranges, SCHEME, weight_bits=8, images=arrays[:4])
    ir.save(recipe.assemble(prepared).model, folder / "model.qdq.onnx")
    hashes = [f"{i:064x}" for i in range(64)]
    return Small(
        float_onnx=folder / "model.onnx",
        qdq=folder / "model.qdq.onnx",
        samples=samples_of({"input": arrays}, hashes, are_pictures=False),
    )
