"""Where Q/DQ pairs stand, on small graphs and on the bundled model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.errors import TargetError
from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer import placement
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import (
    FAST,
    FIRST_CONV,
    TWO_WEIGHTS,
    USERS_GRAPHS,
    graph_of,
    placed,
    write_plain,
)
from tests.helpers.statistics import calibrated
from tests.helpers.tool import Built


def test_keep_float_leaves_the_named_modules_out(built: Built) -> None:
    scheme = QuantScheme(placement="openvino", keep_float=("layer3.*", "fc"))
    _, some = placed(built, scheme)
    assert some.int8_nodes and not any(
        name.startswith(("layer3.", "fc")) for name in some.int8_nodes
    )


@pytest.mark.parametrize("name", USERS_GRAPHS)
@pytest.mark.parametrize("batch", [1, 3])
def test_graphs_that_users_bring(name: str, batch: int, tmp_path: Path) -> None:
    model = graph_of(USERS_GRAPHS[name], TWO_WEIGHTS, (batch, 4, 8, 8))
    for bound, value in (("zero", 0.0), ("six", 6.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), bound))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    statistics_ = calibrated(path, images[:5], images[5:])
    loaded = ir.load(path)
    result = placement.place(
        loaded, statistics_, QuantScheme(placement="openvino", thresholds="minmax")
    )
    written = write_plain(loaded, result, weight_bits=8)
    onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)
    data = images[:batch]
    quality = sqnr_db(run_onnx(loaded, [data])[0][0], run_onnx(written, [data])[0][0])
    assert quality is not None and quality > 25
    assert len(result.int8_nodes) == 2


def test_known_range_of_a_sigmoid_needs_no_statistics(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(graph_of(USERS_GRAPHS["sigmoid before a convolution"], TWO_WEIGHTS), path)
    images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32)
    result = placement.place(
        ir.load(path),
        calibrated(path, images),
        FAST,
    )
    site = next(site for site in result.activations if site.tensor == "s")
    assert (site.params.zero_point, site.params.scale) == (0, pytest.approx(1 / 255))


def test_a_pattern_that_matches_nothing_is_refused_with_names_like_it(built: Built) -> None:
    with pytest.raises(TargetError, match="'layer9' matches no convolution") as caught:
        placed(built, QuantScheme(placement="openvino", keep_float=("layer9",)))
    assert "layer" in str(caught.value.hint)


def test_a_small_classifier_stays_in_float_and_a_large_one_does_not(tmp_path: Path) -> None:
    for classes, quantized in ((10, False), (20_000, True)):
        weights = {"w1": (4, 4, 3, 3), "fc": (classes, 4)}
        nodes = [
            FIRST_CONV,
            helper.make_node("GlobalAveragePool", ["a"], ["g"], name="g"),
            helper.make_node("Flatten", ["g"], ["f"], name="f"),
            helper.make_node("Gemm", ["f", "fc"], ["y"], transB=1, name="y"),
        ]
        path = tmp_path / f"{classes}.onnx"
        onnx.save(graph_of(nodes, weights), path)
        images = np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)
        statistics_ = calibrated(path, images)
        assert ("y" in placement.place(ir.load(path), statistics_, FAST).int8_nodes) is quantized
