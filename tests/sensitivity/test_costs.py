"""What float costs, by the layers of two engines: modules, and the borders between them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.quantizer.params import activation_params
from edge_scnet.quantizer.sites import ActivationSite, Placement
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.sensitivity.costs import Costs, TimedLayers, costs_by_time, costs_by_work

_PARAMS = activation_params(0.0, 1.0, dtype="uint8")


def chain() -> ir.Model:
    """x, a, b, c and a second reader of b's input, d: 1 x 2 x 5 x 10 each, 100 values."""
    weight = numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["ta"], name="a"),
        helper.make_node("Relu", ["ta"], ["ra"], name="relu"),
        helper.make_node("Conv", ["ra", "w"], ["tb"], name="b"),
        helper.make_node("Conv", ["tb", "w"], ["y"], name="c"),
        helper.make_node("Conv", ["ra", "w"], ["z"], name="d"),
    ]
    shape = (1, 2, 5, 10)
    values = [helper.make_tensor_value_info(name, 1, shape) for name in ("ta", "ra", "tb")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info(name, 1, shape) for name in ("y", "z")],
        [weight],
        value_info=values,
    )
    return ir.serde.deserialize_model(helper.make_model(graph))


def layer(name: str, *nodes: str) -> ExecutedLayer:
    return ExecutedLayer(kind="Convolution", precision="u8", nodes=nodes, name=name)


@pytest.fixture(scope="module")
def costs() -> Costs:
    placed = Placement(
        activations=tuple(ActivationSite(tensor=t, params=_PARAMS) for t in ("x", "ra", "tb")),
        weights=(),
        int8_nodes=("a", "b", "c", "d"),
    )
    int8 = TimedLayers(
        layers=[
            layer("q", "x/Q"),
            layer("1", "a", "relu", "ra/Q"),
            layer("2", "b", "tb/Q"),
            layer("3", "c", "d"),
        ],
        # 100 values are converted in 0.5 ms; 10 ms together
        times_ms={"q": 0.5, "1": 4.0, "2": 3.5, "3": 2.0},
    )
    in_float = TimedLayers(
        layers=[layer("1", "a", "relu"), layer("2", "b"), layer("3", "c"), layer("4", "d")],
        times_ms={"1": 7.0, "2": 4.5, "3": 3.0, "4": 1.0},
    )
    return costs_by_time(chain(), placed, int8, in_float)


def test_a_module_costs_the_difference_of_its_layers_and_the_conversions_at_its_borders(
    costs: Costs,
) -> None:
    # b: 0.1 slower; its input is written in float and converted for d, its output for c
    assert costs.added("b", ()) == pytest.approx(0.10 + 0.05 + 0.05)
    # a: 0.3 slower; its output is converted, as its input was before
    assert costs.added("a", ()) == pytest.approx(0.30 + 0.05)
    # d shares a layer with c in INT8, and is as fast in float
    assert costs.added("d", ()) == pytest.approx(0.0 + 0.05)


def test_neighbours_in_float_share_a_border(costs: Costs) -> None:
    # with d in float too nothing is converted in front of both; with c nothing between b and c
    assert costs.added("d", ["b"]) == pytest.approx(-0.05)
    assert costs.added("c", ["b"]) == pytest.approx(0.20 - 0.05)
    assert costs.of(["b", "c", "d"]) == pytest.approx(0.10 + 0.20 + 0.0)
    # the whole network: what the layers of the float engine take more
    assert costs.of(["a", "b", "c", "d"]) == pytest.approx((15.5 - 9.5) / 10)


def test_without_times_a_module_costs_its_share_of_the_work() -> None:
    costs = costs_by_work({"a": 30, "b": 10})
    assert costs.added("a", ()) == 0.75 and costs.of(["a", "b"]) == 1.0
