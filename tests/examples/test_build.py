"""The example's detector, built and judged: the engine ships nothing worse than FP32."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_scnet.examples import data
from edge_scnet.pipeline.package import package
from tests.helpers.pictures import photograph
from tests.helpers.sharing import made_once
from tests.helpers.tool import Outcome
from tests.package.test_cpp import made, run
from tests.package.test_python import ALONE

pytest.importorskip("pycocotools", reason="pycocotools is not installed")
pytestmark = pytest.mark.slow

MODEL = "edge_scnet.examples.detector:shapes"


# Enough to see that nothing is lost, and to see a planted fault.
IMAGES, FEW = 250, 100


def options(drawn: Path, evaluation: str) -> list[str]:
    return [
        *("--input-size", "96", "--resize", "96", "--seconds", "0.1", "--target", "cpu"),
        *("--class-names", f"{drawn}/classes.txt", "--task", "detection", "--decode", "yolox"),
        *("--calib", f"{drawn}/calib", "--eval", f"{drawn}/{evaluation}"),
    ]


@pytest.fixture(scope="module")
def drawn(shared: Path) -> Path:
    """The example's images; `few.json` has the first of `eval.json`."""

    def draw(out: Path) -> None:
        data.write(out, data.Task.DETECTION, calib=120, evaluation=IMAGES)
        table = json.loads((out / "eval.json").read_text())
        table["images"] = table["images"][:FEW]
        known = {image["id"] for image in table["images"]}
        table["annotations"] = [a for a in table["annotations"] if a["image_id"] in known]
        (out / "few.json").write_text(json.dumps(table))

    return made_once(shared / "shapes", draw)


@pytest.fixture(scope="module")
def built(drawn: Path, shared: Path, invoke: Callable[..., Outcome]) -> tuple[Path, Outcome]:
    """The folder of the example's build, and what it said."""

    def build(out: Path) -> None:
        outcome = invoke("build", MODEL, *options(drawn, "eval.json"), "--out", out)
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
    assert (ap["name"], task["samples"]) == ("AP", IMAGES)
    assert ap["reference"] > 50
    # 250 images cannot show that fewer than one in 90 loses anything
    assert ap["loss_upper95"] < 1.5
    assert ap["loss_high"] - ap["loss_low"] < 2.0


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
    outcome = invoke(
        "build", source, "--qdq", qdq, *options(drawn, "few.json"), "--out", tmp_path / "out"
    )
    assert outcome.code == 10, outcome.stdout + outcome.stderr
    assert "do not ship" in outcome.stdout
    ap = accuracy_of(tmp_path / "out")["metrics"][0]
    assert ap["loss_lower95"] > 0.5


def test_packaged_programs_find_what_predict_finds(
    built: tuple[Path, Outcome],
    drawn: Path,
    tmp_path: Path,
    invoke: Callable[..., Outcome],
):
    build = next(built[0].rglob("model.xml")).parent
    pictures = [
        *sorted((drawn / "eval").rglob("*.png"))[:6],
        photograph(tmp_path / "wide.png", (400, 5)),
    ]
    wanted = invoke("predict", build, *pictures).stdout
    assert wanted.count(" object") == len(pictures) and wanted.count("\n  ") >= 6
    package(build, form="python", out=tmp_path / "python", anyway=True)
    program = tmp_path / "python" / "run.py"
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, program, *pictures],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == wanted
    project = made(build, tmp_path / "cpp")
    assert run("b/run", *pictures, cwd=project) == wanted
    assert (
        "--top"
        not in subprocess.run(
            [project / "b" / "run"], capture_output=True, text=True, check=False
        ).stderr
    )
