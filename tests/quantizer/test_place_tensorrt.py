"""Where Q/DQ go for TensorRT."""

from __future__ import annotations

from tests.helpers.float_graphs import (
    TENSORRT,
    placed,
)
from tests.helpers.tool import Built


def test_tensorrt_placement_of_the_self_calibrated_block(built: Built) -> None:
    model, result = placed(built, TENSORRT)
    sites = {site.tensor: site for site in result.activations}
    assert all(
        (site.params.dtype, site.params.zero_point) == ("int8", 0) for site in sites.values()
    )
    block = "layer2.1"
    # inputs of the convolutions and pools, one Q/DQ after the Concat, both inputs of the product,
    # the Resize side of the gate
    for tensor in (
        f"{block}.scconv/Mul",
        f"{block}/Concat",
        f"{block}.scconv.k3.0",
        f"{block}.scconv/Sigmoid",
        f"{block}.scconv.k2.1",
    ):
        assert tensor in sites, tensor
    # the residual: the skip side only, and never a convolution's output that fuses with the sum
    assert f"{block}.conv3" not in sites and "layer2.0.conv3" not in sites
    assert "layer2.0.downsample.1" in sites
    adds = {
        str(node.name)
        for node in model.graph
        if node.op_type == "Add" and str(node.name).startswith(f"{block}/")
    }
    skip = next(site for site in sites.values() if site.tensor == "layer2.0.relu/Relu#5")
    assert not adds & set(skip.float_consumers)
    # every average pool reads int8
    for node in model.graph:
        if node.op_type == "AveragePool":
            assert node.inputs[0] is not None and node.inputs[0].name in sites
