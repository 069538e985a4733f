"""Builds through ONNX Runtime: for this machine, and for Arm from here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import EngineFacts
from edge_scnet.core.manifest import load_manifest
from edge_scnet.machine import isa
from tests.helpers.tool import Built, Run

ARM = frozenset({"fp", "asimd", "asimdhp", "asimddp"})


def build(invoke: Run, built: Built, target: str, *more: object) -> tuple[Path, dict, str]:
    """Builds beside the shared build, whose graph is reused; the folder, the report, stderr."""
    data = ["--calib", built.calib, "--eval", built.evaluation, "--max-drop", "5"]
    out = built.folder.parents[1]
    outcome = invoke(
        "build", "--target", target, *data, "--out", out, "--seconds", "0.2", "--json", *more
    )
    # 11, 13: so small a network may gain nothing here
    assert outcome.code in (0, 11, 13), outcome.stderr
    return built.folder.with_name(target), json.loads(outcome.stdout), outcome.stderr


def test_a_build_for_this_machine_is_measured_and_judged(copied: Built, invoke: Run) -> None:
    folder, report, said = build(invoke, copied, "onnxruntime")
    assert "46 convolutions execute in INT8; fidelity" in said
    assert [row["name"] for row in report["engines"]] == ["fp32", "int8"]
    fp32, int8 = report["engines"]
    assert int8["convolutions"] == {"uint8": 46} and fp32["convolutions"] == {"f32": 46}
    assert int8["latency"]["p50_ms"] > 0 and int8["layer_times"]
    assert int8["settings"]["provider"] == "CPU"
    assert {"model-int8.onnx", "model-fp32.onnx"} <= set(load_manifest(folder).artifacts)
    assert load_manifest(folder).artifacts["model-int8.onnx"].versions.keys() == {"onnxruntime"}
    outcome = invoke("predict", folder, next(copied.evaluation.parent.glob("*")))
    assert outcome.code != 0 or outcome.stdout
    # a second run makes nothing anew
    _, _, said = build(invoke, copied, "onnxruntime")
    assert said.count("unchanged, reused") == 4


def test_a_build_for_arm_is_simulated_here_and_gets_no_verdict_on_speed(
    copied: Built, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, report, said = build(invoke, copied, "arm64")
    assert "of a twin for this machine: 46 convolutions execute in INT8; fidelity" in said
    assert "simulate   " in said
    assert [row["name"] for row in report["engines"]] == ["fp32", "int8 simulated"]
    assert all(row["latency"] is None for row in report["engines"])
    assert report["verdict"].startswith("accurate in simulation, speed not measured")
    facts = BuildFolder.open(folder).facts("model-int8.onnx", EngineFacts)
    assert facts.int8_convolutions == 46 and facts.fidelity is not None
    # its codes are signed, those of the graph that is simulated are not
    types = {
        file: {
            item.data_type
            for item in onnx.load(folder / file).graph.initializer
            if "zero" in item.name
        }
        for file in ("model-int8.onnx", "model.qdq.onnx")
    }
    assert onnx.TensorProto.UINT8 not in types["model-int8.onnx"]
    assert onnx.TensorProto.UINT8 in types["model.qdq.onnx"]
    # nothing measures it on this machine
    outcome = invoke("profile", folder, "--eval", copied.evaluation)
    assert outcome.code == 3 and "model-int8.onnx needs asimd" in outcome.stderr
    assert outcome.hint == "copy the folder to such a machine, and there: edge-scnet profile arm64"
    # on Arm the same folder is measured and judged; the processor alone is acted
    monkeypatch.setattr(isa, "machine_flags", lambda: ARM)
    outcome = invoke("profile", folder, "--eval", copied.evaluation, "--seconds", "0.2")
    assert outcome.code in (0, 11, 13), outcome.stderr
    assert re.search(r"p50", outcome.stdout)


def test_the_words_after_a_build_for_arm(copied: Built, invoke: Run) -> None:
    data = ["--calib", copied.calib, "--eval", copied.evaluation, "--max-drop", "5"]
    out = copied.folder.parents[1]
    outcome = invoke("build", "--target", "pi5", *data, "--out", out)
    assert outcome.code == 0, outcome.stderr
    words = " ".join(outcome.stdout.split())
    assert "measured: no, that takes a 64-bit Arm machine" in words
    assert "edge-scnet profile pi5 --eval IMAGES" in words
    assert "ship" not in words


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('placement = "onnxruntime"', 'placement = "openvino"', 'ONNX Runtime needs "onnxruntime"'),
        ('isa = "asimd"', 'isa = "none"', 'isa is "none"; a CPU computes'),
        ("batch = 1", 'batch = 1\nrest = "fp16"', 'rest is "fp16"'),
        ('device = "CPU"', 'device = "GPU"', "allowed: CPU"),
    ],
)
def test_targets_that_onnx_runtime_cannot_serve(
    invoke: Run, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    text = Path("targets/arm64.toml").read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    outcome = invoke("build", "--target", tmp_path / "mine.toml", "--out", tmp_path)
    assert outcome.code == 3 and expected in outcome.stderr


def test_openvino_is_refused_on_arm(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isa, "machine_flags", lambda: ARM)
    outcome = invoke("build", "--target", "cpu", "--out", tmp_path)
    assert outcome.code == 3 and "engines of OpenVINO are for x86-64" in outcome.stderr
    assert outcome.hint == "edge-scnet build --target arm64"
