"""Scales, codes, precisions and graphs against the baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_scnet.core.packing import pack_scales
from edge_scnet.report.findings import exit_code
from tests.helpers.reports import failed, findings, provenance, quantization, report

BASE = quantization()


def with_codes(**changes: Any) -> Any:
    return replace(
        BASE, weights={**BASE.weights, "conv1": replace(BASE.weights["conv1"], **changes)}
    )


def with_add(**changes: Any) -> Any:
    return replace(
        BASE, activations={**BASE.activations, "add": replace(BASE.activations["add"], **changes)}
    )


@pytest.mark.parametrize(
    ("changed", "metric"),
    [
        (quantization(relu=0.2), "scales"),
        (quantization(relu=0.05 * 1.03), "scales"),
        (with_codes(scales=pack_scales([0.01] * 15 + [0.16])), "scales"),
        (with_codes(scales=pack_scales([0.01] * 15 + [0.0025])), "scales"),
        (with_codes(channels=1, scales=pack_scales([0.01])), "quantized tensors"),
        (with_codes(distinct=15), "weight codes"),
        (with_add(zero_point=9), "zero points"),
        (with_add(codes="INT8"), "quantized tensors"),
        (replace(BASE, weights={"conv1": BASE.weights["conv1"]}), "quantized tensors"),
        (
            replace(BASE, activations={k: v for k, v in BASE.activations.items() if k != "add"}),
            "quantized tensors",
        ),
    ],
)
def test_a_changed_fact_fails_by_itself(changed: Any, metric: str):
    found = findings(report(quantization=changed))
    assert failed(found) == [metric]
    assert found[metric].exit_code == 10


def test_what_another_cpus_kernels_do_to_scales_passes():
    assert not failed(findings(report(quantization=quantization(relu=0.05 * 1.002))))
    assert not failed(findings(report(quantization=with_add(zero_point=4))))


def test_float_in_place_of_int8():
    found = findings(report(int8={"convolutions": {"f32": 46}}))
    assert failed(found) == ["INT8 convolutions"]
    assert (
        "0 convolutions execute in INT8 (46 f32), 46 in the baseline"
        in found["INT8 convolutions"].message
    )
    assert not failed(findings(report(int8={"convolutions": {"i8": 20, "u8": 26}})))


def test_a_layer_that_falls_back_to_float_is_named():
    changed = {"convolutions": {"u8": 45, "f32": 1}, "float_convolutions": ("layer1.0.k2",)}
    found = findings(report(int8=changed))
    assert failed(found) == ["INT8 convolutions"]
    assert found["INT8 convolutions"].message.endswith("In float now: layer1.0.k2.")
    found = findings(report(int8={"not_int8": ("fc",)}))
    assert failed(found) == ["layers not in INT8"]
    assert found["layers not in INT8"].message.startswith("1 that should execute in INT8 do no")
    held = report(int8={"not_int8": ("fc",)})
    assert not failed(findings(held, held))
    assert findings(report(), held)["layers not in INT8"].verdict == "pass"
    # a network of linear layers has no convolutions
    linear = report(int8={"convolutions": {}})
    fallen = report(int8={"convolutions": {}, "not_int8": ("fc",)})
    assert failed(findings(fallen, linear)) == ["layers not in INT8"]


def test_a_reference_in_another_precision_is_another_reference():
    made = report()
    bf16 = replace(made.engines[0], convolutions={"bf16": 46})
    found = findings(replace(made, engines=(bf16, made.engines[1])))
    assert (
        failed(found) == ["reference"]
        and "bf16; in the baseline: f32" in found["reference"].message
    )


def test_an_unknown_precision_is_not_int8():
    assert failed(findings(report(int8={"convolutions": {"fp8": 46}}))) == ["INT8 convolutions"]


def test_another_checkpoint_is_not_held_to_the_scales():
    new = report(quantization=quantization(relu=0.2), provenance=provenance(weights=("x" * 64,)))
    found = findings(new)
    assert failed(found) == ["checkpoint"] and found["scales"].verdict == "skipped"
    assert exit_code(tuple(found.values())) == 12


def test_another_graph_of_the_same_checkpoint_is_told():
    found = findings(report(provenance=provenance(graph="x" * 64)))
    assert found["graph"].verdict == "skipped" and not failed(found)


def test_a_simulated_report_is_not_held_to_a_boards_plan():
    """The workstation's report of a board's target: only the simulated engine can be compared."""
    simulated = {
        "name": "int8 simulated",
        "latency": None,
        "speedup": None,
        "memory": None,
        "convolutions": {},
    }
    made = report()
    row = replace(made.engines[1], **simulated)
    plan = replace(made.engines[1], accuracy=None, first_classes=None, size_bytes=9_000_000)
    board = replace(made, engines=(made.engines[0], row, plan))
    workstation = replace(made, engines=(made.engines[0], row))
    found = findings(workstation, board)
    assert not failed(found) and found["speed"].verdict == "skipped"
    assert found["size"].measured == found["size"].expected == 1_000_000
    assert not failed(findings(board, workstation))
