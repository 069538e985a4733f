"""What OpenVINO miscompiles: every pattern and its near misses in the installed version, and the
rules that find them.

These tests also pin the upstream faults: when OpenVINO mends one, its tests fail, and rule and
rewrite can go.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.graph.lint import lint
from edge_scnet.graph.openvino_repair import repair
from edge_scnet.graph.run import run_onnx
from edge_scnet.runtimes.openvino import OPENVINO
from tests.helpers.openvino_faults import (
    IMAGE,
    POOLED,
    RIGHT_DB,
    SIGNED,
    SIGNED_CONVOLUTIONS,
    WRONG_DB,
    Pattern,
    added,
    assembled,
    built,
    elsewhere,
    engine_outputs,
    errors,
    pooled_graph,
    precisions,
    signed_graph,
    twice,
    worst_db,
)

pytest.importorskip("openvino")


SIGNED_RIGHT: dict[str, Pattern] = {
    "MaxPool, no Concat anywhere": lambda g: g.conv(g.maxpool(g.q("left"))),
    "MaxPool, a Concat of constants": lambda g: (
        g.conv(g.maxpool(g.q("left"))),
        g.node(
            "Add",
            ["right", g.node("Concat", [g.const(np.ones((1, 4, 1, 1), np.float32))] * 2, axis=1)],
        ),
    ),
    "MaxPool, Q": lambda g: (g.conv(g.q(g.maxpool(g.q("left")))), elsewhere(g)),
    "MaxPool, constant factor": lambda g: (g.conv(g.scaled(g.maxpool(g.q("left")))), elsewhere(g)),
    "MaxPool, grouped convolution": lambda g: (
        g.conv(g.maxpool(g.q("left")), group=2),
        elsewhere(g),
    ),
    "MaxPool, ConvTranspose": lambda g: (
        g.conv(g.maxpool(g.q("left")), kind="ConvTranspose"),
        elsewhere(g),
    ),
    "nothing between": lambda g: (g.conv(g.q("left")), elsewhere(g)),
    "Identity": lambda g: (g.conv(g.node("Identity", [g.q("left")])), elsewhere(g)),
    "zeros padded in front of the convolution": lambda g: (
        g.conv(g.pad(g.q("left"))),
        elsewhere(g),
    ),
    "Sigmoid": lambda g: (g.conv(g.sigmoid(g.q("left"))), elsewhere(g)),
    "Concat of Q, grouped convolution": lambda g: g.conv(
        g.concat(g.q("left"), g.q("right")), group=2
    ),
    "Concat of Q, depthwise convolution": lambda g: g.conv(
        g.concat(g.q("left"), g.q("right")), group=16, outputs=16
    ),
    "Concat of Q, uint8 Q": lambda g: g.conv(g.q(g.concat(g.q("left"), g.q("right")), "uint8")),
    "Concat of Q, float weights": lambda g: g.float_conv(g.concat(g.q("left"), g.q("right"))),
    "Concat of Q and of float": lambda g: g.conv(g.concat(g.q("left"), "right")),
    "Concat that another node reads, Q": lambda g: twice(
        g.concat("left", "right"), lambda t: g.conv(g.q(t)), g.sigmoid
    ),
    "Concat, Q, grouped convolution": lambda g: g.conv(g.q(g.concat("left", "right")), group=2),
    "Concat, Clip, Q": lambda g: g.conv(g.q(g.clip(g.concat("left", "right")))),
}
POOLED_RIGHT: dict[str, tuple[str, Pattern]] = {
    "zero point 0, Q behind": ("uint8", lambda g: g.conv(g.q(g.avgpool(g.q("left"))))),
    "zero point 0, no Q behind": ("uint8", lambda g: g.conv(g.avgpool(g.q("left")))),
    "int8 with zero point 0, Q behind": ("int8", lambda g: g.conv(g.q(g.avgpool(g.q("left"))))),
    "int8 with zero point 0, no convolution behind": (
        "int8",
        lambda g: g.sigmoid(g.avgpool(g.q("left"))),
    ),
    "int8 with zero point 0, a convolution with float weights reads the tensor too": (
        "int8",
        lambda g: twice(g.q("left"), g.float_conv, lambda t: g.conv(g.q(g.avgpool(t)))),
    ),
    "padding that does not count": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.q("left"), count_include_pad=0))),
    ),
    "no padding": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.q("left"), pads=None)))),
    "dilations": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.q("left"), dilations=[2, 2], pads=[2] * 4))),
    ),
    "Pad, Q in front": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.q(g.pad("left")), pads=None))),
    ),
    "Pad with another reader in front": (
        "uint8+85",
        lambda g: twice(
            g.pad(g.q("left")), lambda t: g.conv(g.q(g.avgpool(t, pads=None))), g.sigmoid
        ),
    ),
    "Pad, MaxPool in front": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.maxpool(g.pad(g.q("left")))))),
    ),
    "behind a constant that is added to an INT8 convolution": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, g.conv(g.q("left"))))),
    ),
    "behind a constant that is added to an INT8 convolution's Clip": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, g.clip(g.conv(g.q("left")))))),
    ),
    "behind the MaxPool of such a sum": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(g.maxpool(added(g, g.conv(g.q("left")))))),
    ),
    "behind Relu": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.relu(g.q("left")))))),
    "behind a sum": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.node("Add", [g.q("left"), "right"])))),
    ),
    "behind a Concat along another axis": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.concat(g.q("left"), g.q("right"), axis=2)))),
    ),
    "behind a Concat with float": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.concat(g.q("left"), "right")))),
    ),
}


def agreement_db(path: Path) -> float:
    """The engine against the file in ONNX Runtime without optimisations."""
    return worst_db(run_onnx(path, [IMAGE])[0], engine_outputs(path))


def assert_found_wrong_and_repaired(
    path: Path, expected: set[tuple[str, str]], *, repaired_db: float
) -> None:
    assert errors(path) == expected == {(f.rule, f.node) for f in OPENVINO.rewrites(path)}
    reference = run_onnx(path, [IMAGE])[0]
    db = worst_db(reference, engine_outputs(path))
    assert db < WRONG_DB, (
        f"openvino {OPENVINO.versions()['openvino']} gets this right, {db:.1f} dB: the rule and its"
        " rewrite can go"
    )
    repaired = repair(ir.load(path))
    onnx.checker.check_model(ir.to_proto(repaired), full_check=True)
    assert worst_db(reference, run_onnx(repaired, [IMAGE])[0]) >= repaired_db
    assert worst_db(reference, engine_outputs(built(path))) > RIGHT_DB


@pytest.mark.slow
@pytest.mark.skipif(
    bool(SIGNED_CONVOLUTIONS),
    reason=f"convolutions take int8 on this CPU: {sorted(SIGNED_CONVOLUTIONS)}",
)
@pytest.mark.parametrize("pattern", SIGNED)
def test_int8_codes_are_taken_for_real_values(pattern: str, tmp_path: Path) -> None:
    """The repaired graph is the same bit for bit."""
    nodes, make = SIGNED[pattern]
    path = signed_graph(make, tmp_path)
    assert_found_wrong_and_repaired(
        path, {("signed-codes", node) for node in nodes}, repaired_db=999.0
    )


@pytest.mark.slow
@pytest.mark.parametrize("pattern", SIGNED_RIGHT)
def test_int8_codes_are_right_elsewhere(pattern: str, tmp_path: Path) -> None:
    path = signed_graph(SIGNED_RIGHT[pattern], tmp_path)
    assert errors(path) == set() and OPENVINO.rewrites(path) == ()
    assert agreement_db(path) > RIGHT_DB


@pytest.mark.parametrize("pattern", ["Concat of Q", "Concat, Q", "MaxPool, a Concat elsewhere"])
def test_uint8_codes_after_relu_are_right(pattern: str, tmp_path: Path) -> None:
    path = assembled(SIGNED[pattern][1], "uint8", tmp_path, signed=False)
    assert errors(path) == set()
    assert agreement_db(path) > RIGHT_DB


@pytest.mark.slow
@pytest.mark.parametrize("pattern", POOLED)
def test_padding_is_averaged_as_code_0(pattern: str, tmp_path: Path) -> None:
    """The repaired graph adds in another order: a value between two codes may take the other, which
    is 50 dB and more.
    """
    codes, make = POOLED[pattern]
    if codes == "int8" and SIGNED_CONVOLUTIONS:
        pytest.skip(f"convolutions take int8 on this CPU: {sorted(SIGNED_CONVOLUTIONS)}")
    assert_found_wrong_and_repaired(
        pooled_graph(codes, make, tmp_path), {("padded-pool", "pool")}, repaired_db=50.0
    )


@pytest.mark.slow
@pytest.mark.parametrize("pattern", POOLED_RIGHT)
def test_other_pools_are_right(pattern: str, tmp_path: Path) -> None:
    path = pooled_graph(*POOLED_RIGHT[pattern], tmp_path)
    assert errors(path) == set() and OPENVINO.rewrites(path) == ()
    assert agreement_db(path) > RIGHT_DB


@pytest.mark.parametrize(("high", "precision"), [(4.0, "u8"), (2.5, "f32")])
def test_a_concat_of_unequal_scales_leaves_its_convolution_in_float(
    high: float, precision: str, tmp_path: Path
) -> None:
    path = assembled(
        lambda g: g.conv(g.concat(g.q("left"), g.q("right", high=high))),
        "uint8",
        tmp_path,
        signed=False,
    )
    found = {(f.rule, f.node, f.severity) for f in lint(ir.load(path), "openvino")}
    assert found == (set() if precision == "u8" else {("mixed-scales", "concat", "warning")})
    assert precisions(path)["conv"] == precision


def test_a_q_behind_a_concat_of_unequal_scales_is_enough(tmp_path: Path) -> None:
    path = assembled(
        lambda g: g.conv(g.q(g.concat(g.q("left"), g.q("right", high=2.5)))),
        "uint8",
        tmp_path,
        signed=False,
    )
    assert lint(ir.load(path), "openvino") == ()
    assert precisions(path)["conv"] == "u8"
