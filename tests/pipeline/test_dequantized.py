"""A quantized file built alone: proven against itself, and never told to ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.core.manifest import load_manifest
from edge_scnet.pipeline.dequantized import is_quantized_file
from edge_scnet.report.dequantized import headline_of_dequantized, not_against_float
from edge_scnet.report.findings import Figure, Verdict, exit_code, judged
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Built, Run

SPEED = judged("speed", "speed", Figure(measured=2.0, unit="x"), "pass", "2.00x the speed.")


@pytest.mark.parametrize(
    ("verdict", "code", "words"),
    [
        ("pass", 13, "not proven against a float model: The model was given quantized"),
        ("inconclusive", 13, "not proven against a float model: The model was given quantized"),
        ("fail", 10, "do not ship: The model was given quantized"),
    ],
)
def test_no_finding_passes_for_accuracy(verdict: Verdict, code: int, words: str) -> None:
    accuracy = judged(
        "accuracy", "agreement", Figure(measured=99.0, unit="%"), verdict, "It agrees on 99 %."
    )
    findings = not_against_float([accuracy, SPEED])
    assert exit_code(findings) == code
    found = headline_of_dequantized(findings)
    assert found.startswith(words) and "It agrees on 99 %." in found
    assert findings[1] is SPEED


def test_a_float_file_is_none(tmp_path: Path, built: Built) -> None:
    assert not is_quantized_file(tiny_onnx(tmp_path / "tiny.onnx"))
    (tmp_path / "text.onnx").write_text("hello")
    assert not is_quantized_file(tmp_path / "text.onnx")
    assert is_quantized_file(built.folder / "model.qdq.onnx")


def test_a_quantized_model_takes_no_other_quantized_file(
    built: Built, tmp_path: Path, invoke: Run
) -> None:
    model = built.folder / "model.qdq.onnx"
    outcome = invoke("build", model, "--qdq", model, "--out", tmp_path / "out")
    assert outcome.code == 6 and "--qdq is for a float model" in outcome.stderr
    outcome = invoke("sensitivity", model, "--calib", built.calib, "--out", tmp_path / "out")
    assert outcome.code == 6 and f"{model} is quantized already" in outcome.stderr


def test_errors_and_hints_name_the_file_that_was_given(
    built: Built, tmp_path: Path, invoke: Run
) -> None:
    model = built.folder / "model.qdq.onnx"
    grey = ("--mean", "0.286", "--std", "0.353", "--out", tmp_path / "out")
    outcome = invoke("build", model, *grey)
    assert outcome.code == 4 and f"edge-scnet build {model} " in outcome.hint
    outcome = invoke("build", model, "--input-shape", "1x30x30", *grey)
    assert outcome.code == 6 and f"{model}: " in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_quantized_file_is_built_and_profiled_alone(
    built: Built, eval_20: Path, tmp_path: Path, invoke: Run
) -> None:
    model = built.folder / "model.qdq.onnx"
    outcome = invoke(
        "build",
        model,
        "--calib",
        built.calib,
        "--eval",
        eval_20,
        "--mean",
        "0.286",
        "--std",
        "0.353",
        "--seconds",
        "0.1",
        "--out",
        tmp_path,
    )
    assert outcome.code in (11, 13), outcome.stderr
    assert "its float model is not at hand" in outcome.stderr
    verdict = outcome.stdout.splitlines()[-2]
    assert verdict.startswith(("not proven against a float model: ", "do not ship: "))
    folder = tmp_path / "model.qdq" / "cpu"
    manifest = load_manifest(folder)
    assert manifest.dequantized and str(model) in manifest.rebuild
    facts = manifest.artifacts["model.xml"].facts
    proven = load_manifest(built.folder).artifacts["model.xml"].facts
    assert facts.int8_convolutions == proven.int8_convolutions == 46
    assert facts.fidelity.engine_db > facts.fidelity.simulation_db - 2
    # against a graph with the same weights it is closer than against the float model
    assert facts.fidelity.simulation_db > proven.fidelity.simulation_db
    again = invoke("profile", folder, "--seconds", "0.1")
    assert again.code in (11, 13), again.stderr
    assert "dequantized" in again.stdout and "ship INT8" not in again.stdout
