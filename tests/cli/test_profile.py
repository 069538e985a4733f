"""`profile` on the files of a build."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from edge_scnet.core.files import sha256_file
from edge_scnet.report.store import load_report
from tests.core.test_manifest import refused
from tests.helpers.images import published
from tests.helpers.tool import Built, Edit, Outcome, Run


def test_profile_of_an_engine_with_too_few_images(
    built: Built, eval_20: Path, cli_process: Run
) -> None:
    before = (built.folder / "report.json").read_bytes()
    outcome = cli_process(
        "profile",
        built.folder / "model.xml",
        "--eval",
        eval_20,
        "--seconds",
        "0.1",
        "--max-drop",
        "0.5",
        "--json",
    )
    report = json.loads(outcome.stdout)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "int8"]
    accuracy = report["findings"][0]
    assert (accuracy["verdict"], accuracy["exit_code"]) == ("inconclusive", 13)
    # where INT8 is slower than FP32 too, that is what the verdict and the exit code are about
    codes = {finding["exit_code"] for finding in report["findings"]} - {0}
    assert outcome.code == min(codes), outcome.stderr
    if codes == {13}:
        assert report["verdict"].startswith("not proven: ")
    assert (built.folder / "report.json").read_bytes() == before, (
        "the report belongs to the whole folder"
    )


def test_profile_of_an_onnx_file_compares_it_with_the_fp32_engine(
    built: Built, eval_20: Path, invoke: Run
) -> None:
    outcome = invoke(
        "profile", built.folder / "model.onnx", "--eval", eval_20, "--seconds", "0.1", "--json"
    )
    assert outcome.code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "fp32 onnx"]
    assert [engine["file"] for engine in report["engines"]] == ["model-fp32.xml", "model.onnx"]
    assert report["findings"] == [] and report["engines"][1]["accuracy"]["agreement_percent"] == 100


def test_profile_of_a_folder_with_a_wrong_engine_exit_10(
    copied: Built, cli_process: Run, edit_manifest: Edit
) -> None:
    """An engine that negates the logits: a drop that 600 images prove. It is measured on the images
    that it was built with.
    """
    import openvino as ov

    model = ov.Core().read_model(copied.folder / "model-fp32.xml")
    logits = model.output(0).get_node().input_value(0)
    negative = ov.opset13.multiply(logits, np.float32(-1))
    ov.save_model(
        ov.Model([negative], model.get_parameters()),
        copied.folder / "model.xml",
        compress_to_fp16=False,
    )

    def change(content: dict) -> None:
        for name in ("model.xml", "model.bin"):
            content["artifacts"][name]["sha256"] = sha256_file(copied.folder / name)

    edit_manifest(copied.folder, change)
    outcome = cli_process("profile", copied.folder, "--seconds", "0.1")
    assert outcome.code == 10, outcome.stderr
    assert "do not ship: Top-1 fell by" in outcome.stdout and "600 images" in outcome.stdout
    report = load_report(copied.folder / "report.json")
    assert report.findings[0].metric == "top-1 drop" and report.findings[0].exit_code == 10
    assert report.engines[2].convolutions == {"f32": 46}


def test_profile_of_the_fp32_engine_on_a_folder_with_a_bad_image(
    built: Built, tmp_path: Path, invoke: Run
) -> None:
    images, labels = published("eval")
    for i, (image, label) in enumerate(zip(images[:10], labels[:10], strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(label) / f"{i}.png")
    bad = tmp_path / str(labels[0]) / "bad.png"
    bad.write_bytes(b"no image")
    command = (
        "profile",
        built.folder / "model-fp32.xml",
        "--eval",
        tmp_path,
        "--seconds",
        "0.1",
    )
    refused(invoke(*command), 4, str(bad), "cannot read image")
    outcome = invoke(*command, "--skip-bad", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "warning: 1 of 11 evaluation images are unreadable and were skipped" in outcome.stderr
    report = json.loads(outcome.stdout)
    assert (report["evaluation"]["images"], report["evaluation"]["skipped"]) == (10, 1)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "default"]
    assert [engine["file"] for engine in report["engines"]] == ["model-fp32.xml"] * 2


def test_a_cuda_graph_of_a_cpu_engine_is_refused(
    invoke: Callable[..., Outcome], built: Built
) -> None:
    outcome = invoke("profile", built.folder, "--cuda-graph")
    assert outcome.code == 3 and "TensorRT's plans" in outcome.stderr
