"""The example's detector, built and judged: the engine ships nothing worse than FP32."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_scnet.examples import data
from tests.helpers.sharing import made_once
from tests.helpers.tool import Outcome

pytest.importorskip("pycocotools", reason="pycocotools is not installed")
pytestmark = pytest.mark.slow

MODEL = "edge_scnet.examples.detector:shapes"


def options(drawn: Path) -> list[str]:
    return [
        *("--input-size", "96", "--resize", "96", "--seconds", "0.2", "--target", "cpu"),
        *("--class-names", f"{drawn}/classes.txt", "--task", "detection", "--decode", "yolox"),
        *("--calib", f"{drawn}/calib", "--eval", f"{drawn}/eval.json"),
    ]


@pytest.fixture(scope="module")
def drawn(shared: Path) -> Path:
    """The example's images."""
    return made_once(
        shared / "shapes",
        lambda out: data.write(out, data.Task.DETECTION, calib=120, evaluation=500),
    )


@pytest.fixture(scope="module")
def built(drawn: Path, shared: Path, invoke: Callable[..., Outcome]) -> tuple[Path, Outcome]:
    """The folder of the example's build, and what it said."""

    def build(out: Path) -> None:
        outcome = invoke("build", MODEL, *options(drawn), "--out", out)
        (out / "outcome.json").write_text(json.dumps(asdict(outcome)))

    # the tests of this file may run in two processes
    out = made_once(shared / "shapes-build", build)
    return out, Outcome(**json.loads((out / "outcome.json").read_text()))


def accuracy_of(folder: Path) -> dict[str, object]:
    report = json.loads(next(folder.rglob("report.json")).read_text())
    (engine,) = (each for each in report["engines"] if each["name"] == "int8")
    return engine["accuracy"]["task"]


def test_the_int8_engine_is_as_good_as_fp32(built: tuple[Path, Outcome]):
    folder, outcome = built
    # how fast it is, a busy machine cannot tell
    assert outcome.code in (0, 11, 13), outcome.stdout + outcome.stderr
    task = accuracy_of(folder)
    ap = task["metrics"][0]
    assert (ap["name"], task["samples"]) == ("AP", 500)
    assert ap["reference"] > 50
    # 500 images cannot show that fewer than one in 180 loses anything
    assert ap["loss_upper95"] < 1.0
    assert ap["loss_high"] - ap["loss_low"] < 1.5


@pytest.mark.parametrize(
    "fault", ["constant classes", pytest.param("shifted boxes", marks=pytest.mark.soak)]
)
def test_planted_faults_do_not_ship(
    built: tuple[Path, Outcome],
    drawn: Path,
    tmp_path: Path,
    invoke: Callable[..., Outcome],
    fault: str,
):
    """Class scores that are the same for all images, and boxes a twentieth of their width off."""
    qdq = tmp_path / "broken.onnx"
    shutil.copy(next(built[0].rglob("model.qdq.onnx")), qdq)
    model = onnx.load(qdq)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if fault == "constant classes" and tensor.name.startswith("classes."):
            if "bias" in tensor.name or values.dtype == np.int8:
                values[:] = 0
            else:
                continue
        elif fault == "shifted boxes" and tensor.name in (
            "boxes.0/bias_corrected",
            "boxes.1/bias_corrected",
        ):
            values[0] += 0.1
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, qdq)
    source = next(built[0].rglob("model.onnx"))
    outcome = invoke("build", source, "--qdq", qdq, *options(drawn), "--out", tmp_path / "out")
    assert outcome.code == 10, outcome.stdout + outcome.stderr
    assert "do not ship" in outcome.stdout
    ap = accuracy_of(tmp_path / "out")["metrics"][0]
    assert ap["loss_lower95"] > 0.5
