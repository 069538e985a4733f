"""Layers by block: of SCNet, of paths, of many modules, of names that say nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edge_scnet.report.blocks import Block, blocks_of, own_nodes
from edge_scnet.report.network_svg import network_svg
from edge_scnet.report.page_network import drawn
from edge_scnet.report.run_report import EngineReport, LayerTime, RunReport
from edge_scnet.stats.figures import NoisePart
from tests.helpers.reports import report


def layer(
    *nodes: str, ms: float = 1.0, precision: str = "u8", name: str = "", kind: str = "Convolution"
) -> LayerTime:
    return LayerTime(
        name=name or (nodes[0] if nodes else "?"),
        kind=kind,
        precision=precision,
        modules=nodes,
        median_ms=ms,
    )


def row(*layers: LayerTime) -> EngineReport:
    return replace(report().engines[1], layer_times=layers)


def test_blocks_are_in_the_order_in_which_they_run_with_their_precisions() -> None:
    blocks = blocks_of(
        row(
            layer("input/Q", ms=0.5, precision="f32"),
            layer("Multiply_15", "conv1", "relu/Relu/Q", ms=2.0, name="conv1/WithoutBiases"),
            layer("layer1.0.conv1_a", ms=3.0),
            layer("layer1.0.downsample.0/AveragePool", ms=1.0, precision="f32"),
            layer("Convert_27", kind="Convert", ms=0.25, precision="f32"),
            layer("fc"),
        )
    )
    assert [(b.name, b.layers, b.ms, b.int8_ms) for b in blocks] == [
        ("input", 1, 0.5, 0.0),
        ("conv1", 1, 2.0, 2.0),
        ("layer1.0", 3, 4.25, 3.0),
        ("fc", 1, 1.0, 1.0),
    ]
    assert {block.noise_percent for block in blocks} == {None}


def test_noise_is_summed_by_block() -> None:
    noise = (
        NoisePart(module="layer1.0.a", percent=60.0),
        NoisePart(module="layer1.0.b", percent=30.0),
        NoisePart(module="gone", percent=10.0),
    )
    blocks = blocks_of(row(layer("conv1"), layer("layer1.0.a"), layer("layer1.0.b")), noise)
    assert [(block.name, block.noise_percent) for block in blocks] == [
        ("conv1", 0.0),
        ("layer1.0", 90.0),
    ]


@pytest.mark.parametrize(
    ("names", "blocks"),
    [
        # torchvision's export: a part of a path holds those in front of it
        (["/layer1/layer1.0/conv1/Conv", "/layer1/layer1.1/conv1/Conv"], ["layer1.0", "layer1.1"]),
        # ultralytics'
        (["/model.0/conv/Conv", "/model.9/m/MaxPool"], ["model.0", "model.9"]),
        # everything inside one module
        (
            [f"net.features.{i}.conv" for i in range(6)],
            [f"net.features.{i}" for i in range(6)],
        ),
        # more than can be read: larger blocks
        (
            [f"stage{i}.{j}.conv" for i in range(4) for j in range(20)],
            [f"stage{i}" for i in range(4)],
        ),
    ],
)
def test_blocks_are_as_deep_as_can_be_read(names: list[str], blocks: list[str]) -> None:
    assert [block.name for block in blocks_of(row(*map(layer, names)))] == blocks


def test_names_without_modules_are_taken_in_runs() -> None:
    blocks = blocks_of(row(*(layer(f"conv{i}", ms=0.5) for i in range(300))))
    assert len(blocks) == 30 and sum(block.layers for block in blocks) == 300
    assert blocks[0].name == "conv0 to conv9" and sum(block.ms for block in blocks) == 150.0


def test_a_copy_of_a_plan_is_of_the_layer_that_it_is_made_for() -> None:
    name = "Reformatting CopyNode for Input Tensor 0 to layer1.0.conv1 + layer1.0.relu"
    copy = layer(name=name, kind="Reformat", precision="?")
    blocks = blocks_of(row(layer("conv1", precision="int8"), copy))
    assert [(block.name, block.int8_ms) for block in blocks] == [("conv1", 1.0), ("layer1.0", 0.0)]


def test_the_node_that_a_layer_is_named_after_is_first() -> None:
    fused = layer("a/Add", "conv", "Multiply_3", name="conv/WithoutBiases")
    assert own_nodes(fused) == ("conv", "a/Add")
    assert own_nodes(layer("Conv_12")) == ("Conv_12",)
    product = "fc/WithoutBiases/DequantizationMultiply"
    assert own_nodes(layer(product, "logits", name=product)) == ("fc", "logits")


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_picture_has_names_shares_and_both_precisions() -> None:
    blocks = [
        Block(name="conv1", layers=1, ms=1.0, int8_ms=1.0, noise_percent=75.0),
        Block(name="layer1.<0>", layers=2, ms=3.0, int8_ms=1.5, noise_percent=25.0),
    ]
    svg = network_svg("The network", blocks)
    assert texts(svg) == [
        *("INT8", "float", "share of time", "share of noise"),
        *("conv1", "25.0 %", "75.0 %", "layer1.&lt;0&gt;", "75.0 %", "25.0 %"),
    ]
    assert "layer1.&lt;0&gt;: 3.000 ms, 75.0 % of the time, in 2 layers, 50 % of it in INT8" in svg
    plain = network_svg("", [replace(block, noise_percent=None) for block in blocks])
    assert "share of noise" not in plain


def made(**changes: object) -> RunReport:
    whole = report(int8={"layer_times": (layer("conv1", ms=3.0), layer("fc", precision="f32"))})
    return replace(whole, **changes)


def test_the_words_name_what_is_in_float_and_where_the_noise_is() -> None:
    found = drawn(made(), "t")
    assert found is not None
    first, in_float, noise = found.words
    assert "75.0 % of its layers' time is in INT8" in first
    assert in_float == "Time in float: fc 25.0 % of all."
    assert "edge-scnet sensitivity" in noise
    parts = (NoisePart(module="fc", percent=80.0), NoisePart(module="conv1", percent=20.0))
    found = drawn(made(noise=parts), "t")
    assert found is not None and found.words[-1].startswith(
        "Most of the noise: fc 80.0 %, conv1 20.0 %."
    )


def test_without_timed_layers_nothing_is_drawn() -> None:
    assert drawn(report(), "t") is None
