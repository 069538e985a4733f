"""What makes a report comparable with its baseline, and the finding where it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_scnet.report.findings import exit_code
from edge_scnet.report.run_report import RunReport
from tests.helpers.reports import failed, findings, provenance, report


def test_an_unchanged_report_passes_everything():
    found = findings(report())
    assert {finding.verdict for finding in found.values()} == {"pass"}
    assert exit_code(tuple(found.values())) == 0
    assert set(found) == {
        "top-1 drop",
        "top-1 to baseline",
        "agreement to baseline",
        "SQNR",
        "quantized tensors",
        "scales",
        "zero points",
        "weight codes",
        "INT8 convolutions",
        "size",
        "speed",
        "memory at load",
        "memory steady",
    }
    assert not any(finding.improved for finding in found.values())


@pytest.mark.parametrize(
    ("changed", "metric"),
    [
        ({"weights": ("x" * 64,)}, "checkpoint"),
        ({"preprocessing": {"mean": [0.25], "std": [0.5], "input_size": 28}}, "preprocessing"),
        ({"calibration_images": "x" * 64}, "calibration images"),
        ({"settings": {"quant": {"percentile": 90.0}}}, "target's settings"),
        ({"weight_bits": 8}, "bits of the weights"),
        ({"made_elsewhere": True}, "quantizer (ours, or another's file)"),
        ({"calibrated_onnx": "x" * 64}, "statistics"),
    ],
)
def test_another_input_is_said_and_is_not_comparable(changed: dict[str, Any], metric: str):
    found = findings(report(provenance=provenance(**changed)))
    assert failed(found) == [metric]
    assert found[metric].exit_code == 12


def test_a_key_that_is_not_set_is_as_one_that_a_version_lacks() -> None:
    settings = {"quant": {"percentile": 99.999, "no_key_any_more": None}, "board": None}
    new = report(provenance=provenance(settings=settings))
    assert not failed(findings(new))


def test_another_exporters_graph_alone_is_no_fault():
    assert not failed(
        findings(
            report(
                provenance=provenance(graph="x" * 64, float_onnx="x" * 64, calibrated_onnx="x" * 64)
            )
        )
    )


def test_a_failure_names_what_else_changed():
    environment = {
        **report().environment,
        "packages": {"openvino": "2026.5.0"},
        "fingerprint": "z" * 64,
    }
    new = report(
        noise=0.2, provenance=provenance(calibration_images="x" * 64), environment=environment
    )
    cause = findings(new)["SQNR"].cause
    assert cause == "the calibration images changed; openvino 2026.4.1 -> 2026.5.0; another machine"
    assert findings(new)["scales"].cause is None  # it passes


@pytest.mark.parametrize(
    ("changes", "metric", "words"),
    [
        ({"model": "other"}, "model", "other"),
        ({"target": "cpu-avx2"}, "target", "cpu-avx2"),
        ({"batch": 8}, "batch", "8"),
        ({"evaluation": None}, "evaluation images", "none"),
        ({"complete": False}, "report", "interrupted"),
        ({"quantization": None}, "report", "older version"),
        ({"engines": ()}, "report", "no INT8 engine"),
    ],
)
def test_what_cannot_be_compared_stands_alone(changes: dict[str, Any], metric: str, words: str):
    found = findings(report(**changes))
    assert set(found) == {metric} and found[metric].exit_code == 12
    assert words in found[metric].message


def test_the_same_images_under_another_name_and_order_are_the_same():
    old = report()
    assert old.evaluation is not None
    moved = replace(old.evaluation, name="elsewhere", sha256="z" * 64)
    assert not failed(findings(report(evaluation=moved)))
    other = replace(old.evaluation, images_sha256="z" * 64)
    assert set(findings(report(evaluation=other))) == {"evaluation images"}
    # as many images of the same contents, but nobody knows their labels now
    assert set(findings(report(labelled=False))) == {"evaluation images"}


def without(*fields: str, row: int = 1) -> RunReport:
    made = report()
    rows = list(made.engines)
    rows[row] = replace(rows[row], **dict.fromkeys(fields))
    return replace(made, engines=tuple(rows))


@pytest.mark.parametrize(
    ("new", "metric"),
    [
        (without("first_classes"), "accuracy"),
        (without("first_classes", row=0), "agreement to baseline"),
        (without("memory"), "memory"),
        (without("speedup"), "speed"),
        (replace(report(), engines=report().engines[1:]), "accuracy"),
        (report(int8={"convolutions": {}}), "INT8 convolutions"),
        (report(environment={}), "speed"),
        (report(provenance=provenance(calibrated_onnx=None)), "statistics"),
    ],
)
def test_what_the_baseline_knows_and_the_report_does_not_is_no_pass(new: RunReport, metric: str):
    found = findings(new)
    assert metric in failed(found) and exit_code(tuple(found.values())) == 12


def test_the_order_of_rows_and_a_default_row_do_not_matter():
    made = report()
    default = replace(made.engines[0], name="default", role="default", convolutions={"bf16": 46})
    assert not failed(findings(replace(made, engines=(made.engines[1], default, made.engines[0]))))


def test_images_that_nobody_hashed_are_not_the_same_images():
    old = report()
    unknown = replace(old.evaluation, images_sha256=None)
    assert set(findings(report(evaluation=unknown), report(evaluation=unknown))) == {
        "evaluation images"
    }
